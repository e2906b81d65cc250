"""Products with the weights of a pixel grid in compiled code, on bands of rows that stay in cache.

Pixels are flattened, so a neighbour at (dy, dx) is d = dy·width + dx further on. Weights are padded
to one per pixel, 0 where there is no such neighbour: then one loop without a border covers a band,
whatever the offset. Used on CPU where no gradient flows through the product.
"""

import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from groundstate_gcrf.structure import GridNeighbours, common_shape

Array = NDArray[Any]
_BAND = 4096
"""Pixels at a time: a row of x, of the sum, of the product and of each offset in the L1 cache."""
_U = np.uint64
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def pad(weights: tuple[Array, ...], which: int, offsets: Array, height: int, width: int) -> Array:
    """One matrix's weights as `[offsets, pixels]`, 0 where there is no neighbour."""
    padded = np.zeros((len(weights), height * width), dtype=weights[0].dtype)
    for k in range(len(weights)):
        own = weights[k][which]
        left = max(-offsets[k, 1], 0)
        for i in range(own.shape[0]):
            begin = i * width + left
            for j in range(own.shape[1]):
                padded[k, begin + j] = own[i, j]
    return padded


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _ahead(q: Array, x: Array, weights: Array, base: int, d: int, begin: int, end: int) -> None:
    for i in range(begin, end):
        q[base + i] -= weights[i] * x[base + i + d]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _behind(q: Array, x: Array, weights: Array, base: int, d: int, begin: int, end: int) -> None:
    for i in range(begin, end):
        q[base + i] -= weights[i - d] * x[base + i - d]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _border(
    q: Array, x: Array, weights: Array, base: int, pixels: int, d: int, begin: int, end: int
) -> None:
    """One offset on some pixels, wherever its neighbours exist."""
    if begin < end and d < pixels:
        _ahead(q, x, weights, _U(base), _U(d), _U(begin), _U(max(min(end, pixels - d), begin)))
        _behind(q, x, weights, _U(base), _U(d), _U(min(max(begin, d), end)), _U(end))


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _inner(
    q: Array, x: Array, u: Array, v: Array, base: int, a: int, b: int, begin: int, end: int
) -> None:
    """Both directions of two offsets in one pass; all integers are unsigned.

    Python's negative indices would otherwise have to be told from others at each access.
    """
    for i in range(begin, end):
        j = base + i
        q[j] -= u[i] * x[j + a] + u[i - a] * x[j - a] + v[i] * x[j + b] + v[i - b] * x[j - b]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def subtract_coupled(
    q: Array, x: Array, weights: Array, shifts: Array, base: int, begin: int, end: int
) -> None:
    """Take Ψx from q on pixels `begin` to `end` of the image that starts at `base`."""
    pixels = weights.shape[1]
    for k in range(0, shifts.shape[0], 2):
        a, b = shifts[k], shifts[k + 1]
        low = min(max(begin, max(a, b)), end)
        high = max(min(end, pixels - max(a, b)), low)
        for o in (k, k + 1):
            _border(q, x, weights[o], base, pixels, shifts[o], begin, low)
            _border(q, x, weights[o], base, pixels, shifts[o], high, end)
        u, v = weights[k], weights[k + 1]
        _inner(q, x, u, v, _U(base), _U(a), _U(b), _U(low), _U(high))


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _shift(q: Array, scale: float, x: Array, minus: Array, base: int, begin: int, end: int) -> None:
    for i in range(begin, end):
        q[base + i] = scale * x[base + i] - minus[i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add(total: Array, x: Array, base: int, begin: int, end: int) -> None:
    for i in range(begin, end):
        total[i] += x[base + i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _others(
    product: Array, x: Array, scales: Array, weights: tuple[Array, ...], which: Array, sizes: Array
) -> None:
    """λx_k + Ψ(S - x_k) of each problem and label; arrays are `[problems, labels · pixels]`."""
    height, width, labels = sizes[0, 0], sizes[0, 1], sizes[0, 2]
    offsets, pixels = sizes[1:], height * width
    shifts = offsets[:, 0] * width + offsets[:, 1]
    reach = shifts.max()
    total, minus = np.empty(pixels, dtype=x.dtype), np.empty(pixels, dtype=x.dtype)
    for problem in range(x.shape[0]):
        padded = pad(weights, which[problem], offsets, height, width)
        given, q = x[problem], product[problem]
        ready = 0
        for begin in range(0, pixels, _BAND):
            end = min(begin + _BAND, pixels)
            # the sum is made as far as this band reaches, so that x comes from memory once
            wanted = min(end + reach, pixels)
            total[ready:wanted] = 0.0
            for label in range(labels):
                _add(total, given, _U(label * pixels), _U(ready), _U(wanted))
            ready = wanted
            minus[begin:end] = 0.0
            subtract_coupled(minus, total, padded, shifts, 0, begin, end)
            for label in range(labels):
                base = label * pixels
                _shift(q, scales[problem], given, minus, _U(base), _U(begin), _U(end))
                subtract_coupled(q, given, padded, shifts, base, begin, end)


_run_others = cast(Callable[..., None], _others)


def serves(weights: Sequence[Float[Tensor, "..."]], x: Float[Tensor, "..."]) -> bool:
    """Whether the compiled product may stand in for the one in torch."""
    dtype = x.dtype
    if x.device.type != "cpu" or dtype not in (torch.float32, torch.float64):
        return False
    if any(each.dtype != dtype for each in weights):
        return False
    learned = torch.is_grad_enabled() and (
        x.requires_grad or any(each.requires_grad for each in weights)
    )
    return not learned


@dataclass(frozen=True, kw_only=True)
class Flat:
    """Weights as compiled code takes them.

    Attributes:
        weights: for each offset `[matrices, height - |down|, width - |right|]`.
        which: the matrix of each problem.
        sizes: height, width and labels; then down, right and 0 for each offset.
    """

    weights: tuple[Array, ...]
    which: Array
    sizes: Array


def flatten(grid: GridNeighbours, lead: tuple[int, ...], labels: int) -> Flat:
    """Weights for problems of the shape `lead`, without copies where none are needed."""
    own = grid.batch_shape
    count = math.prod(own)
    weights = tuple(_array(each, own, count) for each in grid.weights)
    if count == 1:
        which = np.zeros(math.prod(lead), dtype=np.int64)
    else:
        spread = np.broadcast_to(np.arange(count).reshape(own), lead)
        which = np.ascontiguousarray(spread.reshape(-1))
    height, width = grid.pixel_shape
    sizes = np.array([(height, width, labels), *((dy, dx, 0) for dy, dx in grid.offsets)])
    return Flat(weights=weights, which=which, sizes=sizes)


def _array(weights: Tensor, own: tuple[int, ...], count: int) -> Array:
    size = weights.shape[-2:]
    if tuple(weights.shape[:-2]) != own:
        weights = weights.expand(*own, *size)
    return weights.detach().reshape(count, *size).contiguous().numpy()


def product_with_others(
    grid: GridNeighbours,
    x: Float[Tensor, "... labels height width"],
    scale: Float[Tensor, "..."],
) -> Float[Tensor, "*lead labels height width"]:
    """λx_k + Ψ(S - x_k), S the sum over labels; leading dimensions of all three broadcast."""
    event = x.shape[-3:]
    lead = common_shape(x.shape[:-3], grid.batch_shape, scale.shape)
    flat = flatten(grid, lead, event[0])
    given = x.detach()
    if tuple(given.shape[:-3]) != lead:
        given = given.expand(*lead, *event)
    given = given.reshape(-1, math.prod(event)).contiguous()
    scales = scale.detach().expand(lead).reshape(-1).contiguous()
    product = torch.empty_like(given)
    _run_others(
        product.numpy(), given.numpy(), scales.numpy(), flat.weights, flat.which, flat.sizes
    )
    return product.reshape(*lead, *event)
