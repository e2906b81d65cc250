"""Products with L×L blocks on edges in compiled code, which reads each block once for both ends.

A CSR matrix holds both triangles and their column numbers; here half the entries are read, and no
numbers. Fields are node by node, the labels of each filled up with zeros to whole vector registers.
Used on CPU where no gradient flows through the product.
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

from groundstate_gcrf.energies.block_rows import (
    AT_ONCE,
    REGISTER,
    four_rows,
    one_row,
    prefetch,
    seven_rows,
    two_rows,
)

Array = NDArray[Any]

_U = np.uint64
"""Unsigned, so that no index can mean "from the end"."""
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""
_IN_CACHE = 8_000_000
"""Bytes of blocks that stay in the last-level cache, where asking ahead would only cost."""
_AHEAD = 8192
"""Bytes: a memory access takes as long as the products with so many."""
_LINE = 64
"""Bytes in a line of cache."""


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _add_block(
    product: Array, x: Array, terms: Array, here: int, there: int, entry: int, labels: int
) -> None:
    rows, row = _U(labels), _U(0)
    i, j, first = _U(here), _U(there), _U(entry)
    while row + _U(AT_ONCE) <= rows:
        seven_rows(product, x, terms, i + row, j, first + row * rows, rows)
        row += _U(AT_ONCE)
    if row + _U(4) <= rows:
        four_rows(product, x, terms, i + row, j, first + row * rows, rows)
        row += _U(4)
    if row + _U(2) <= rows:
        two_rows(product, x, terms, i + row, j, first + row * rows, rows)
        row += _U(2)
    if row < rows:
        one_row(product, x, terms, i + row, j, first + row * rows, rows)


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def add_products(
    products: Array, xs: Array, columns: Array, terms: Array, begin: Array, end: Array, labels: int
) -> None:
    """Add the products of all edges to some columns of `[columns, nodes · slots]`; terms flat."""
    size, lanes = labels * labels, REGISTER // terms.itemsize
    slots = (labels + lanes - 1) // lanes * lanes
    # the last blocks, beyond which nothing may be read, are read from a copy with room behind
    safe = max(terms.shape[0] - lanes, 0) // max(size, 1)
    copy = np.zeros(size + lanes, dtype=terms.dtype)
    distant = terms.nbytes > _IN_CACHE
    # one array with places in it: a slice for each edge would cost as much as a block
    product, x, stride = products.reshape(-1), xs.reshape(-1), xs.shape[1]
    for edge in range(begin.shape[0]):
        i, j, first = begin[edge] * slots, end[edge] * slots, edge * size
        if edge >= safe:
            copy[:size] = terms[first : first + size]
            for column in columns:
                here = column * stride
                _add_block(product, x, copy, here + i, here + j, 0, labels)
            continue
        if distant:
            for entry in range(0, size, _LINE // terms.itemsize):
                prefetch(terms, _U(first + entry + _AHEAD // terms.itemsize))
        for column in columns:
            here = column * stride
            _add_block(product, x, terms, here + i, here + j, first, labels)


def serves(terms: Sequence[Float[Tensor, "..."]], x: Float[Tensor, "..."]) -> bool:
    """Whether the compiled product may stand in for the one in torch."""
    plain = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    graph = torch.is_grad_enabled() and any(each.requires_grad for each in (*terms, x))
    return plain and not graph and all(each.dtype == x.dtype for each in terms)


def slots(labels: int, dtype: torch.dtype) -> int:
    """Entries that a node takes: its labels, filled up to whole registers."""
    lanes = REGISTER // dtype.itemsize
    return -(-labels // lanes) * lanes


def to_nodes(x: Float[Tensor, "*lead labels nodes"]) -> Float[Tensor, "*lead nodes slots"]:
    """Node by node, with zeros up to whole registers."""
    labels, nodes = x.shape[-2:]
    nodewise = x.new_zeros((*x.shape[:-2], nodes, slots(labels, x.dtype)))
    nodewise[..., :labels] = x.detach().mT
    return nodewise


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
    count = torch.Size(parts[0][0].shape[:-3]).numel()
    labels, nodes = x.shape[-2:]
    if not x.numel():
        return torch.zeros_like(x)
    own = to_nodes(x.reshape(-1, count, labels, nodes).movedim(1, 0))
    product = torch.zeros_like(own)
    columns = np.arange(own.shape[1])
    for terms, edge_index in parts:
        blocks = terms.detach().reshape(count, -1)
        begin, end = (each.contiguous().numpy() for each in edge_index)
        for problem in range(count):
            add_products(
                product[problem].flatten(-2).numpy(),
                own[problem].flatten(-2).numpy(),
                columns,
                blocks[problem].contiguous().numpy(),
                begin,
                end,
                labels,
            )
    nodewise = product[..., :labels].movedim(0, 1)
    return nodewise.reshape(*x.shape[:-2], nodes, labels).mT
