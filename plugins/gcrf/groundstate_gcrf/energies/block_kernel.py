"""Products with L×L blocks on edges in compiled code, which reads each block once for both ends.

A CSR matrix holds both triangles and their column numbers; here half the entries are read, and no
numbers. Used on CPU where no gradient flows through the product.
"""

import typing
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


_U = np.uint64
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _four_rows(
    product: Array, x: Array, terms: Array, here: int, there: int, entry: int, labels: int
) -> None:
    """Four rows of a block at once; unsigned integers, so that none can mean "from the end"."""
    second = entry + labels
    third = second + labels
    fourth = third + labels
    a, b, c, d = x[here], x[here + _U(1)], x[here + _U(2)], x[here + _U(3)]
    zero = x.dtype.type(0)
    p, q, r, s = zero, zero, zero, zero
    for i in range(labels):
        other = x[there + i]
        t, u, v, w = terms[entry + i], terms[second + i], terms[third + i], terms[fourth + i]
        p += t * other
        q += u * other
        r += v * other
        s += w * other
        product[there + i] += t * a + u * b + v * c + w * d
    product[here] += p
    product[here + _U(1)] += q
    product[here + _U(2)] += r
    product[here + _U(3)] += s


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _row(
    product: Array, x: Array, terms: Array, here: int, there: int, entry: int, labels: int
) -> None:
    a = x[here]
    p = x.dtype.type(0)
    for i in range(labels):
        t = terms[entry + i]
        p += t * x[there + i]
        product[there + i] += t * a
    product[here] += p


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_products(product: Array, x: Array, terms: Array, begin: Array, end: Array) -> None:
    """Add the products of all edges to `[columns, nodes · labels]`; terms are flat."""
    columns, edges = x.shape[0], begin.shape[0]
    labels = int(np.sqrt(terms.shape[0] // max(edges, 1)) + 0.5)
    for edge in range(edges):
        i, j, first = begin[edge] * labels, end[edge] * labels, edge * labels * labels
        for column in range(columns):
            q, own = product[column], x[column]
            row = 0
            while row + 4 <= labels:
                entry = first + row * labels
                _four_rows(q, own, terms, _U(i + row), _U(j), _U(entry), _U(labels))
                row += 4
            while row < labels:
                entry = first + row * labels
                _row(q, own, terms, _U(i + row), _U(j), _U(entry), _U(labels))
                row += 1


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
    nodewise = x.detach().mT.reshape(-1, count, nodes * labels).movedim(1, 0).contiguous()
    product = torch.zeros_like(nodewise)
    for terms, edge_index in parts:
        blocks = terms.detach().reshape(count, *terms.shape[-3:])
        begin, end = (each.contiguous().numpy() for each in edge_index)
        for problem in range(count):
            _add_products(
                product[problem].numpy(),
                nodewise[problem].numpy(),
                blocks[problem].contiguous().reshape(-1).numpy(),
                begin,
                end,
            )
    return product.movedim(0, 1).reshape(*x.shape[:-2], nodes, labels).mT
