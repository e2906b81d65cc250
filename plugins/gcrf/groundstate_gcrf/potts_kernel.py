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
    apply_neighbours,  # pyright: ignore[reportUnknownVariableType]
    pad,  # pyright: ignore[reportUnknownVariableType]
)

Array = NDArray[Any]
RUNNING, DIVERGED, INDEFINITE = int(Status.RUNNING), int(Status.DIVERGED), int(Status.INDEFINITE)
_ORDER_FREE = {"reassoc", "contract", "nsz"}
"""Sums may be vectorised; NaN and infinity keep their meaning."""
MARGIN = 0.8
"""How much of the squared tolerance may be used up, for rounding takes its part."""


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
    zeros: Array,
    coupled: Array,
    shifts: tuple[int, ...],
    scale: float,
    square: float,
    goal: float,
    epsilon: float,
    count: int,
) -> tuple[int, int, float]:
    """(λI - coupled)x = r until ‖r‖² ≤ goal; returns status, iterations and `square` = ‖r‖²."""
    cast = x.dtype.type
    for done in range(count):
        if square <= goal:
            return RUNNING, done, square
        apply_neighbours(q, p, zeros, coupled, shifts, scale, 1, 0, 0, p.shape[0], 0)
        curvature, size = _dots(q, p)
        if not (np.isfinite(curvature) and np.isfinite(size)):
            return DIVERGED, done, square
        if curvature <= epsilon * scale * size:
            return INDEFINITE, done, square
        fresh = _update(x, r, p, q, cast(square / curvature))
        _turn(p, r, cast(fresh / square))
        square = fresh
    return RUNNING, count, square


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
def begin_problems(problems: Array, bs: Array, means: Array, squares: Array) -> None:
    """Split right-hand sides into mean and deviations, and measure each.

    Args:
        problems: which ones.
        bs: `[problems, labels, pixels]`; overwritten by the deviations.
        means: `[problems, pixels]`, written.
        squares: ‖r‖² `[problems, 1 + labels]`, of the mean first; written.
    """
    for problem in problems:
        b, mean = bs[problem], means[problem]
        _split(b, mean)
        squares[problem, 0] = _dots(mean, mean)[1]
        for label in range(b.shape[0]):
            squares[problem, 1 + label] = _dots(b[label], b[label])[1]


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def end_problems(problems: Array, xs: Array, means: Array) -> None:
    """Put deviations and mean together, in `xs`."""
    mean = np.empty(xs.shape[2], dtype=xs.dtype)
    for problem in problems:
        x, together = xs[problem], means[problem]
        # deviations sum to 0, and what does not is error
        _split(x, mean)
        for label in range(x.shape[0]):
            x[label] += together


@njit(cache=True, nogil=True, error_model="numpy")
@typing.no_type_check
def advance_problems(
    problems: Array,
    xs: Array,
    bs: Array,
    together: Array,
    means: Array,
    directions: Array,
    squares: Array,
    iterations: Array,
    status: Array,
    scales: Array,
    goals: Array,
    weights: tuple[Array, ...],
    which: Array,
    sizes: Array,
    shifts: tuple[int, ...],
    epsilon: float,
    count: int,
) -> None:
    """Some iterations of the mean and of each deviation of some problems.

    Args:
        problems: which ones.
        xs: the deviations of x so far, `[problems, labels, pixels]`; changed.
        bs: their remainders, likewise.
        together: the mean of x so far, `[problems, pixels]`; changed.
        means: its remainder, likewise.
        directions: where each is headed, `[problems, 1 + labels, pixels]`, the mean first; read
            and written only for what takes more than one call.
        squares: ‖r‖² of each, changed, as are the next two.
        iterations: of each so far.
        status: of each problem; RUNNING where nothing is wrong.
        scales: λ of each problem.
        goals: what ‖r‖² of the mean and of each deviation may be, per problem.
        weights: see `grid_kernel.Flat`, as are the next three.
        which: the matrix of each problem.
        sizes: of grid and offsets.
        shifts: of the neighbours.
        epsilon: of the floating-point type.
        count: iterations at most.
    """
    labels, pixels = xs.shape[1], xs.shape[2]
    work = np.zeros((3, pixels), dtype=xs.dtype)
    p, q, zeros = work[0], work[1], work[2]
    padded = np.empty((len(weights), pixels), dtype=xs.dtype)
    for problem in problems:
        pad(padded, weights, which[problem], sizes, 0, pixels)
        coupled = padded * xs.dtype.type(1 - labels)
        scale, goal = scales[problem], goals[problem]
        for column in range(1 + labels):
            square = squares[problem, column]
            if square <= goal:
                continue
            x, r, matrix = together[problem], means[problem], coupled
            if column > 0:
                x, r, matrix = xs[problem, column - 1], bs[problem, column - 1], padded
            p[:] = r if iterations[problem, column] == 0 else directions[problem, column]
            verdict, done, square = _iterate(
                x, r, p, q, zeros, matrix, shifts, scale, square, goal, epsilon, count
            )
            squares[problem, column] = square
            iterations[problem, column] += done
            if verdict != RUNNING:
                status[problem] = verdict
                break
            if not square <= goal:
                directions[problem, column] = p
