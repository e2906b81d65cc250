"""`solver/cg`: preconditioned conjugate gradients with a truthful end for every problem.

The recurrence (Gaussian CRF spec §4.3) updates the remainder b - Ax without recomputing it, and in
floating point the two drift apart. So its norm only says when to look: a problem has converged once
the recomputed ‖b - Ax‖ / ‖b‖ is at most the tolerance. If it is not, or if the two have drifted
apart by a factor of 2, the recurrence starts afresh from the true remainder; when a fresh start no
longer halves the residual, floating point allows no more, and the problem has stalled.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline, State
from groundstate.space import Layout
from groundstate.status import Status
from groundstate.views import Quadratic
from groundstate_gcrf.compiled import fits, iterate_compiled
from groundstate_gcrf.judging import claims, first_verdict, norm, scale_of
from groundstate_gcrf.preconditioner import MAKERS, Name
from groundstate_gcrf.recurrence import Recurrence, iterate
from groundstate_gcrf.structure import GridStencil


@dataclass(frozen=True, kw_only=True)
class CGState(State):
    """State of conjugate gradients.

    Attributes:
        recurrence: where the recurrence stands; its `iterations` and `outcome` are per problem.
        anchor: the configuration of the lowest true residual among the fresh starts.
        anchor_residual: that residual, relative; infinite before the first fresh start.
    """

    recurrence: Recurrence
    anchor: Shaped[Tensor, "..."]
    anchor_residual: Float[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class ConjugateGradients:
    """Minimises E(x) = ½xᵀAx - bᵀx + c, so solves Ax = b, for a positive definite A.

    One step is a block of `check_every` iterations of all problems together, after which the true
    residual of each is recomputed. A problem ends CONVERGED, STALLED (its residual is as low as
    floating point allows), INDEFINITE (pᵀAp ≤ 0 up to rounding) or DIVERGED (not finite). All is
    relative: scaling A or b changes nothing. b = 0 gives x = 0 at once.

    With the view `GridStencil`, on CPU and without gradients through the steps, the iterations run
    in compiled code. Where `Quadratic.floor` is known each state has a bound on the minimum.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem.
        preconditioner: "jacobi" divides by the diagonal of A; it never costs much.
        check_every: iterations in a step.
    """

    tolerance: Annotated[float, Ge(0)] = 1e-6
    preconditioner: Name = "jacobi"
    check_every: Annotated[int, Ge(1)] = 64

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be at least 0, got {self.tolerance}")
        if self.check_every < 1:
            raise ValueError(f"check_every must be at least 1, got {self.check_every}")
        if self.preconditioner not in MAKERS:
            raise ValueError(
                f"preconditioner must be one of {sorted(MAKERS)}, got {self.preconditioner!r}"
            )

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> CGState:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        linear = quadratic.linear.expand(layout.shape)
        scale, size = scale_of(layout, linear.detach())
        reference = norm(layout, layout.expand(scale) * linear)
        reference = torch.where(reference > 0, reference, 1.0)
        start = torch.zeros_like(linear) if x0 is None else x0
        x = torch.where(layout.expand(size == 0), torch.zeros_like(start), start)
        outcome = first_verdict(layout, quadratic, size)
        recurrence = Recurrence(
            x=x,
            remainder=torch.zeros_like(x),  # so the first look starts afresh
            direction=torch.zeros_like(x),
            beta=torch.zeros_like(scale),
            energy_norm=torch.zeros_like(scale),
            scale=scale,
            reference=reference,
            goal=self.tolerance * reference,
            outcome=outcome,
            iterations=torch.zeros_like(outcome),
        )
        never = torch.full_like(scale, float("inf"))
        return self._review(energy, recurrence, anchor=x, anchor_residual=never)

    def step(self, energy: Energy, state: CGState, deadline: Deadline) -> CGState:
        quadratic, before = view(energy, Quadratic), state.recurrence
        preconditioner = MAKERS[self.preconditioner](energy)
        diagonal = preconditioner.diagonal
        # A step gathers its correction from 0 and adds it once: x would be rounded at every
        # iteration, and the true residual would end several times higher (van der Vorst, Ye 2000).
        start = replace(before, x=torch.zeros_like(before.x))
        stencil = view(energy, GridStencil) if GridStencil in energy.views else None
        if stencil is not None and diagonal is not None and fits(before, stencil):
            after = iterate_compiled(start, stencil, diagonal, self.check_every, deadline)
        else:
            apply, layout = preconditioner.apply, energy.space.layout
            after = iterate(start, quadratic, layout, apply, self.check_every, deadline)
        after = replace(after, x=before.x + after.x)
        after = _keep_finite(energy.space.layout, before, after)
        return self._review(
            energy, after, anchor=state.anchor, anchor_residual=state.anchor_residual
        )

    def status(self, state: CGState) -> Int[Tensor, "*batch"]:
        return state.recurrence.outcome

    def _review(
        self,
        energy: Energy,
        now: Recurrence,
        *,
        anchor: Tensor,
        anchor_residual: Tensor,
    ) -> CGState:
        """Recompute the residual of every problem, and judge each by it."""
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        left = quadratic.linear - quadratic.matvec(now.x)
        residual = norm(layout, left * layout.expand(now.scale)) / now.reference
        running = now.outcome == Status.RUNNING
        lost = running & ~residual.isfinite()
        converged = running & (residual <= self.tolerance)
        # arrived, or so lost in rounding that the recurrence has nothing to do with b - Ax any more
        known = norm(layout, now.remainder)
        arrived = (known <= now.goal) | (residual * now.reference > 2 * known)
        arrived = arrived & running & ~lost & ~converged
        stalled = arrived & ~(residual <= 0.5 * anchor_residual)
        worse = stalled & (anchor_residual < residual)
        outcome = now.outcome.masked_fill(converged, int(Status.CONVERGED))
        outcome = outcome.masked_fill(stalled, int(Status.STALLED))
        now = replace(now, outcome=outcome.masked_fill(lost, int(Status.DIVERGED)))
        if bool(worse.any()):
            now = replace(now, x=torch.where(layout.expand(worse), anchor, now.x))
            left = quadratic.linear - quadratic.matvec(now.x)
            residual = norm(layout, left * layout.expand(now.scale)) / now.reference
        if bool(arrived.any()):
            now = self._start_afresh(energy, now, arrived, left * layout.expand(now.scale))
            anchor = torch.where(layout.expand(arrived), now.x.detach(), anchor)
            anchor_residual = torch.where(arrived, residual, anchor_residual)
        value, bound = claims(layout, quadratic, now.x.detach(), left.detach())
        return CGState(
            x=now.x,
            energy=value,
            bound=bound,
            residual=residual,
            stats={"iterations": float(now.iterations.max()) if now.iterations.numel() else 0.0},
            recurrence=now,
            anchor=anchor,
            anchor_residual=anchor_residual,
        )

    def _start_afresh(
        self, energy: Energy, now: Recurrence, which: Tensor, remainder: Tensor
    ) -> Recurrence:
        """The recurrence with the true remainder and no memory of directions, where told."""
        layout = energy.space.layout
        energy_norm = layout.dot(remainder, MAKERS[self.preconditioner](energy).apply(remainder))
        return replace(
            now,
            remainder=torch.where(layout.expand(which), remainder, now.remainder),
            beta=torch.where(which, torch.zeros_like(now.beta), now.beta),
            energy_norm=torch.where(which, energy_norm, now.energy_norm),
        )


def _keep_finite(layout: Layout, before: Recurrence, after: Recurrence) -> Recurrence:
    """The state of before, and DIVERGED, where values overflowed or became NaN."""
    lost = layout.sum(after.x.detach() * 0).isnan()  # finite times 0 is 0
    lost = lost | (after.outcome == Status.DIVERGED)
    if not bool(lost.any()):
        return after
    where = layout.expand(lost)
    return replace(
        after,
        x=torch.where(where, before.x, after.x),
        remainder=torch.where(where, before.remainder, after.remainder),
        direction=torch.where(where, before.direction, after.direction),
        beta=torch.where(lost, before.beta, after.beta),
        energy_norm=torch.where(lost, before.energy_norm, after.energy_norm),
        outcome=after.outcome.masked_fill(lost, int(Status.DIVERGED)),
    )
