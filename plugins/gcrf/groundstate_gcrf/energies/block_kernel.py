"""Products with L×L blocks on edges in compiled code, which reads each block once for both ends.

A CSR matrix holds both triangles and their column numbers; here half the entries are read, and no
numbers. Used on CPU where no gradient flows through the product.
"""

import typing
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"}, error_model="numpy")
@typing.no_type_check
def _add_products(product: Array, x: Array, terms: Array, begin: Array, end: Array) -> None:
    """Add the products of all edges to `[columns, nodes, labels]`."""
    columns, labels = x.shape[0], x.shape[2]
    for edge in range(begin.shape[0]):
        i, j = begin[edge], end[edge]
        block = terms[edge]
        for column in range(columns):
            here, there = x[column, i], x[column, j]
            to_there = product[column, j]
            for label in range(labels):
                row, own = block[label], here[label]
                total = row[0] * there[0]
                to_there[0] += row[0] * own
                for other in range(1, labels):
                    total += row[other] * there[other]
                    to_there[other] += row[other] * own
                product[column, i, label] += total


def serves(terms: Sequence[Float[Tensor, "..."]], x: Float[Tensor, "..."]) -> bool:
    """Whether the compiled product may stand in for the one in torch."""
    plain = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    graph = torch.is_grad_enabled() and any(each.requires_grad for each in (*terms, x))
    return plain and not graph and all(each.dtype == x.dtype for each in terms)


def block_product(
    parts: Sequence[tuple[Float[Tensor, "..."], Int[Tensor, "..."]]],
    x: Float[Tensor, "*lead labels nodes"],
) -> Float[Tensor, "*product labels nodes"]:
    """Σ over edges of block times x at one end, and its transpose times x at the other.

    Args:
        parts: blocks `[*batch, edges, labels, labels]`, and the two ends of each edge. All have one
            batch shape, which ends the leading dimensions of x, or is empty.
        x: `[*sample, *batch, labels, nodes]`.
    """
    batch = tuple(parts[0][0].shape[:-3])
    count = torch.Size(batch).numel()
    labels, nodes = x.shape[-2:]
    nodewise = x.detach().mT.reshape(-1, count, nodes, labels).movedim(1, 0).contiguous()
    product = torch.zeros_like(nodewise)
    for terms, edge_index in parts:
        blocks = terms.detach().reshape(count, *terms.shape[-3:])
        begin, end = (each.contiguous().numpy() for each in edge_index)
        for problem in range(count):
            _add_products(
                product[problem].numpy(),
                nodewise[problem].numpy(),
                blocks[problem].contiguous().numpy(),
                begin,
                end,
            )
    return product.movedim(0, 1).reshape(*x.shape[:-2], nodes, labels).mT
