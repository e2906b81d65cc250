"""The few functions of torch that come without types, with them."""

# pyright: basic

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


def ints(values: Int[Tensor, "..."]) -> list[int]:
    """The entries, flat, as Python numbers."""
    return [int(each) for each in values.flatten().tolist()]


def pieces(values: Shaped[Tensor, "..."], sizes: Sequence[int]) -> list[Tensor]:
    """Consecutive parts of the last dimension."""
    return list(torch.split(values, list(sizes), dim=-1))


def chunks(values: Shaped[Tensor, "..."], size: int) -> list[Tensor]:
    """Consecutive parts of the first dimension."""
    return list(torch.split(values, size))


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that all of these broadcast to."""
    return tuple(torch.broadcast_shapes(*(tuple(shape) for shape in shapes)))


def distinct(values: Shaped[Tensor, "..."]) -> Shaped[Tensor, " found"]:
    """Every value once, sorted."""
    return torch.unique(values)


def rows(values: Shaped[Tensor, "rows k"]) -> tuple[Tensor, Tensor, Tensor]:
    """Every row once; the number of each row among them; how often each occurs."""
    found, index, counts = torch.unique(values, dim=0, return_inverse=True, return_counts=True)
    return found, index, counts


def linear_solve(
    matrix: Float[Tensor, "*batch n n"], right: Float[Tensor, "*batch n"]
) -> Float[Tensor, "*batch n"]:
    """A⁻¹b."""
    return torch.linalg.solve(matrix, right[..., None])[..., 0]


def inverse(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """A⁻¹."""
    return torch.linalg.inv(matrix)


def eigenvalues(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
    """Those of a symmetric matrix, ascending."""
    return torch.linalg.eigvalsh(matrix)


def orthogonal(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """The orthogonal factor of a matrix."""
    return torch.linalg.qr(matrix)[0]


def slopes(value: Float[Tensor, ""], parameters: Sequence[Tensor]) -> list[Any]:
    """The gradient in each parameter; None where it has none."""
    return list(torch.autograd.grad(value, list(parameters), allow_unused=True))
