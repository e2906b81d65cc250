"""ψ times the labels of all pixels, and back: in compiled code on CPU where no gradient flows."""

import math
import typing
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from groundstate_gcrf.skinny_rows import (
    AT_ONCE,
    LABELS,
    inner_1_1,
    inner_1_3,
    inner_7_1,
    inner_7_3,
    outer_1,
    outer_3,
    outer_7,
    tile,
)
from groundstate_gcrf.structure import common_shape
from groundstate_gcrf.threads import run_all, shares

Array = NDArray[Any]
_CHUNK = 42
"""Tiles at a time, so that their part of x stays in the second-level cache."""
_SHARE = 1 << 24
"""Multiplications that are worth a thread."""


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _inner_part(table: Array, x: Array, factor: Array, begin: int, count: int) -> None:
    """Add inner products over `count` columns; the table is `[labels, rank]`."""
    labels, rank = table.shape
    out, left, right = table.reshape(-1), x.reshape(-1), factor.reshape(-1)
    width, length = x.shape[1], factor.shape[1]
    label = 0
    while label < labels:
        here, place, d = label * width + begin, label * rank, 0
        seven = labels - label >= LABELS
        while d < rank:
            there, three = d * length + begin, rank - d >= AT_ONCE
            if seven and three:
                inner_7_3(out, left, right, place + d, rank, here, width, there, length, count)
            elif seven:
                inner_7_1(out, left, right, place + d, rank, here, width, there, length, count)
            elif three:
                inner_1_3(out, left, right, place + d, rank, here, width, there, length, count)
            else:
                inner_1_1(out, left, right, place + d, rank, here, width, there, length, count)
            d += AT_ONCE if three else 1
        label += LABELS if seven else 1


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _tail(source: Array, begin: int, end: int, columns: int) -> Array:
    """The columns from `begin` to `end`, and zeros up to so many."""
    padded = np.zeros((source.shape[0], columns), dtype=source.dtype)
    for row in range(source.shape[0]):
        padded[row, : end - begin] = source[row, begin:end]
    return padded


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _inner(table: Array, x: Array, factor: Array, columns: int, begin: int, end: int) -> None:
    """Add x ψᵀ over the columns from `begin` to `end`."""
    whole = end - (end - begin) % columns
    for first in range(begin, whole, _CHUNK * columns):
        _inner_part(table, x, factor, first, min(_CHUNK * columns, whole - first))
    if whole < end:
        own, other = _tail(x, whole, end, columns), _tail(factor, whole, end, columns)
        _inner_part(table, own, other, 0, columns)


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _outer_tile(
    product: Array, x: Array, table: Array, factor: Array, scale: float, begin: int
) -> None:
    labels, rank = table.shape
    out, own, strengths = product.reshape(-1), x.reshape(-1), table.reshape(-1)
    rows, width, length = factor.reshape(-1), x.shape[1], factor.shape[1]
    label = 0
    while label < labels:
        here, place, left = label * width + begin, label * rank, labels - label
        if left >= LABELS:
            outer_7(out, own, strengths, rows, scale, here, width, place, rank, begin, length)
            label += LABELS
        elif left >= 3:
            outer_3(out, own, strengths, rows, scale, here, width, place, rank, begin, length)
            label += 3
        else:
            outer_1(out, own, strengths, rows, scale, here, width, place, rank, begin, length)
            label += 1


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _outer(
    product: Array,
    x: Array,
    table: Array,
    factor: Array,
    scale: float,
    columns: int,
    begin: int,
    end: int,
) -> None:
    """λx + table ψ on the columns from `begin` to `end`."""
    whole = end - (end - begin) % columns
    for first in range(begin, whole, columns):
        _outer_tile(product, x, table, factor, scale, first)
    if whole < end:
        own, other = _tail(x, whole, end, columns), _tail(factor, whole, end, columns)
        found = np.empty_like(own)
        _outer_tile(found, own, table, other, scale, 0)
        product[:, whole:end] = found[:, : end - whole]


_run_inner, _run_outer = cast(Callable[..., None], _inner), cast(Callable[..., None], _outer)


def inner_products(
    x: Float[Tensor, "... labels columns"], factor: Float[Tensor, "... rank columns"]
) -> Float[Tensor, "... labels rank"]:
    """X ψᵀ of each problem; leading dimensions broadcast."""
    if not _serves(factor, x):
        return x @ factor.mT
    matrices = _flat(factor)
    given = _flat(x, len(matrices))
    count, labels, columns = given.shape
    rank = matrices.shape[1]
    parts = shares(columns, labels * rank * columns // _SHARE)
    tables = np.zeros((len(parts), count, labels, rank), dtype=given.dtype)
    width = tile(given.itemsize)
    for k in range(count):
        run_all(
            [
                partial(_run_inner, tables[i, k], given[k], matrices[k], width, *part)
                for i, part in enumerate(parts)
            ]
        )
    total = tables[0] if len(parts) == 1 else tables.sum(0)
    return torch.from_numpy(total).reshape(*x.shape[:-1], rank)


def combine(
    table: Float[Tensor, "..."],
    factor: Float[Tensor, "..."],
    scale: Float[Tensor, "..."],
    x: Float[Tensor, "..."],
) -> Float[Tensor, "..."]:
    """Table ψ + scale · x of each problem; leading dimensions of all broadcast.

    Args:
        table: `[*lead, labels, rank]`.
        factor: ψ, `[*batch, rank, columns]`.
        scale: one number for each problem, `[*batch]`.
        x: `[*lead, labels, columns]`.
    """
    batch = factor.shape[:-2]
    fits = common_shape(scale.shape, batch) == tuple(batch) and scale.dtype == x.dtype
    learned = torch.is_grad_enabled() and scale.requires_grad
    if learned or not fits or not _serves(factor, table, x):
        return torch.addcmul(table @ factor, scale[..., None, None], x)
    matrices = _flat(factor)
    given, tables = (_flat(each, len(matrices)) for each in (x, table))
    scales = scale.detach().expand(batch).reshape(-1).numpy()
    parts = shares(given.shape[2], tables[0].size * given.shape[2] // _SHARE)
    product, width = np.empty_like(given), tile(given.itemsize)
    for k in range(len(given)):
        common = (product[k], given[k], tables[k], matrices[k], scales[k], width)
        run_all([partial(_run_outer, *common, *part) for part in parts])
    return torch.from_numpy(product).reshape(x.shape)


def _serves(factor: Tensor, *fields: Tensor) -> bool:
    """Whether compiled code may do it: one matrix for each problem, or one for all."""
    first, batch = fields[0], factor.shape[:-2]
    if first.device.type != "cpu" or factor.dtype not in (torch.float32, torch.float64):
        return False
    if any(each.dtype != factor.dtype or not each.numel() for each in (factor, *fields)):
        return False
    if batch and any(each.shape[:-2] != batch for each in fields):
        return False
    learned = torch.is_grad_enabled() and any(each.requires_grad for each in (factor, *fields))
    return not learned and factor.is_contiguous()


def _flat(values: Tensor, count: int | None = None) -> Array:
    """Matrices, rows and columns; all problems of a single matrix are rows of it."""
    count = math.prod(values.shape[:-2]) if count is None else count
    return values.detach().reshape(count, -1, values.shape[-1]).contiguous().numpy()
