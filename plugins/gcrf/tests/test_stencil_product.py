"""The compiled product with a grid's matrix against its definition, entry by entry."""

import pytest
import torch
from torch import Tensor

from groundstate_gcrf.structure import GridStencil, common_shape

SIZES = ((1, 1), (1, 5), (5, 1), (2, 2), (3, 2), (2, 3), (7, 9))
BATCHES = (
    ((), (), (), ()),
    ((3,), (), (), ()),
    ((2, 3), (3,), (2, 1), ()),
    ((), (3,), (), ()),
    ((4, 2, 3), (2, 3), (), (1, 3)),
)


def stencil(size: tuple[int, int], batches: tuple[tuple[int, ...], ...]) -> GridStencil:
    height, width = size
    rng = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    return GridStencil(
        diagonal=drawn(*batches[1], height, width),
        right=drawn(*batches[2], height, width - 1),
        down=drawn(*batches[3], height - 1, width),
    )


def by_definition(matrix: GridStencil, x: Tensor) -> Tensor:
    """Σ_j A_ij x_j, pixel after pixel."""
    height, width = x.shape[-2:]
    parts = (matrix.diagonal, matrix.right, matrix.down)
    lead = common_shape(*(each.shape[:-2] for each in (x, *parts)))
    product = torch.zeros(*lead, height, width, dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            product[..., i, j] = matrix.diagonal[..., i, j] * x[..., i, j]
            if i > 0:
                product[..., i, j] -= matrix.down[..., i - 1, j] * x[..., i - 1, j]
            if i + 1 < height:
                product[..., i, j] -= matrix.down[..., i, j] * x[..., i + 1, j]
            if j > 0:
                product[..., i, j] -= matrix.right[..., i, j - 1] * x[..., i, j - 1]
            if j + 1 < width:
                product[..., i, j] -= matrix.right[..., i, j] * x[..., i, j + 1]
    return product


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("batches", BATCHES, ids=str)
def test_the_compiled_product_is_that_of_the_definition(
    size: tuple[int, int], batches: tuple[tuple[int, ...], ...]
) -> None:
    matrix = stencil(size, batches)
    x = torch.randn(*batches[0], *size, dtype=torch.float64)
    expected = by_definition(matrix, x)
    found = matrix.matvec(x)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


def test_threads_share_the_rows_of_all_problems() -> None:
    threads = torch.get_num_threads()
    matrix = stencil((200, 301), ((3,), (), (), (3,)))
    x = torch.randn(3, 200, 301, dtype=torch.float64)
    torch.set_num_threads(1)
    one = matrix.matvec(x)
    torch.set_num_threads(2)
    try:
        assert torch.equal(matrix.matvec(x), one)
    finally:
        torch.set_num_threads(threads)


def test_where_gradients_flow_the_product_in_torch_is_the_same() -> None:
    matrix = stencil((7, 9), ((2,), (), (), ()))
    x = torch.randn(2, 7, 9, dtype=torch.float64)
    compiled = matrix.matvec(x)
    torch.testing.assert_close(matrix.matvec(x.requires_grad_()), compiled, rtol=1e-13, atol=1e-13)
