"""Damped Jacobi iterations, and a chain of springs to try them on: one file, nothing to install."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

import groundstate as gs
from groundstate import Status


@gs.hookimpl
def groundstate_components() -> Iterable[gs.Component]:
    yield gs.Component(
        kind="energy",
        name="springs",
        target=springs,
        summary="masses on a string of springs between two walls",
        gives=("Quadratic",),
        examples=lambda: [springs(masses=3)],
    )
    yield gs.Component(
        kind="solver",
        name="damped-jacobi",
        target=Jacobi,
        summary="damped Jacobi iterations",
        source="Jacobi (1845)",
        needs=("Quadratic",),
        examples=lambda: [Jacobi()],
    )


def springs(
    *,
    masses: Annotated[int, Ge(1)] = 5,
    stiffness: Annotated[float, Gt(0)] = 1.0,
    pull: float = 1.0,
) -> gs.QuadraticEnergy:
    """½ stiffness Σ (xᵢ₊₁ - xᵢ)² - pull · x in the middle; both walls are at 0."""

    def matvec(x: Tensor) -> Tensor:
        walls = torch.nn.functional.pad(x, (1, 1))
        return stiffness * (2 * x - walls[..., 2:] - walls[..., :-2])

    linear = torch.zeros(masses, dtype=torch.float64)
    linear[masses // 2] = pull
    quadratic = gs.Quadratic(
        matvec=matvec,
        linear=linear,
        constant=torch.zeros((), dtype=torch.float64),
        diagonal=torch.full_like(linear, 2 * stiffness),
    )
    space = gs.Real(event_shape=(masses,), dtype=torch.float64)
    return gs.QuadraticEnergy(quadratic=quadratic, space=space)


@dataclass(frozen=True, kw_only=True)
class Iterating(gs.State):
    """What is known of each problem."""

    verdict: Tensor


@dataclass(frozen=True, kw_only=True)
class Jacobi:
    """x ← x + damping · D⁻¹(b - Ax), with D the diagonal of A.

    Attributes:
        damping: 1 is the plain method; less converges for more matrices.
        tolerance: converged when ‖b - Ax‖ is at most this share of ‖b‖.
    """

    damping: Annotated[float, Gt(0), Le(1)] = 1.0
    tolerance: Annotated[float, Gt(0)] = 1e-6

    def init(self, energy: gs.Energy, x0: Tensor | None, rng: torch.Generator) -> Iterating:
        quadratic = gs.view(energy, gs.Quadratic)
        x = torch.zeros_like(quadratic.linear) if x0 is None else x0
        running = torch.full_like(energy.space.layout.sum(x), Status.RUNNING, dtype=torch.int64)
        return Iterating(x=x, verdict=running)

    def step(self, energy: gs.Energy, state: Iterating, deadline: gs.Deadline) -> Iterating:
        quadratic, layout = gs.view(energy, gs.Quadratic), energy.space.layout
        linear = quadratic.linear.expand_as(state.x)
        residual = linear - quadratic.matvec(state.x)
        length, scale = layout.dot(residual, residual), layout.dot(linear, linear)
        bent = layout.dot(residual, quadratic.matvec(residual)) < 0
        flat = quadratic.diagonal.expand_as(state.x) <= 0
        bent = bent | (layout.sum(flat.to(torch.int64)) > 0)
        verdict = state.verdict.clone()
        running = verdict == Status.RUNNING
        verdict[running & (length <= self.tolerance**2 * scale)] = Status.CONVERGED
        verdict[running & bent] = Status.INDEFINITE  # downhill for ever
        verdict[running & ~length.isfinite()] = Status.DIVERGED
        moving = layout.expand(verdict == Status.RUNNING)
        change = torch.where(moving, self.damping * residual / quadratic.diagonal, 0.0)
        return Iterating(x=state.x + change, verdict=verdict)

    def status(self, state: Iterating) -> Tensor:
        return state.verdict
