"""The same recurrence in compiled code, for blocks on edges; see `groundstate_gcrf.recurrence`.

Fields are node by node, as the block products want them, through all iterations. Problems that
share a matrix go together, so that each block is read once for all of them. Inner products are
summed in float64.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate.status import Status
from groundstate_gcrf.energies.block_kernel import (
    add_products,  # pyright: ignore[reportUnknownVariableType]
)

RUNNING, DIVERGED, INDEFINITE = int(Status.RUNNING), int(Status.DIVERGED), int(Status.INDEFINITE)
Array = NDArray[Any]
Arrays = tuple[Array, ...]
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _turn(p: Array, q: Array, r: Array, inverse: float, beta: float, scale: float) -> float:
    """P ← M⁻¹r + βp and q ← λp; returns pᵀp."""
    square = 0.0
    for i in range(p.shape[0]):
        turned = inverse * r[i] + beta * p[i]
        p[i] = turned
        q[i] = scale * turned
        square += np.float64(turned) * np.float64(turned)
    return square


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _dot(left: Array, right: Array) -> float:
    total = 0.0
    for i in range(left.shape[0]):
        total += np.float64(left[i]) * np.float64(right[i])
    return total


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _move(x: Array, r: Array, p: Array, q: Array, step: float, alpha: float) -> float:
    """X ← x + step · p and r ← r - αq; returns rᵀr."""
    square = 0.0
    for i in range(x.shape[0]):
        x[i] += step * p[i]
        left = r[i] - alpha * q[i]
        r[i] = left
        square += np.float64(left) * np.float64(left)
    return square


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def _conclude(
    x: Array, r: Array, p: Array, q: Array, numbers: Array, magnitude: float, epsilon: float
) -> tuple[int, bool]:
    """One problem's step, with its product known; returns its status and whether it moved."""
    beta, scale, inverse, energy_norm = numbers[0], numbers[1], numbers[5], numbers[6]
    curvature, cast = _dot(p, q), x.dtype.type
    finite = np.isfinite(curvature) and np.isfinite(magnitude) and np.isfinite(energy_norm)
    if energy_norm <= 0.0 or (not finite and beta != 0.0):
        numbers[0] = np.nan  # broken down
        return RUNNING, False
    if not finite:
        return DIVERGED, False
    if curvature <= epsilon * magnitude:
        return INDEFINITE, False
    alpha = energy_norm / curvature
    square = _move(x, r, p, q, cast(alpha / scale), cast(alpha))
    following = inverse * square
    numbers[0], numbers[6] = following / energy_norm, following
    if np.sqrt(square) <= numbers[2]:
        numbers[3] = 1.0
    return RUNNING, True


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def advance_together(
    problems: Array,
    blocks: Arrays,
    begins: Arrays,
    ends: Arrays,
    labels: int,
    fields: Arrays,
    numbers: Array,
    status: Array,
    iterations: Array,
    epsilon: float,
    count: int,
) -> None:
    """At most `count` iterations of some problems that have one matrix but for λ, in place.

    Args:
        problems: which ones.
        blocks: those of each part, flat.
        begins: where the edges of each part begin.
        ends: where they end.
        labels: how many.
        fields: x, remainder, direction and room for a product, `[problems, nodes · slots]` each.
        numbers: beta, scale, goal of each problem, whether it got there, λ, its M⁻¹, and room for
            rᵀM⁻¹r; float64.
        status: of each problem, written.
        iterations: of each problem, added to.
        epsilon: of the floating-point type.
        count: iterations at most.
    """
    xs, rs, ps, qs = fields
    cast, active = xs.dtype.type, problems.copy()
    magnitudes = np.empty(xs.shape[0])
    for k in active:
        numbers[k, 6] = numbers[k, 5] * _dot(rs[k], rs[k])
    for _ in range(count):
        for k in active:
            beta, scale, inverse = cast(numbers[k, 0]), cast(numbers[k, 4]), cast(numbers[k, 5])
            square = _turn(ps[k], qs[k], rs[k], inverse, beta, scale)
            magnitudes[k] = numbers[k, 4] * square
        for part in range(len(blocks)):
            add_products(qs, ps, active, blocks[part], begins[part], ends[part], labels)
        left = 0
        for k in active:
            status[k], moved = _conclude(
                xs[k], rs[k], ps[k], qs[k], numbers[k], magnitudes[k], epsilon
            )
            if moved:
                iterations[k] += 1
                if numbers[k, 3] == 0.0:
                    active[left] = k
                    left += 1
        active = active[:left]
        if left == 0:
            break
