"""Gradient descent with exact line search; Cauchy (1847).

With the residual r = b - Ax, the step α = rᵀr / rᵀAr along r lowers ½xᵀAx - bᵀx the most.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

import groundstate as gs
from groundstate import Status


@dataclass(frozen=True, kw_only=True)
class Descending(gs.State):
    """The residual b - Ax at `x`, and what is decided of each problem."""

    remaining: Tensor
    verdict: Tensor


@dataclass(frozen=True, kw_only=True)
class ExactDescent:
    """Gradient descent with exact line search.

    Attributes:
        tolerance: converged when ‖b - Ax‖ is at most this share of ‖b‖.
    """

    tolerance: Annotated[float, Gt(0)] = 1e-6

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> Descending:
        space = energy.space
        if x0 is None:
            x0 = torch.zeros(space.layout.shape, dtype=space.dtype, device=space.device)
        undecided = torch.full_like(space.layout.sum(x0), Status.RUNNING, dtype=torch.int64)
        return self._judged(energy, x0, undecided)

    def step(self, energy: gs.Energy, state: Descending, deadline: gs.Deadline) -> Descending:
        layout, residual = energy.space.layout, state.remaining
        curvature = layout.dot(residual, gs.view(energy, gs.Quadratic).matvec(residual))
        verdict = state.verdict.clone()
        verdict[(verdict == Status.RUNNING) & (curvature <= 0)] = Status.INDEFINITE
        moving = verdict == Status.RUNNING
        share = torch.where(moving, layout.dot(residual, residual) / curvature, 0.0)
        x = state.x + layout.expand(share) * residual
        moved = layout.sum((x != state.x).to(torch.int64)) > 0
        verdict[moving & ~moved] = Status.STALLED
        return self._judged(energy, x, verdict)

    def status(self, state: Descending) -> Tensor:
        return state.verdict

    def _judged(self, energy: gs.Energy, x: Tensor, verdict: Tensor) -> Descending:
        quadratic, layout = gs.view(energy, gs.Quadratic), energy.space.layout
        linear = quadratic.linear.expand_as(x)
        remaining = linear - quadratic.matvec(x)
        scale = layout.dot(linear, linear).sqrt()
        size = layout.dot(remaining, remaining).sqrt() / torch.where(scale > 0, scale, 1.0)
        verdict = verdict.clone()
        running = verdict == Status.RUNNING
        verdict[running & ~size.isfinite()] = Status.DIVERGED
        verdict[running & (size <= self.tolerance)] = Status.CONVERGED
        return Descending(x=x, residual=size, remaining=remaining, verdict=verdict)


def examples() -> list[ExactDescent]:
    """Two tolerances."""
    return [ExactDescent(tolerance=1e-8), ExactDescent(tolerance=1e-3)]
