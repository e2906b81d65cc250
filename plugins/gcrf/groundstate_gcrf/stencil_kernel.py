"""The same recurrence in compiled code, for matrices that are stencils of a pixel grid.

One iteration in torch makes some 25 passes over memory; here two fused sweeps over the rows make
15, each row of which stays in the first-level cache, and a problem does all its iterations before
the next one begins, so that it stays in the last-level cache. Inner products are summed in float64.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate.status import Status

RUNNING, DIVERGED, INDEFINITE = int(Status.RUNNING), int(Status.DIVERGED), int(Status.INDEFINITE)
Array = NDArray[Any]
Arrays = tuple[Array, ...]
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _direction_row(
    direction: Array,
    remainder: Array,
    inverse: Array,
    beta: float,
) -> None:
    for j in range(direction.shape[0]):
        direction[j] = inverse[j] * remainder[j] + beta * direction[j]


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


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _directed_product(
    product: Array,
    direction: Array,
    remainder: Array,
    inverse: Array,
    diagonal: Array,
    right: Array,
    down: Array,
    zeros: Array,
    beta: float,
) -> tuple[float, float]:
    """P ← M⁻¹r + βp and q ← Ap in one sweep; returns pᵀAp and pᵀDp."""
    height = direction.shape[0]
    _direction_row(direction[0], remainder[0], inverse[0], beta)
    curvature, magnitude = 0.0, 0.0
    for i in range(height):
        last = i + 1 == height
        if not last:
            _direction_row(direction[i + 1], remainder[i + 1], inverse[i + 1], beta)
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
    x: Array,
    remainder: Array,
    direction: Array,
    product: Array,
    zeros: Array,
    inverse: Array,
    diagonal: Array,
    right: Array,
    down: Array,
    numbers: Array,
    epsilon: float,
    count: int,
) -> tuple[int, int]:
    """At most `count` iterations of one problem; returns its status and how many it did."""
    beta, energy_norm, scale, goal = numbers[0], numbers[1], numbers[2], numbers[3]
    status, done = RUNNING, 0
    cast = x.dtype.type
    for _ in range(count):
        curvature, magnitude = _directed_product(
            product, direction, remainder, inverse, diagonal, right, down, zeros, cast(beta)
        )
        if not (np.isfinite(curvature) and np.isfinite(magnitude)):
            status = DIVERGED
            break
        if curvature <= epsilon * magnitude:
            status = INDEFINITE
            break
        alpha = energy_norm / curvature
        step, alpha_cast = cast(alpha / scale), cast(alpha)
        norm, fresh = 0.0, 0.0
        for i in range(x.shape[0]):
            part, size = _update_row(
                x[i], remainder[i], direction[i], product[i], inverse[i], step, alpha_cast
            )
            norm += part
            fresh += size
        beta = fresh / energy_norm if energy_norm > 0.0 else 0.0
        energy_norm = fresh
        done += 1
        if np.sqrt(norm) <= goal:
            numbers[4] = 1.0
            break
    numbers[0], numbers[1] = beta, energy_norm
    return status, done


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def advance(
    problems: Array,
    which: Array,
    fields: Arrays,
    matrices: Arrays,
    numbers: Array,
    status: Array,
    iterations: Array,
    epsilon: float,
    count: int,
) -> None:
    """At most `count` iterations of each of some problems, in place.

    Args:
        problems: which ones.
        which: for each problem, which inverse diagonal, diagonal, right and down it has.
        fields: x, remainder and direction, `[problems, height, width]` each.
        matrices: inverse diagonals, diagonals, right and down weights.
        numbers: beta, ρ, scale, goal of each problem, and whether it got there; float64.
        status: of each problem, written.
        iterations: of each problem, added to.
        epsilon: of the floating-point type.
        count: iterations at most.
    """
    xs, remainders, directions = fields
    inverses, diagonals, rights, downs = matrices
    product = np.empty_like(xs[0])
    zeros = np.zeros(xs.shape[2], dtype=xs.dtype)
    for problem in problems:
        status[problem], done = _advance_one(
            xs[problem],
            remainders[problem],
            directions[problem],
            product,
            zeros,
            inverses[which[problem, 0]],
            diagonals[which[problem, 1]],
            rights[which[problem, 2]],
            downs[which[problem, 3]],
            numbers[problem],
            epsilon,
            count,
        )
        iterations[problem] += done
