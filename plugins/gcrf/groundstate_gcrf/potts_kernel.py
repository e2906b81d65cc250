"""Conjugate gradients for (J - I) ⊗ Ψ + λI on a pixel grid, in compiled code.

A label at a time, so that everything an iteration touches stays in the second-level cache: the mean
over labels with λI + (L - 1)Ψ, then each deviation from it with λI - Ψ.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate.status import Status
from groundstate_gcrf.energies.grid_kernel import (
    pad,  # pyright: ignore[reportUnknownVariableType]
    subtract_coupled,  # pyright: ignore[reportUnknownVariableType]
)

Array = NDArray[Any]
RUNNING, DIVERGED, INDEFINITE = int(Status.RUNNING), int(Status.DIVERGED), int(Status.INDEFINITE)
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""
MARGIN = 0.8
"""How much of the squared tolerance may be used up, for rounding takes its part."""


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _scale(q: Array, scale: float, p: Array) -> None:
    for i in range(q.shape[0]):
        q[i] = scale * p[i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _dots(q: Array, p: Array) -> tuple[float, float]:
    curvature, square = 0.0, 0.0
    for i in range(q.shape[0]):
        own = np.float64(p[i])
        curvature += np.float64(q[i]) * own
        square += own * own
    return curvature, square


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _update(x: Array, r: Array, p: Array, q: Array, alpha: float) -> float:
    square = 0.0
    for i in range(x.shape[0]):
        x[i] += alpha * p[i]
        left = r[i] - alpha * q[i]
        r[i] = left
        square += np.float64(left) * np.float64(left)
    return square


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _turn(p: Array, r: Array, beta: float) -> None:
    for i in range(p.shape[0]):
        p[i] = r[i] + beta * p[i]


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _iterate(
    x: Array,
    r: Array,
    p: Array,
    q: Array,
    coupled: Array,
    shifts: Array,
    scale: float,
    goal: float,
    epsilon: float,
    count: int,
) -> tuple[int, int]:
    """(λI - coupled)x = r from x = 0 until ‖r‖² ≤ goal; returns status and iterations."""
    cast = x.dtype.type
    x[:] = 0.0
    p[:] = r
    square = _dots(r, r)[1]
    for done in range(count):
        if square <= goal:
            return RUNNING, done
        _scale(q, scale, p)
        subtract_coupled(q, p, coupled, shifts, 0, 0, p.shape[0])
        curvature, size = _dots(q, p)
        if not (np.isfinite(curvature) and np.isfinite(size)):
            return DIVERGED, done
        if curvature <= epsilon * scale * size:
            return INDEFINITE, done
        fresh = _update(x, r, p, q, cast(square / curvature))
        _turn(p, r, cast(fresh / square))
        square = fresh
    return RUNNING, count


@njit(cache=True, nogil=True, fastmath=_ORDER_FREE, error_model="numpy")
@typing.no_type_check
def _split(b: Array, mean: Array) -> None:
    """The mean of `[labels, pixels]` over labels, and b without it."""
    labels = b.shape[0]
    mean[:] = 0.0
    for label in range(labels):
        row = b[label]
        for i in range(mean.shape[0]):
            mean[i] += row[i]
    for i in range(mean.shape[0]):
        mean[i] /= labels
    for label in range(labels):
        row = b[label]
        for i in range(mean.shape[0]):
            row[i] -= mean[i]


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def solve_problems(
    problems: Array,
    xs: Array,
    bs: Array,
    scales: Array,
    goals: Array,
    weights: tuple[Array, ...],
    which: Array,
    sizes: Array,
    status: Array,
    iterations: Array,
    epsilon: float,
    count: int,
) -> None:
    """Solve some problems, each label by at most `count` iterations.

    Args:
        problems: which ones.
        xs: `[problems, labels, pixels]`, written.
        bs: the right-hand sides, likewise; overwritten.
        scales: λ of each.
        goals: what ‖b - Ax‖² of each may be.
        weights: see `grid_kernel.Flat`, as are `which` and `sizes`.
        which: the matrix of each problem.
        sizes: of grid and offsets.
        status: of each, written; RUNNING where nothing is wrong.
        iterations: the most of any label of each, written.
        epsilon: of the floating-point type.
        count: iterations at most.
    """
    labels, pixels = xs.shape[1], xs.shape[2]
    offsets, width = sizes[1:], sizes[0, 1]
    shifts = offsets[:, 0] * width + offsets[:, 1]
    work = np.empty((4, pixels), dtype=xs.dtype)
    together, p, q, mean = work[0], work[1], work[2], work[3]
    for problem in problems:
        padded = pad(weights, which[problem], offsets, sizes[0, 0], width)
        x, b, scale = xs[problem], bs[problem], scales[problem]
        _split(b, mean)
        # squared residuals add up: half for the mean, which counts for every label, half for all
        # deviations
        goal = 0.5 * MARGIN * goals[problem] / labels
        coupled = padded * xs.dtype.type(1 - labels)
        worst, most = _iterate(together, mean, p, q, coupled, shifts, scale, goal, epsilon, count)
        for label in range(labels):
            if worst != RUNNING:
                break
            worst, done = _iterate(
                x[label], b[label], p, q, padded, shifts, scale, goal, epsilon, count
            )
            most = max(most, done)
        # deviations sum to 0, and what does not is error
        _split(x, mean)
        for label in range(labels):
            x[label] += together
        status[problem], iterations[problem] = worst, most
