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
        name="jacobi",
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
    """Which problems are done."""

    done: Tensor


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
        return Iterating(x=x, done=torch.zeros(energy.space.batch_shape, dtype=torch.bool))

    def step(self, energy: gs.Energy, state: Iterating, deadline: gs.Deadline) -> Iterating:
        quadratic, layout = gs.view(energy, gs.Quadratic), energy.space.layout
        residual = quadratic.linear - quadratic.matvec(state.x)
        small = layout.dot(residual, residual) <= self.tolerance**2 * layout.dot(
            quadratic.linear, quadratic.linear
        )
        done = state.done | small
        change = torch.where(layout.expand(done), 0.0, self.damping * residual / quadratic.diagonal)
        return Iterating(x=state.x + change, done=done)

    def status(self, state: Iterating) -> Tensor:
        return torch.where(state.done, int(Status.CONVERGED), int(Status.RUNNING))
