"""One multigrid cycle in compiled code: what `groundstate_gcrf.preconditioners.multigrid` does.

Fields lie row by row: lines along rows are solved one after the other, lines down columns all side
by side. A line is solved in place, for its right-hand side never needs the line itself. Sums over
neighbours run over whole rows, which vectorises, also where only every second column wants them.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""
Arrays = tuple[Array, ...]
"""A grid: centre, right, below, below right, below left, and 1 / D of the lines along rows and down
columns. Couplings to the right and below may lack their last column or row."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_beside(row: Array, x: Array, right: Array) -> None:
    for j in range(row.shape[0] - 1):
        row[j] += right[j] * x[j + 1]
    for j in range(row.shape[0] - 1):
        row[j + 1] += right[j] * x[j]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_over(row: Array, x: Array, below: Array) -> None:
    for j in range(row.shape[0]):
        row[j] += below[j] * x[j]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_corners_above(row: Array, x: Array, below_right: Array, below_left: Array) -> None:
    for j in range(row.shape[0] - 1):
        row[j + 1] += below_right[j] * x[j]
    for j in range(row.shape[0] - 1):
        row[j] += below_left[j + 1] * x[j + 1]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _add_corners_below(row: Array, x: Array, below_right: Array, below_left: Array) -> None:
    for j in range(row.shape[0] - 1):
        row[j] += below_right[j] * x[j + 1]
    for j in range(row.shape[0] - 1):
        row[j + 1] += below_left[j + 1] * x[j]


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _add_rows(row: Array, x: Array, grid: Arrays, i: int, corners: bool) -> None:
    """Adds what pixels of row i get from the rows above and below."""
    _, _, below, below_right, below_left, _, _ = grid
    if i > 0:
        _add_over(row, x[i - 1], below[i - 1])
        if corners:
            _add_corners_above(row, x[i - 1], below_right[i - 1], below_left[i - 1])
    if i + 1 < x.shape[0]:
        _add_over(row, x[i + 1], below[i])
        if corners:
            _add_corners_below(row, x[i + 1], below_right[i], below_left[i])


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _add_columns(row: Array, x: Array, grid: Arrays, i: int, corners: bool) -> None:
    """Adds what pixels of row i get from the columns beside theirs."""
    _, right, _, below_right, below_left, _, _ = grid
    _add_beside(row, x[i], right[i])
    if corners and i > 0:
        _add_corners_above(row, x[i - 1], below_right[i - 1], below_left[i - 1])
    if corners and i + 1 < x.shape[0]:
        _add_corners_below(row, x[i + 1], below_right[i], below_left[i])


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _solve_row(row: Array, coupling: Array, inverse: Array) -> None:
    last = row.shape[0] - 1
    value = row[0]
    for j in range(last):
        value = row[j + 1] + coupling[j] * inverse[j] * value
        row[j + 1] = value
    value = value * inverse[last]
    row[last] = value
    for j in range(last - 1, -1, -1):
        value = row[j] * inverse[j] + coupling[j] * inverse[j] * value
        row[j] = value


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _solve_rows(
    x: Array, remainder: Array, grid: Arrays, first: int, alone: bool, corners: bool
) -> None:
    """Every second row, exactly; `alone` where the rows between them are 0."""
    right, inverse = grid[1], grid[5]
    for i in range(first, x.shape[0], 2):
        x[i] = remainder[i]
        if not alone:
            _add_rows(x[i], x, grid, i, corners)
        _solve_row(x[i], right[i], inverse[i])


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _solve_columns(
    x: Array, remainder: Array, grid: Arrays, first: int, corners: bool, row: Array
) -> None:
    """Every second column, exactly."""
    height, width = x.shape
    below, inverse = grid[2], grid[6]
    for i in range(height):
        row[:] = remainder[i]
        _add_columns(row, x, grid, i, corners)
        now = x[i]
        if i == 0:
            for j in range(first, width, 2):
                now[j] = row[j]
        else:
            before, coupling, divisor = x[i - 1], below[i - 1], inverse[i - 1]
            for j in range(first, width, 2):
                now[j] = row[j] + coupling[j] * divisor[j] * before[j]
    now, divisor = x[height - 1], inverse[height - 1]
    for j in range(first, width, 2):
        now[j] *= divisor[j]
    for i in range(height - 2, -1, -1):
        now, after, divisor, coupling = x[i], x[i + 1], inverse[i], below[i]
        for j in range(first, width, 2):
            now[j] = divisor[j] * (now[j] + coupling[j] * after[j])


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _restrict(
    coarse: Array,
    x: Array,
    remainder: Array,
    grid: Arrays,
    weights: Array,
    corners: bool,
    row: Array,
) -> None:
    """Pᵀ(r - Ax); the odd columns were solved last, so nothing is left in them."""
    above, below = weights[0], weights[1]
    diagonal, right = grid[0], grid[1]
    coarse[:] = 0
    for i in range(x.shape[0]):
        row[:] = remainder[i]
        centre, now = diagonal[i], x[i]
        for j in range(row.shape[0]):
            row[j] -= centre[j] * now[j]
        _add_beside(row, now, right[i])
        _add_rows(row, x, grid, i, corners)
        half = i // 2
        into = coarse[half]
        if i % 2 == 0:
            for j in range(into.shape[0]):
                into[j] += row[2 * j]
            continue
        share = above[half]
        for j in range(into.shape[0]):
            into[j] += share[j] * row[2 * j]
        if half + 1 < coarse.shape[0]:
            into, share = coarse[half + 1], below[half]
            for j in range(into.shape[0]):
                into[j] += share[j] * row[2 * j]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _interpolate(x: Array, coarse: Array, weights: Array) -> None:
    """X ← x + Pe in the even columns; the odd ones are solved next, whatever they hold."""
    above, below = weights[0], weights[1]
    for i in range(x.shape[0]):
        now, half = x[i], i // 2
        error, share = coarse[half], above[half]
        if i % 2 == 0:
            for j in range(error.shape[0]):
                now[2 * j] += error[j]
            continue
        for j in range(error.shape[0]):
            now[2 * j] += share[j] * error[j]
        if half + 1 < coarse.shape[0]:
            error, share = coarse[half + 1], below[half]
            for j in range(error.shape[0]):
                now[2 * j] += share[j] * error[j]


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _grid(stencil: Arrays, numbers: Array, sizes: Array, k: int) -> tuple[Arrays, Array]:
    """A grid and its weights: views of what is kept."""
    height, width, start, _ = sizes[k]
    pixels, fields = height * width, 2 if k == 0 else 7
    kept = numbers[start : start + fields * pixels].reshape(fields, height, width)
    start += fields * pixels
    half = ((height + 1) // 2, (width + 1) // 2)
    weights = numbers[start : start + 2 * half[0] * half[1]].reshape(2, *half)
    if k == 0:
        diagonal, right, below = stencil
        return (diagonal, right, below, below, below, kept[0], kept[1]), weights
    return (kept[0], kept[1], kept[2], kept[3], kept[4], kept[5], kept[6]), weights


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _fields(
    solution: Array, remainder: Array, space: Array, sizes: Array, k: int
) -> tuple[Array, Array]:
    """The unknowns and the right-hand side of a grid."""
    if k == 0:
        return solution, remainder
    height, width, _, start = sizes[k]
    both = space[start : start + 2 * height * width].reshape(2, height, width)
    return both[0], both[1]


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _solve_coarsest(x: Array, remainder: Array, numbers: Array, start: int) -> None:
    x, remainder = x.reshape(x.size), remainder.reshape(x.size)
    for i in range(x.size):
        row = numbers[start + i * x.size : start + (i + 1) * x.size]
        total = np.float64(0.0)
        for j in range(x.size):
            total += row[j] * remainder[j]
        x[i] = total


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def cycle(
    solution: Array,
    remainder: Array,
    stencil: Arrays,
    numbers: Array,
    sizes: Array,
    space: Array,
    row: Array,
) -> None:
    """Solution ← M⁻¹ remainder.

    Args:
        solution: written.
        remainder: the right-hand side.
        stencil: the finest matrix: diagonal, right and down.
        numbers: the other grids, as `Multigrid.numbers` has them for one matrix.
        sizes: of each grid, the finest first: height, width, where it starts in `numbers`, and in
            `space`.
        space: working space.
        row: working space of one row of the finest grid.
    """
    coarsest = sizes.shape[0] - 1
    for k in range(coarsest):
        grid, weights = _grid(stencil, numbers, sizes, k)
        x, left = _fields(solution, remainder, space, sizes, k)
        _, coarse = _fields(solution, remainder, space, sizes, k + 1)
        corners, line = k > 0, row[: x.shape[1]]
        _solve_rows(x, left, grid, 0, True, corners)
        _solve_rows(x, left, grid, 1, False, corners)
        _solve_columns(x, left, grid, 0, corners, line)
        _solve_columns(x, left, grid, 1, corners, line)
        _restrict(coarse, x, left, grid, weights, corners, line)
    x, left = _fields(solution, remainder, space, sizes, coarsest)
    _solve_coarsest(x, left, numbers, sizes[coarsest, 2])
    for k in range(coarsest - 1, -1, -1):
        grid, weights = _grid(stencil, numbers, sizes, k)
        x, left = _fields(solution, remainder, space, sizes, k)
        error, _ = _fields(solution, remainder, space, sizes, k + 1)
        corners, line = k > 0, row[: x.shape[1]]
        _interpolate(x, error, weights)
        _solve_columns(x, left, grid, 1, corners, line)
        _solve_columns(x, left, grid, 0, corners, line)
        _solve_rows(x, left, grid, 1, False, corners)
        _solve_rows(x, left, grid, 0, False, corners)


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def factor_lines(inverse: Array, centre: Array, coupling: Array) -> None:
    """1 / D in LDLᵀ of the tridiagonal blocks along the last axis, `[lines, length]` each."""
    lines, length = centre.shape
    for i in range(lines):
        for j in range(length):
            pivot = centre[i, j]
            if j > 0:
                pivot -= coupling[i, j - 1] ** 2 * inverse[i, j - 1]
            if not pivot > 0.0:
                pivot = centre[i, j] if centre[i, j] > 0.0 else 1.0
            inverse[i, j] = 1.0 / pivot
