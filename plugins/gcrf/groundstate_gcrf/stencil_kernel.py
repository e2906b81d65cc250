"""The same recurrence in compiled code, for matrices that are stencils of a pixel grid.

One iteration in torch makes some 25 passes over memory; here two fused sweeps over the rows make
15, each row of which stays in the first-level cache, and a problem does all its iterations before
the next one begins, so that it stays in the last-level cache. Inner products are summed in float64.
A diagonal preconditioner is fused into the sweeps; multigrid is a cycle between them.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate.status import Status
from groundstate_gcrf.preconditioners.cycle_kernel import (
    cycle,  # pyright: ignore[reportUnknownVariableType]
)

RUNNING, DIVERGED, INDEFINITE = int(Status.RUNNING), int(Status.DIVERGED), int(Status.INDEFINITE)
Array = NDArray[Any]
Arrays = tuple[Array, ...]
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _direction_row(
    direction: Array,
    source: Array,
    inverse: Array,
    beta: float,
) -> None:
    for j in range(direction.shape[0]):
        direction[j] = inverse[j] * source[j] + beta * direction[j]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _product_row(
    product: Array,
    above: Array,
    row: Array,
    below: Array,
    up: Array,
    down: Array,
    right: Array,
    diagonal: Array,
) -> tuple[float, float]:
    """One row of Ap, by short loops that each vectorise; returns its parts of pᵀAp and pᵀDp."""
    width = row.shape[0]
    for j in range(width):
        product[j] = diagonal[j] * row[j] - up[j] * above[j] - down[j] * below[j]
    for j in range(width - 1):
        product[j] -= right[j] * row[j + 1]
    for j in range(width - 1):
        product[j + 1] -= right[j] * row[j]
    curvature, magnitude = 0.0, 0.0
    for j in range(width):
        curvature += np.float64(product[j]) * np.float64(row[j])
        magnitude += np.float64(diagonal[j] * row[j]) * np.float64(row[j])
    return curvature, magnitude


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _update_row(
    x: Array,
    remainder: Array,
    direction: Array,
    product: Array,
    inverse: Array,
    step: float,
    alpha: float,
) -> tuple[float, float]:
    norm, energy_norm = 0.0, 0.0
    for j in range(x.shape[0]):
        x[j] += step * direction[j]
        left = remainder[j] - alpha * product[j]
        remainder[j] = left
        square = np.float64(left) * np.float64(left)
        norm += square
        energy_norm += square * np.float64(inverse[j])
    return norm, energy_norm


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _dot_row(left: Array, right: Array, inverse: Array) -> float:
    total = 0.0
    for j in range(left.shape[0]):
        total += np.float64(left[j]) * np.float64(inverse[j] * right[j])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _dot(left: Array, right: Array, inverse: Array) -> float:
    total, tall = 0.0, 1 if inverse.shape[0] > 1 else 0
    for i in range(left.shape[0]):
        total += _dot_row(left[i], right[i], inverse[i * tall])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _directed_product(
    product: Array,
    direction: Array,
    source: Array,
    inverse: Array,
    stencil: Arrays,
    zeros: Array,
    beta: float,
) -> tuple[float, float]:
    """P ← D⁻¹s + βp and q ← Ap in one sweep; returns pᵀAp and pᵀ diag(A) p."""
    diagonal, right, down = stencil
    height, tall = direction.shape[0], 1 if inverse.shape[0] > 1 else 0
    _direction_row(direction[0], source[0], inverse[0], beta)
    curvature, magnitude = 0.0, 0.0
    for i in range(height):
        last = i + 1 == height
        if not last:
            _direction_row(direction[i + 1], source[i + 1], inverse[(i + 1) * tall], beta)
        part, size = _product_row(
            product[i],
            direction[i - 1] if i > 0 else direction[i],
            direction[i],
            direction[i] if last else direction[i + 1],
            down[i - 1] if i > 0 else zeros,
            zeros if last else down[i],
            right[i],
            diagonal[i],
        )
        curvature += part
        magnitude += size
    return curvature, magnitude


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _advance_one(
    fields: Arrays,
    stencil: Arrays,
    inverse: Array,
    grids: Array,
    sizes: Array,
    spaces: Arrays,
    numbers: Array,
    epsilon: float,
    count: int,
) -> tuple[int, int]:
    """At most `count` iterations of one problem; returns its status and how many it did."""
    x, remainder, direction = fields
    product, preconditioned, space, line, zeros = spaces
    beta, scale, goal = numbers[0], numbers[1], numbers[2]
    status, done, cast = RUNNING, 0, x.dtype.type
    cycles = sizes.shape[0] > 0
    source = preconditioned if cycles else remainder
    if cycles:
        cycle(source, remainder, stencil, grids, sizes, space, line)
    energy_norm = _dot(remainder, source, inverse)
    for _ in range(count):
        curvature, magnitude = _directed_product(
            product, direction, source, inverse, stencil, zeros, cast(beta)
        )
        finite = np.isfinite(curvature) and np.isfinite(magnitude) and np.isfinite(energy_norm)
        if energy_norm <= 0.0 or (not finite and beta != 0.0):
            beta = np.nan  # broken down
            break
        if not finite:
            status = DIVERGED
            break
        if curvature <= epsilon * magnitude:
            status = INDEFINITE
            break
        alpha = energy_norm / curvature
        step, alpha_cast = cast(alpha / scale), cast(alpha)
        norm, following, tall = 0.0, 0.0, 1 if inverse.shape[0] > 1 else 0
        for i in range(x.shape[0]):
            part, size = _update_row(
                x[i], remainder[i], direction[i], product[i], inverse[i * tall], step, alpha_cast
            )
            norm += part
            following += size
        done += 1
        there = np.sqrt(norm) <= goal
        if cycles and not there:
            cycle(source, remainder, stencil, grids, sizes, space, line)
            following = _dot(remainder, source, inverse)
        beta = following / energy_norm
        energy_norm = following
        if there:
            numbers[3] = 1.0
            break
    numbers[0] = beta
    return status, done


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def advance(
    problems: Array,
    which: Array,
    fields: Arrays,
    matrices: Arrays,
    grids: Array,
    sizes: Array,
    numbers: Array,
    status: Array,
    iterations: Array,
    epsilon: float,
    count: int,
) -> None:
    """At most `count` iterations of each of some problems, in place.

    Args:
        problems: which ones.
        which: for each problem, which diagonal, right, down, inverse diagonal and grids it has.
        fields: x, remainder and direction, `[problems, height, width]` each.
        matrices: diagonals, right and down weights, inverse diagonals of the preconditioner; those
            may have a single row for all.
        grids: `Multigrid.numbers` of each matrix.
        sizes: of these grids, as `cycle` wants them; none where the preconditioner is diagonal.
        numbers: beta, scale, goal of each problem, and whether it got there; float64.
        status: of each problem, written.
        iterations: of each problem, added to.
        epsilon: of the floating-point type.
        count: iterations at most.
    """
    xs, remainders, directions = fields
    diagonals, rights, downs, inverses = matrices
    product, preconditioned = np.empty_like(xs[0]), np.empty_like(xs[0])
    count_of_space = 0
    for k in range(sizes.shape[0]):
        count_of_space += 2 * sizes[k, 0] * sizes[k, 1]
    space = np.empty(count_of_space, dtype=xs.dtype)
    zeros = np.zeros(xs.shape[2], dtype=xs.dtype)
    spaces = (product, preconditioned, space, np.empty_like(zeros), zeros)
    for problem in problems:
        diagonal, right, down, inverse, grid = which[problem]
        status[problem], done = _advance_one(
            (xs[problem], remainders[problem], directions[problem]),
            (diagonals[diagonal], rights[right], downs[down]),
            inverses[inverse],
            grids[grid],
            sizes,
            spaces,
            numbers[problem],
            epsilon,
            count,
        )
        iterations[problem] += done
