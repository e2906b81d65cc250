"""`solver/potts-cg`: (J - I) ⊗ Ψ + λI by conjugate gradients on the mean and on the deviations.

J has the mean over labels as its eigenvector, so with m = mean_k b_k (Gaussian CRF spec §3.2)

    x_k = (λI + (L - 1)Ψ)⁻¹ m + (λI - Ψ)⁻¹ (b_k - m),

and instead of one system over all labels with the eigenvalues of both, there are independent ones
over the pixels. Only the mean meets λI + (L - 1)Ψ, which is the one that is badly conditioned: its
iterations cost 1/L of those of the whole system, and the deviations need few.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, cast

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline, State
from groundstate.space import Layout
from groundstate.status import Status
from groundstate.views import Quadratic
from groundstate_gcrf.energies import grid_kernel
from groundstate_gcrf.judging import claims, first_verdict, norm, scale_of
from groundstate_gcrf.potts_kernel import (
    MARGIN,
    advance_problems,  # pyright: ignore[reportUnknownVariableType]
    begin_problems,  # pyright: ignore[reportUnknownVariableType]
    end_problems,  # pyright: ignore[reportUnknownVariableType]
)
from groundstate_gcrf.structure import PottsStructure
from groundstate_gcrf.threads import run_all, shares

Kernel = Callable[..., None]
Problems = NDArray[np.int64]
_advance = cast(Kernel, advance_problems)
_begin, _end = cast(Kernel, begin_problems), cast(Kernel, end_problems)
_WORK = 200_000_000
"""Entries times weights between two looks at the deadline, a fifth of a second or so."""


@dataclass(frozen=True, kw_only=True)
class PottsCGState(State):
    """State of conjugate gradients on mean and deviations.

    Attributes:
        remainder: b - Ax.
        outcome: `Status` of each problem.
        iterations: of each problem, the most of any label, all steps together.
    """

    remainder: Float[Tensor, "..."]
    outcome: Int[Tensor, "*batch"]
    iterations: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class PottsConjugateGradients:
    """Minimises E(x) = ½xᵀAx - bᵀx + c for an A that couples labels by one Ψ.

    One step solves for the remainder b - Ax, by at most `iterations` iterations per label, and
    recomputes it. A problem ends CONVERGED, STALLED (its residual no longer halves), INDEFINITE
    (pᵀAp ≤ 0 up to rounding) or DIVERGED. Compiled code does it where Ψ is a pixel grid, on CPU.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem.
        iterations: in a step, for each label.
    """

    tolerance: Annotated[float, Ge(0)] = 1e-6
    iterations: Annotated[int, Ge(1)] = 1000

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be at least 0, got {self.tolerance}")
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")

    @torch.no_grad()
    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> PottsCGState:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        linear = quadratic.linear.detach().expand(layout.shape)
        scale, size = scale_of(layout, linear)
        outcome = first_verdict(layout, quadratic, size)
        x = torch.zeros_like(linear)
        if x0 is not None:
            x = torch.where(layout.expand(size == 0), x, x0)
        state = PottsCGState(
            x=x, remainder=linear, outcome=outcome, iterations=torch.zeros_like(outcome)
        )
        return self._judged(energy, state, scale, known=x0 is None)

    @torch.no_grad()
    def step(self, energy: Energy, state: PottsCGState, deadline: Deadline) -> PottsCGState:
        layout = energy.space.layout
        linear = view(energy, Quadratic).linear.detach().expand(layout.shape)
        scale, _ = scale_of(layout, linear)
        spread = layout.expand(scale)
        goal = self.tolerance * norm(layout, spread * linear)
        potts = view(energy, PottsStructure)
        running = state.outcome == Status.RUNNING
        right = torch.where(layout.expand(running), spread * state.remainder, 0.0)
        if _fits(potts, right):
            found = solve_compiled(potts, right, goal, self.iterations, deadline)
        else:
            found = solve_in_torch(potts, layout, right, goal, self.iterations, deadline)
        change, verdict, done = found
        x = state.x + torch.where(layout.expand(running), change / spread, 0.0)
        # finite times 0 is 0; where something is wrong already the correction may be anything
        lost = running & (verdict == Status.RUNNING) & ~(layout.sum(x * 0) == 0)
        verdict = verdict.masked_fill(lost, int(Status.DIVERGED))
        keep = layout.expand(verdict != Status.RUNNING)
        after = PottsCGState(
            x=torch.where(keep, state.x, x),
            remainder=state.remainder,
            outcome=torch.where(running, verdict, state.outcome),
            iterations=state.iterations + torch.where(running, done, 0),
        )
        after = self._judged(energy, after, scale, known=False)
        assert after.residual is not None and state.residual is not None
        # one that was cut short may yet go on
        ended = (done < self.iterations) & (not deadline.passed)
        slow = (after.residual > 0.5 * state.residual) & ended
        stalled = (after.outcome == Status.RUNNING) & slow
        return replace(after, outcome=after.outcome.masked_fill(stalled, int(Status.STALLED)))

    def status(self, state: PottsCGState) -> Int[Tensor, "*batch"]:
        return state.outcome

    def _judged(
        self, energy: Energy, state: PottsCGState, scale: Float[Tensor, "*batch"], *, known: bool
    ) -> PottsCGState:
        """The state with its true remainder, and each problem judged by it."""
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        linear = quadratic.linear.detach().expand(layout.shape)
        left = state.remainder if known else linear - quadratic.matvec(state.x)
        spread = layout.expand(scale)
        size = norm(layout, spread * linear)
        residual = norm(layout, spread * left) / torch.where(size > 0, size, 1.0)
        running = state.outcome == Status.RUNNING
        outcome = state.outcome.masked_fill(
            running & (residual <= self.tolerance), int(Status.CONVERGED)
        )
        value, bound = claims(layout, quadratic, state.x, left)
        most = float(state.iterations.max()) if state.iterations.numel() else 0.0
        return replace(
            state,
            remainder=left,
            outcome=outcome,
            energy=value,
            bound=bound,
            residual=residual,
            stats={"iterations": most},
        )


Found = tuple[Float[Tensor, "..."], Int[Tensor, "*batch"], Int[Tensor, "*batch"]]
"""A correction of every problem, RUNNING or what is wrong with it, and its iterations."""


def _fits(potts: PottsStructure, right: Tensor) -> bool:
    grid = potts.neighbours
    return grid is not None and grid_kernel.serves((*grid.weights, potts.scale), right)


def solve_compiled(
    potts: PottsStructure, right: Tensor, goal: Tensor, count: int, deadline: Deadline
) -> Found:
    """Mean and deviations by compiled code, a bounded number of iterations between two looks."""
    grid, batch, labels = potts.neighbours, tuple(goal.shape), potts.labels
    assert grid is not None
    flat = grid_kernel.flatten(grid, batch, labels)
    b = right.reshape(goal.numel(), labels, -1).numpy().copy()
    problems, _, pixels = b.shape
    x, mean = np.zeros_like(b), np.empty((problems, pixels), dtype=b.dtype)
    together = np.zeros_like(mean)
    directions = np.empty((problems, 1 + labels, pixels), dtype=b.dtype)
    squares = np.empty((problems, 1 + labels))
    iterations = np.zeros((problems, 1 + labels), dtype=np.int64)
    status = np.zeros(problems, dtype=np.int64)
    scales = potts.scale.detach().expand(batch).reshape(-1).contiguous().numpy()
    # squared residuals add up: half for the mean, which counts for every label, half for all
    # deviations
    goals = (goal.double() ** 2 * (0.5 * MARGIN / labels)).reshape(-1).contiguous().numpy()
    state = (x, b, together, mean, directions, squares, iterations, status)
    matrices = (scales, goals, flat.weights, flat.which, flat.sizes, flat.shifts)
    epsilon = torch.finfo(right.dtype).eps
    everything = cast(Problems, np.arange(problems))
    _in_threads(_begin, everything, b, mean, squares)
    while count > 0 and not deadline.passed:
        ahead = ~(squares <= goals[:, None]) & (status == Status.RUNNING)[:, None]
        eager = cast(Problems, np.flatnonzero(ahead.any(axis=1)))
        if not eager.size:
            break
        cost = int(ahead.sum()) * pixels * len(grid.offsets)
        share = min(count, max(1, _WORK // cost))
        _in_threads(_advance, eager, *state, *matrices, epsilon, share)
        count -= share
    _in_threads(_end, everything, x, together)
    done = torch.from_numpy(iterations.max(axis=1)).reshape(batch)
    return torch.from_numpy(x).reshape(right.shape), torch.from_numpy(status).reshape(batch), done


def _in_threads(kernel: Kernel, problems: Problems, *common: Any) -> None:
    threads = len(shares(len(problems), len(problems)))
    parts = [problems[first::threads].copy() for first in range(threads)]
    run_all([partial(kernel, part, *common) for part in parts])


def solve_in_torch(
    potts: PottsStructure,
    layout: Layout,
    right: Tensor,
    goal: Tensor,
    count: int,
    deadline: Deadline,
) -> Found:
    """The mean alone, for it needs most iterations, then all deviations side by side."""
    labels = potts.labels
    rows = right.reshape(*layout.batch_shape, labels, -1)
    mean = rows.mean(-2, keepdim=True)
    limit = goal[..., None] ** 2 * (0.5 * MARGIN / labels)
    together = _iterate(potts, labels - 1.0, mean, limit, count, deadline)
    apart = _iterate(potts, -1.0, rows - mean, limit, count, deadline)
    deviations = apart[0]
    x = together[0] + deviations - deviations.mean(-2, keepdim=True)
    # the statuses of what is wrong are above RUNNING
    verdict = torch.maximum(together[1].amax(-1), apart[1].amax(-1))
    return x.reshape(right.shape), verdict, torch.maximum(together[2].amax(-1), apart[2].amax(-1))


def _iterate(
    potts: PottsStructure,
    factor: float,
    right: Float[Tensor, "*batch columns pixels"],
    limit: Float[Tensor, "*batch 1"],
    count: int,
    deadline: Deadline,
) -> tuple[Tensor, Int[Tensor, "*batch columns"], Int[Tensor, "*batch columns"]]:
    """(λI + factor Ψ)x = r from x = 0, each column until ‖r‖² is at most `limit`."""
    scale = potts.scale.detach()[..., None, None]
    epsilon = torch.finfo(right.dtype).eps
    x, remainder, direction = torch.zeros_like(right), right.clone(), right
    square = remainder.square().sum(-1)
    verdict = torch.zeros(square.shape, dtype=torch.int64, device=right.device)
    done = torch.zeros_like(verdict)
    for _ in range(count):
        moving = (verdict == Status.RUNNING) & (square > limit)
        if deadline.passed or not bool(moving.any()):
            break
        product = torch.add(scale * direction, potts.apply(direction), alpha=factor)
        curvature = (direction * product).sum(-1)
        size = scale[..., 0] * direction.square().sum(-1)
        finite = curvature.isfinite() & size.isfinite()
        indefinite = moving & (curvature <= epsilon * size)
        verdict = verdict.masked_fill(indefinite, int(Status.INDEFINITE))
        verdict = verdict.masked_fill(moving & ~finite, int(Status.DIVERGED))
        moving = moving & (verdict == Status.RUNNING)
        alpha = torch.where(moving, square / torch.where(moving, curvature, 1.0), 0.0)[..., None]
        x.addcmul_(alpha, direction)
        remainder.addcmul_(alpha, product, value=-1)
        fresh = torch.where(moving, remainder.square().sum(-1), square)
        beta = torch.where(moving, fresh / torch.where(moving, square, 1.0), 0.0)[..., None]
        direction, square = torch.addcmul(remainder, beta, direction), fresh
        done = done + moving
    return x, verdict, done
