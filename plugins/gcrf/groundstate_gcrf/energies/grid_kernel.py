"""Products with the weights of a pixel grid in compiled code, on bands of rows that stay in cache.

Pixels are flattened, so a neighbour at (dy, dx) is d = dy·width + dx further on. Weights are padded
to one per pixel, 0 where there is no such neighbour: then one loop without a border covers a band,
whatever the offset. Used on CPU where no gradient flows through the product.
"""

import math
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from groundstate_gcrf.energies.grid_rows import LEAST, MOST, one_label, seven_labels, three_labels
from groundstate_gcrf.structure import GridNeighbours, common_shape
from groundstate_gcrf.threads import run_all, shares

Array = NDArray[Any]
_BAND = 8192
"""Pixels at a time: a row of x, of the sum, of the product and of each offset in the L1 cache."""
_SHARE = 1 << 16
"""Numbers of x that are worth a thread."""
_U = np.uint64
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _copy(target: Array, source: Array) -> None:
    for j in range(source.shape[0]):
        target[j] = source[j]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def pad(
    padded: Array,
    weights: tuple[Array, ...],
    which: int,
    sizes: Array,
    begin: int,
    end: int,
) -> None:
    """One matrix's weights at pixels `begin` to `end`, 0 where there is no neighbour."""
    width = sizes[0, 1]
    for k in range(len(weights)):
        own, row = weights[k][which], padded[k]
        row[:] = 0.0
        left = max(-sizes[1 + k, 1], 0)
        for i in range(begin // width, min((end + width - 1) // width, own.shape[0])):
            first = i * width + left
            low, high = max(begin - first, 0), min(end - first, own.shape[1])
            if low < high:
                _copy(row[first + low - begin : first + high - begin], own[i, low:high])


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _ahead(
    q: Array, x: Array, weights: Array, base: int, origin: int, d: int, begin: int, end: int
) -> None:
    for i in range(begin, end):
        q[base + i] -= weights[i - origin] * x[base + i + d]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _behind(
    q: Array, x: Array, weights: Array, base: int, origin: int, d: int, begin: int, end: int
) -> None:
    for i in range(begin, end):
        q[base + i] -= weights[i - d - origin] * x[base + i - d]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _shift(
    q: Array, scale: float, x: Array, minus: Array, base: int, origin: int, begin: int, end: int
) -> None:
    for i in range(begin, end):
        q[base + i] = scale * x[base + i] - minus[i - origin]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _border(
    q: Array,
    x: Array,
    minus: Array,
    weights: Array,
    shifts: tuple[int, ...],
    scale: float,
    base: int,
    pixels: int,
    origin: int,
    begin: int,
    end: int,
) -> None:
    """Some pixels of one label, wherever their neighbours exist."""
    if begin < end:
        _shift(q, scale, x, minus, _U(base), _U(origin), _U(begin), _U(end))
        for k in range(len(shifts)):
            d, own = shifts[k], weights[k]
            rest, later = max(min(end, pixels - d), begin), min(max(begin, d), end)
            _ahead(q, x, own, _U(base), _U(origin), _U(d), _U(begin), _U(rest))
            _behind(q, x, own, _U(base), _U(origin), _U(d), _U(later), _U(end))


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def apply_neighbours(
    q: Array,
    x: Array,
    minus: Array,
    weights: Array,
    shifts: tuple[int, ...],
    scale: float,
    labels: int,
    origin: int,
    begin: int,
    end: int,
    ahead: int,
) -> None:
    """Q ← λx - m - Ψx on pixels `begin` to `end` of every label.

    Args:
        q: `[labels · pixels]`, written.
        x: likewise.
        minus: m of one label, from pixel `origin` on.
        weights: `[offsets, ...]`, from pixel `origin` on.
        shifts: how far on the neighbour of each offset is.
        scale: λ.
        labels: how many.
        origin: at most `begin` less the largest shift.
        begin: of the pixels.
        end: of the pixels.
        ahead: how much further on x will be needed next.
    """
    pixels, reach = x.shape[0] // labels, max(shifts)
    low = min(max(begin, reach), end)
    high = max(min(end, pixels - reach), low)
    if high - low < LEAST:
        high = low
    for label in range(labels):
        first = label * pixels
        _border(q, x, minus, weights, shifts, scale, first, pixels, origin, begin, low)
        _border(q, x, minus, weights, shifts, scale, first, pixels, origin, high, end)
    if high == low:
        return
    label = 0
    while label < labels:
        first, left = label * pixels, labels - label
        if left >= MOST:
            seven_labels(
                q, x, minus, weights, shifts, scale, first, pixels, origin, low, high, ahead
            )
            label += MOST
        elif left >= 3:
            three_labels(
                q, x, minus, weights, shifts, scale, first, pixels, origin, low, high, ahead
            )
            label += 3
        else:
            one_label(q, x, minus, weights, shifts, scale, first, pixels, origin, low, high, ahead)
            label += 1


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_four(total: Array, x: Array, base: int, pixels: int, begin: int, end: int) -> None:
    second, third, fourth = base + pixels, base + _U(2) * pixels, base + _U(3) * pixels
    for i in range(begin, end):
        total[i] += x[base + i] + x[second + i] + x[third + i] + x[fourth + i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add(total: Array, x: Array, base: int, begin: int, end: int) -> None:
    for i in range(begin, end):
        total[i] += x[base + i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _sum(total: Array, x: Array, labels: int, begin: int, end: int) -> None:
    """Over labels; four of them bring what they need from memory at the same time."""
    pixels = total.shape[0]
    total[begin:end] = 0.0
    whole = labels - labels % 4
    for label in range(0, whole, 4):
        _add_four(total, x, _U(label * pixels), _U(pixels), _U(begin), _U(end))
    for label in range(whole, labels):
        _add(total, x, _U(label * pixels), _U(begin), _U(end))


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _others(
    product: Array,
    x: Array,
    scales: Array,
    weights: tuple[Array, ...],
    which: Array,
    sizes: Array,
    shifts: tuple[int, ...],
    first: int,
    last: int,
) -> None:
    """λx_k + Ψ(S - x_k) on some pixels, which are numbered through all problems.

    Fields are `[problems, labels · pixels]`.
    """
    pixels, labels, reach = sizes[0, 0] * sizes[0, 1], sizes[0, 2], max(shifts)
    room, zero = min(_BAND + reach, pixels), x.dtype.type(0)
    total, minus = np.empty(pixels, dtype=x.dtype), np.empty(pixels, dtype=x.dtype)
    padded = np.empty((len(weights), room), dtype=x.dtype)
    zeros = np.zeros(room, dtype=x.dtype)
    for problem in range(first // pixels, (last + pixels - 1) // pixels):
        given, q, scale = x[problem], product[problem], scales[problem]
        start = max(first - problem * pixels, 0)
        stop = min(last - problem * pixels, pixels)
        ready = max(start - reach, 0)
        for begin in range(start, stop, _BAND):
            end = min(begin + _BAND, stop)
            # the sum is made as far as this band reaches, so that x comes from memory once
            wanted = min(end + reach, pixels)
            _sum(total, given, labels, ready, wanted)
            ready = wanted
            origin = max(begin - reach, 0)
            pad(padded, weights, which[problem], sizes, origin, end)
            # -ΨS, by which the sum over all labels enters
            apply_neighbours(minus, total, zeros, padded, shifts, zero, 1, origin, begin, end, 0)
            apply_neighbours(
                q,
                given,
                minus[origin:],
                padded,
                shifts,
                scale,
                labels,
                origin,
                begin,
                end,
                wanted - begin,
            )


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
        shifts: how far on the neighbour of each offset is, over flattened pixels.
    """

    weights: tuple[Array, ...]
    which: Array
    sizes: Array
    shifts: tuple[int, ...]


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
    shifts = tuple(dy * width + dx for dy, dx in grid.offsets)
    return Flat(weights=weights, which=which, sizes=sizes, shifts=shifts)


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
    product = np.empty(given.shape, dtype=given.numpy().dtype)
    matrices = (flat.weights, flat.which, flat.sizes, flat.shifts)
    common = (product, given.numpy(), scales.numpy(), *matrices)
    pixels = shares(math.prod(lead) * math.prod(event[1:]), given.numel() // _SHARE)
    run_all([partial(_run_others, *common, begin, end) for begin, end in pixels])
    return torch.from_numpy(product).reshape(*lead, *event)
