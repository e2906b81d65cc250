"""Products FᵀFx in compiled code that brings each row of F from memory once.

A matrix-vector product with F and another with Fᵀ read F twice, and the second of them is several
times slower in torch. Here four rows at a time give their inner products with x and are added to
the result while they are still in the cache. Used on CPU where no gradient flows through.
"""

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

from groundstate_gcrf.threads import run_all, shares

Array = NDArray[Any]
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""
_CHUNK = 2048
"""Columns of a result that are added to before the next ones: they stay in the L1 cache."""
_LARGEST = 1 << 19
"""Columns up to which four rows are still in the last-level cache when they are needed again."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _dots(a: Array, b: Array, c: Array, d: Array, x: Array) -> tuple[float, float, float, float]:
    zero = x.dtype.type(0)
    p, q, r, s = zero, zero, zero, zero
    for i in range(x.shape[0]):
        p += a[i] * x[i]
        q += b[i] * x[i]
        r += c[i] * x[i]
        s += d[i] * x[i]
    return p, q, r, s


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add(
    out: Array,
    a: Array,
    b: Array,
    c: Array,
    d: Array,
    p: float,
    q: float,
    r: float,
    s: float,
) -> None:
    for i in range(out.shape[0]):
        out[i] += p * a[i] + q * b[i] + r * c[i] + s * d[i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_one(out: Array, a: Array, p: float) -> None:
    for i in range(out.shape[0]):
        out[i] += p * a[i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _gram(out: Array, x: Array, factor: Array) -> None:
    """Add FᵀFx."""
    rows = factor.shape[0]
    whole = rows - rows % 4
    for k in range(0, whole, 4):
        a, b, c, d = factor[k], factor[k + 1], factor[k + 2], factor[k + 3]
        p, q, r, s = _dots(a, b, c, d, x)
        _add(out, a, b, c, d, p, q, r, s)
    for k in range(whole, rows):
        p, _, _, _ = _dots(factor[k], factor[k], factor[k], factor[k], x)
        _add_one(out, factor[k], p)


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _columns(out: Array, short: Array, factor: Array) -> None:
    """Add Fᵀ times a short vector."""
    rows, columns = factor.shape
    whole = rows - rows % 4
    for begin in range(0, columns, _CHUNK):
        end = min(begin + _CHUNK, columns)
        part = out[begin:end]
        for k in range(0, whole, 4):
            _add(
                part,
                factor[k, begin:end],
                factor[k + 1, begin:end],
                factor[k + 2, begin:end],
                factor[k + 3, begin:end],
                short[k],
                short[k + 1],
                short[k + 2],
                short[k + 3],
            )
        for k in range(whole, rows):
            _add_one(part, factor[k, begin:end], short[k])


_run_gram = cast(Callable[..., None], _gram)
_run_columns = cast(Callable[..., None], _columns)


def serves(factor: Float[Tensor, "..."], x: Float[Tensor, "..."]) -> bool:
    """Whether there is one vector for each matrix, and compiled code may do it."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return False
    if tuple(x.shape[:-1]) != tuple(factor.shape[:-2]) or x.dtype != factor.dtype:
        return False
    if torch.is_grad_enabled() and (x.requires_grad or factor.requires_grad):
        return False
    return factor.is_contiguous() and factor.shape[-1] > 0


def gram(
    factor: Float[Tensor, "*batch rows columns"], x: Float[Tensor, "*batch columns"]
) -> Float[Tensor, "*batch columns"]:
    """FᵀFx of each matrix."""
    if factor.shape[-1] > _LARGEST:
        return columns_of(factor, (factor @ x[..., None])[..., 0])
    return _each(_run_gram, factor, x)


def columns_of(
    factor: Float[Tensor, "*batch rows columns"], short: Float[Tensor, "*batch rows"]
) -> Float[Tensor, "*batch columns"]:
    """Fᵀ times a short vector, of each matrix."""
    return _each(_run_columns, factor, short)


def _each(run: Callable[..., None], factor: Tensor, given: Tensor) -> Tensor:
    rows, columns = factor.shape[-2:]
    # counted, for nothing tells what -1 stands for where there is no row or no problem
    count = math.prod(factor.shape[:-2])
    matrices = factor.detach().reshape(count, rows, columns).numpy()
    vectors = given.detach().reshape(count, given.shape[-1]).contiguous().numpy()
    # threads take rows of every matrix, and their results are added
    parts = shares(rows, rows // 8)
    results = np.zeros((len(parts), len(matrices), columns), dtype=vectors.dtype)
    short = vectors.shape[1] == rows and run is _run_columns

    def work(thread: int, begin: int, end: int) -> None:
        for i, matrix in enumerate(matrices):
            vector = vectors[i, begin:end] if short else vectors[i]
            run(results[thread, i], vector, matrix[begin:end])

    run_all([partial(work, thread, *part) for thread, part in enumerate(parts)])
    total = results[0] if len(parts) == 1 else results.sum(0)
    return torch.from_numpy(total).reshape(*factor.shape[:-2], columns)
