"""The product with the matrix of a pixel grid in compiled code: each number of it from memory once.

In torch it takes five passes over the product; here a row of it is made in one, while its rows of x
are in the cache. Used on CPU where no gradient flows through.
"""

import typing
from collections.abc import Callable, Sequence
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
_U = np.uint64
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""
_SHARE = 1 << 16
"""Pixels that are worth a thread."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _inner(
    product: Array,
    x: Array,
    diagonal: Array,
    right: Array,
    down: Array,
    row: int,
    width: int,
    begin: int,
    end: int,
) -> None:
    """Pixels with four neighbours in one row; `right` has one number less in each row above it.

    Arrays are flat, for one base each, and integers unsigned: a loop over parts of rows has too
    many bases to vectorise, and an index that may be negative costs a test at each access.
    """
    for j in range(begin, end):
        product[j] = (
            diagonal[j] * x[j]
            - down[j - width] * x[j - width]
            - down[j] * x[j + width]
            - right[j - row] * x[j + _U(1)]
            - right[j - row - _U(1)] * x[j - _U(1)]
        )


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _pixel(x: Array, diagonal: Array, right: Array, down: Array, i: int, j: int) -> float:
    """Any pixel."""
    height, width = x.shape
    value = diagonal[i, j] * x[i, j]
    if i > 0:
        value -= down[i - 1, j] * x[i - 1, j]
    if i + 1 < height:
        value -= down[i, j] * x[i + 1, j]
    if j > 0:
        value -= right[i, j - 1] * x[i, j - 1]
    if j + 1 < width:
        value -= right[i, j] * x[i, j + 1]
    return value


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _image(
    product: Array, x: Array, diagonal: Array, right: Array, down: Array, begin: int, end: int
) -> None:
    """Rows `begin` to `end` of one problem."""
    height, width = x.shape
    flat_product, flat_x, flat_diagonal = product.reshape(-1), x.reshape(-1), diagonal.reshape(-1)
    flat_right, flat_down = right.reshape(-1), down.reshape(-1)
    for i in range(begin, end):
        if i == 0 or i + 1 == height or width < 3:
            for j in range(width):
                product[i, j] = _pixel(x, diagonal, right, down, i, j)
            continue
        product[i, 0] = _pixel(x, diagonal, right, down, i, 0)
        product[i, width - 1] = _pixel(x, diagonal, right, down, i, width - 1)
        first = i * width + 1
        _inner(
            flat_product,
            flat_x,
            flat_diagonal,
            flat_right,
            flat_down,
            _U(i),
            _U(width),
            _U(first),
            _U(first + width - 2),
        )


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _rows(
    products: Array,
    xs: Array,
    matrices: tuple[Array, Array, Array],
    which: Array,
    begin: int,
    end: int,
) -> None:
    """Some rows of all problems, which are numbered through."""
    height = xs.shape[1]
    for problem in range(begin // height, (end + height - 1) // height):
        _image(
            products[problem],
            xs[problem],
            matrices[0][which[problem, 0]],
            matrices[1][which[problem, 1]],
            matrices[2][which[problem, 2]],
            max(begin - problem * height, 0),
            min(end - problem * height, height),
        )


_run = cast(Callable[..., None], _rows)


def serves(parts: Sequence[Float[Tensor, "..."]], x: Float[Tensor, "..."]) -> bool:
    """Whether compiled code may stand in for torch."""
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or not x.numel():
        return False
    if any(each.dtype != x.dtype for each in parts):
        return False
    learned = torch.is_grad_enabled() and any(each.requires_grad for each in (x, *parts))
    return not learned


def product_with_stencil(
    parts: tuple[Tensor, Tensor, Tensor], x: Float[Tensor, "..."], lead: tuple[int, ...]
) -> Float[Tensor, "*lead height width"]:
    """Ax for diagonal, right and down weights; batch dimensions of all broadcast to `lead`."""
    height, width = x.shape[-2:]
    given = x.detach().expand(*lead, height, width).reshape(-1, height, width).contiguous()
    flat = [_flatten(part.detach(), lead) for part in parts]
    matrices = tuple(array for array, _ in flat)
    which = np.stack([index for _, index in flat], axis=-1)
    product = np.empty(given.shape, dtype=given.numpy().dtype)
    common = (product, given.numpy(), matrices, which)
    rows = len(given) * height
    parts_of_rows = shares(rows, given.numel() // _SHARE)
    run_all([partial(_run, *common, begin, end) for begin, end in parts_of_rows])
    return torch.from_numpy(product).reshape(*lead, height, width)


def _flatten(part: Tensor, lead: tuple[int, ...]) -> tuple[Array, Array]:
    """The different matrices of a part, and which of them each problem has."""
    own = part.shape[:-2]
    values = part.reshape(own.numel(), *part.shape[-2:]).contiguous().numpy()
    index = np.broadcast_to(np.arange(own.numel()).reshape(own), lead)
    return values, np.ascontiguousarray(index.reshape(-1))
