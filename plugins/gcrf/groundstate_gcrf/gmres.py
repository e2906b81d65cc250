"""`solver/gmres`: the smallest residual over a Krylov space, restarted (Saad and Schultz 1986).

On a residual criterion GMRES without restarts needs no more iterations than conjugate gradients; it
pays with one stored vector, and one more inner product, for each iteration since the restart.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, State
from groundstate.space import Layout
from groundstate.status import Status
from groundstate_gcrf.judging import claims, first_verdict, norm, scale_of
from groundstate_gcrf.linear_algebra import eigenvalues, least_squares
from groundstate_gcrf.stationary import System, check_settings, system_of

_LOOK_EVERY = 8
"""Iterations between two looks at whether all are done; each look waits for the device."""


@dataclass(frozen=True, kw_only=True)
class GmresState(State):
    """State of restarted GMRES; nothing but x survives a restart.

    Attributes:
        outcome: `Status` of each problem; only those RUNNING advance.
        iterations: products with A done so far, for each problem.
    """

    outcome: Int[Tensor, "*batch"]
    iterations: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class Gmres:
    """Minimises E(x) = ½xᵀAx - bᵀx + c through the residual of Ax = b, for a positive definite A.

    One step is a cycle up to a restart. A problem ends CONVERGED, STALLED (a cycle no longer lowers
    its residual), INDEFINITE (A has a negative Rayleigh quotient on the Krylov space) or DIVERGED
    (not finite). A cycle that raises the true residual of a problem is undone.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem.
        restart: iterations in a cycle, so configurations stored.
    """

    tolerance: Annotated[float, Ge(0)] = 1e-6
    restart: Annotated[int, Ge(1)] = 32

    def __post_init__(self) -> None:
        check_settings(self.tolerance, 1)
        if self.restart < 1:
            raise ValueError(f"restart must be at least 1, got {self.restart}")

    @torch.no_grad()
    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> GmresState:
        system, layout = system_of(energy), energy.space.layout
        _, largest = scale_of(layout, system.linear)
        start = torch.zeros_like(system.linear) if x0 is None else x0
        x = torch.where(layout.expand(largest == 0), torch.zeros_like(start), start)
        outcome = first_verdict(layout, system.quadratic, largest)
        left = system.left(x)
        residual = system.norm(left)
        running = outcome == Status.RUNNING
        near = running & (residual <= self.tolerance)
        outcome = outcome.masked_fill(near, int(Status.CONVERGED))
        outcome = outcome.masked_fill(running & ~residual.isfinite(), int(Status.DIVERGED))
        state = GmresState(x=x, outcome=outcome, iterations=torch.zeros_like(outcome))
        return _told(system, state, left, residual)

    @torch.no_grad()
    def step(self, energy: Energy, state: GmresState, deadline: Deadline) -> GmresState:
        system, layout = system_of(energy), energy.space.layout
        running = state.outcome == Status.RUNNING
        left = system.left(state.x)
        before = system.norm(left)
        cycle = self._cycle(system, left, running, deadline)
        tried = state.x + cycle.correction / system.spread
        rest = system.left(tried)
        after = system.norm(rest)
        better = running & (after < before)
        where = layout.expand(better)
        x, left = torch.where(where, tried, state.x), torch.where(where, rest, left)
        residual = torch.where(better, after, before)
        moved = running & (cycle.used > 0)
        stalled = moved & ~(after < before) | (cycle.arrived & (after > 0.5 * before))
        outcome = state.outcome.masked_fill(running & stalled, int(Status.STALLED))
        outcome = outcome.masked_fill(running & cycle.indefinite, int(Status.INDEFINITE))
        outcome = outcome.masked_fill(
            running & (residual <= self.tolerance) & ~cycle.indefinite, int(Status.CONVERGED)
        )
        outcome = outcome.masked_fill(moved & ~after.isfinite(), int(Status.DIVERGED))
        iterations = state.iterations + cycle.used
        return _told(
            system, replace(state, x=x, outcome=outcome, iterations=iterations), left, residual
        )

    def status(self, state: GmresState) -> Int[Tensor, "*batch"]:
        return state.outcome

    def _cycle(
        self,
        system: System,
        left: Float[Tensor, "..."],
        running: Bool[Tensor, "*batch"],
        deadline: Deadline,
    ) -> "_Cycle":
        layout = system.energy.space.layout
        start = torch.where(layout.expand(running), system.spread * left, 0.0)
        beta = norm(layout, start)
        arnoldi = _Arnoldi.begin(layout, start, beta, self.restart)
        active = running & (beta > 0)
        used = torch.zeros_like(beta, dtype=torch.int64)
        arrived = torch.zeros_like(running)
        goal = self.tolerance * system.size
        for done in range(self.restart):
            if done % _LOOK_EVERY == 0 and (deadline.passed or not bool(active.any())):
                break
            shortest, closed = arnoldi.extend(system.quadratic.matvec, done, active)
            used = used + active.to(used.dtype)
            here = active & ((beta * shortest <= goal) | closed)
            arrived, active = arrived | here, active & ~here
        right = torch.zeros_like(arnoldi.hessenberg[..., 0])
        right[..., 0] = beta
        weights = least_squares(arnoldi.hessenberg, right).to(beta.dtype)
        weights = torch.where((used > 0)[..., None], weights, 0.0)
        basis = torch.stack(arnoldi.basis[: self.restart])
        terms = layout.expand(weights.movedim(-1, 0)[: len(basis)]) * basis
        return _Cycle(
            correction=terms.sum(0),
            used=used,
            arrived=arrived,
            indefinite=_has_negative_direction(arnoldi.hessenberg, used, beta.dtype),
        )


@dataclass(frozen=True, kw_only=True)
class _Cycle:
    """What a cycle found: a correction, how many iterations, and whether the goal was met."""

    correction: Float[Tensor, "..."]
    used: Int[Tensor, "*batch"]
    arrived: Bool[Tensor, "*batch"]
    indefinite: Bool[Tensor, "*batch"]


@dataclass(kw_only=True)
class _Arnoldi:
    """An orthonormal basis V of the Krylov space and H = VᵀAV, filled column by column.

    Attributes:
        layout: of the configurations.
        basis: V.
        hessenberg: H, in float64.
        normal: q with qᵀH = 0 and q_0 = 1; the smallest residual is that at the start over ‖q‖.
    """

    layout: Layout
    basis: list[Tensor]
    hessenberg: Float[Tensor, "*batch rows columns"]
    normal: Float[Tensor, "*batch rows"]

    @classmethod
    def begin(cls, layout: Layout, start: Tensor, beta: Tensor, restart: int) -> "_Arnoldi":
        shape = (*beta.shape, restart + 1, restart)
        normal = torch.zeros(shape[:-1], dtype=torch.float64, device=beta.device)
        normal[..., 0] = 1.0
        first = start / layout.expand(torch.where(beta > 0, beta, 1.0))
        hessenberg = torch.zeros(shape, dtype=torch.float64, device=beta.device)
        return cls(layout=layout, basis=[first], hessenberg=hessenberg, normal=normal)

    def extend(
        self, matvec: Callable[[Tensor], Tensor], done: int, active: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One more vector; the smallest residual relative to the start, and whether V is closed."""
        layout, basis = self.layout, torch.stack(self.basis)
        product = matvec(self.basis[-1])
        size = norm(layout, product)
        total = torch.zeros_like(layout.dot(basis, product))
        for _ in range(2):  # once is not enough in floating point (Kahan, Parlett)
            shares = layout.dot(basis, product)
            product = product - (layout.expand(shares) * basis).sum(0)
            total = total + shares
        length = norm(layout, product)
        column = torch.cat([total, length[None]]).movedim(0, -1).double()
        column = torch.where(active[..., None], column, 0.0)
        self.hessenberg[..., : done + 2, done] = column
        closed = length <= 16 * torch.finfo(length.dtype).eps * size
        safe = torch.where(closed | ~active, 1.0, length)
        self.basis.append(
            torch.where(layout.expand(active & ~closed), product / layout.expand(safe), 0.0)
        )
        projected = (self.normal[..., : done + 1] * column[..., :-1]).sum(-1)
        self.normal[..., done + 1] = torch.where(active & ~closed, -projected / safe.double(), 0.0)
        reached = self.normal.square().sum(-1).sqrt()
        return reached.reciprocal().to(length.dtype), closed


def _has_negative_direction(
    hessenberg: Float[Tensor, "*batch rows columns"],
    used: Int[Tensor, "*batch"],
    dtype: torch.dtype,
) -> Bool[Tensor, "*batch"]:
    """Whether VᵀAV has an eigenvalue below 0 by more than rounding: then so has A."""
    count = hessenberg.shape[-1]
    square = hessenberg[..., :count, :]
    inside = torch.arange(count, device=used.device) < used[..., None]
    square = square * (inside[..., :, None] & inside[..., None, :])
    # what is outside has eigenvalue 0, which is not negative
    square = torch.where(square.isfinite(), square, 0.0)
    values = eigenvalues(0.5 * (square + square.mT))
    noise = 16 * torch.finfo(dtype).eps * values.abs().amax(-1)
    return values[..., 0] < -noise


def _told(
    system: System,
    state: GmresState,
    left: Float[Tensor, "..."],
    residual: Float[Tensor, "*batch"],
) -> GmresState:
    value, bound = claims(system.energy.space.layout, system.quadratic, state.x, left)
    most = float(state.iterations.max()) if state.iterations.numel() else 0.0
    return replace(state, energy=value, bound=bound, residual=residual, stats={"iterations": most})
