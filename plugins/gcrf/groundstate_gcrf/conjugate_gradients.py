"""`solver/cg`: preconditioned conjugate gradients with a truthful end for every problem.

The recurrence (Gaussian CRF spec §4.3) updates the remainder b - Ax without recomputing it, and in
floating point the two drift apart. So its norm only says when to look: a problem has converged once
the recomputed ‖b - Ax‖ / ‖b‖ is at most the tolerance. If it is not, or if the two have drifted
apart by a factor of 2, the recurrence starts afresh from the true remainder; when a fresh start no
longer halves the residual, floating point allows no more, and the problem has stalled. A recurrence
that breaks down (rᵀM⁻¹r or pᵀAp is no positive, finite number, so conjugacy is lost) starts afresh
too, as long as it has moved since the last time.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline, State
from groundstate.space import Layout
from groundstate.status import Status
from groundstate.views import Quadratic
from groundstate_gcrf.compiled import Job, iterate_compiled, stencil_job
from groundstate_gcrf.compiled_blocks import block_job
from groundstate_gcrf.judging import claims, first_verdict, norm, scale_of
from groundstate_gcrf.preconditioners.making import MAKERS, Name, Preconditioner
from groundstate_gcrf.recurrence import Recurrence, iterate
from groundstate_gcrf.structure import EdgeBlocks, GridStencil


@dataclass(frozen=True, kw_only=True)
class CGState(State):
    """State of conjugate gradients.

    Attributes:
        recurrence: where the recurrence stands; its `iterations` and `outcome` are per problem.
        preconditioner: M⁻¹, made when the solve began.
        anchor: the configuration of the lowest true residual among the fresh starts.
        anchor_residual: that residual, relative; infinite before the first fresh start.
        begun: iterations done when the recurrence last started afresh.
    """

    recurrence: Recurrence
    preconditioner: Preconditioner
    anchor: Shaped[Tensor, "..."]
    anchor_residual: Float[Tensor, "*batch"]
    begun: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class ConjugateGradients:
    """Minimises E(x) = ½xᵀAx - bᵀx + c, so solves Ax = b, for a positive definite A.

    One step is a block of `check_every` iterations of all problems together, after which the true
    residual of each is recomputed. A problem ends CONVERGED, STALLED (its residual is as low as
    floating point allows), INDEFINITE (pᵀAp ≤ 0 up to rounding) or DIVERGED (not finite). All is
    relative: scaling A or b changes nothing. b = 0 gives x = 0 at once.

    With the view `GridStencil` or `EdgeBlocks`, on CPU and without gradients through the steps, the
    iterations run in compiled code. Where `Quadratic.floor` is known each state has a bound on the
    minimum.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem.
        preconditioner: "jacobi" divides by the diagonal of A; it never costs much. "block-jacobi"
            solves small blocks exactly; it needs a view with entries of A. "multigrid" needs the
            view `GridStencil`; its iterations hardly grow with the size of the grid.
        block: the most variables in a block of "block-jacobi".
        check_every: iterations in a step.
    """

    tolerance: Annotated[float, Ge(0)] = 1e-6
    preconditioner: Name = "jacobi"
    block: Annotated[int, Ge(1)] = 16
    check_every: Annotated[int, Ge(1)] = 64

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise ValueError(f"tolerance must be at least 0, got {self.tolerance}")
        if self.check_every < 1:
            raise ValueError(f"check_every must be at least 1, got {self.check_every}")
        if self.block < 1:
            raise ValueError(f"block must be at least 1, got {self.block}")
        if self.preconditioner not in MAKERS:
            raise ValueError(
                f"preconditioner must be one of {sorted(MAKERS)}, got {self.preconditioner!r}"
            )

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> CGState:
        return self.begin(energy, x0, MAKERS[self.preconditioner](energy, self.block))

    def step(self, energy: Energy, state: CGState, deadline: Deadline) -> CGState:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        before, preconditioner = state.recurrence, state.preconditioner
        # A step gathers its correction from 0 and adds it once: x would be rounded at every
        # iteration, and the true residual would end several times higher (van der Vorst, Ye 2000).
        start = replace(before, x=torch.zeros_like(before.x))
        job = _compiled_job(energy, start, preconditioner)
        if job is not None:
            after = iterate_compiled(start, job, self.check_every, deadline)
        else:
            apply = preconditioner.apply
            after = iterate(start, quadratic, layout, apply, self.check_every, deadline)
        after = replace(after, x=before.x + after.x)
        return self._review(energy, _keep_finite(layout, before, after), state)

    def status(self, state: CGState) -> Int[Tensor, "*batch"]:
        return state.recurrence.outcome

    def prepared(self, energy: Energy) -> "Prepared":
        """The same with the preconditioner of this energy's A."""
        return Prepared(solver=self, preconditioner=MAKERS[self.preconditioner](energy, self.block))

    def begin(
        self,
        energy: Energy,
        x0: Shaped[Tensor, "..."] | None,
        preconditioner: Preconditioner,
    ) -> CGState:
        """The state before the first step, with a preconditioner of the energy's A."""
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
            scale=scale,
            reference=reference,
            goal=self.tolerance * reference,
            outcome=outcome,
            iterations=torch.zeros_like(outcome),
        )
        state = CGState(
            x=x,
            recurrence=recurrence,
            preconditioner=preconditioner,
            anchor=x,
            anchor_residual=torch.full_like(scale, float("inf")),
            begun=torch.zeros_like(outcome),
        )
        return self._review(energy, recurrence, state, linear if x0 is None else None)

    def _review(
        self,
        energy: Energy,
        now: Recurrence,
        before: CGState,
        left: Float[Tensor, "..."] | None = None,
    ) -> CGState:
        """Judge each problem by its true residual; `left` is b - Ax where that is known."""
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        left = quadratic.linear - quadratic.matvec(now.x) if left is None else left
        residual = norm(layout, left * layout.expand(now.scale)) / now.reference
        running = now.outcome == Status.RUNNING
        lost = running & ~residual.isfinite()
        converged = running & (residual <= self.tolerance)
        broken = now.beta.isnan()
        # arrived, or so lost in rounding that the recurrence has nothing to do with b - Ax any more
        known = norm(layout, now.remainder)
        arrived = (known <= now.goal) | (residual * now.reference > 2 * known)
        arrived = (arrived | broken) & running & ~lost & ~converged
        idle = now.iterations == before.begun
        stalled = arrived & torch.where(broken, idle, ~(residual <= 0.5 * before.anchor_residual))
        worse = stalled & (before.anchor_residual < residual)
        outcome = now.outcome.masked_fill(converged, int(Status.CONVERGED))
        outcome = outcome.masked_fill(stalled, int(Status.STALLED))
        now = replace(now, outcome=outcome.masked_fill(lost, int(Status.DIVERGED)))
        if bool(worse.any()):
            now = replace(now, x=torch.where(layout.expand(worse), before.anchor, now.x))
            left = quadratic.linear - quadratic.matvec(now.x)
            residual = norm(layout, left * layout.expand(now.scale)) / now.reference
        better = arrived & (residual < before.anchor_residual)
        value, bound = claims(layout, quadratic, now.x.detach(), left.detach())
        return replace(
            before,
            x=now.x,
            energy=value,
            bound=bound,
            residual=residual,
            stats={"iterations": float(now.iterations.max()) if now.iterations.numel() else 0.0},
            recurrence=_start_afresh(layout, now, arrived, left * layout.expand(now.scale)),
            anchor=torch.where(layout.expand(better), now.x.detach(), before.anchor),
            anchor_residual=torch.where(better, residual, before.anchor_residual),
            begun=torch.where(arrived, now.iterations, before.begun),
        )


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Conjugate gradients with a preconditioner that was made before.

    Attributes:
        solver: the settings.
        preconditioner: of the matrix of the energies to come.
    """

    solver: ConjugateGradients
    preconditioner: Preconditioner

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> CGState:
        return self.solver.begin(energy, x0, self.preconditioner)

    def step(self, energy: Energy, state: CGState, deadline: Deadline) -> CGState:
        return self.solver.step(energy, state, deadline)

    def status(self, state: CGState) -> Int[Tensor, "*batch"]:
        return self.solver.status(state)


def _compiled_job(energy: Energy, start: Recurrence, preconditioner: Preconditioner) -> Job | None:
    """The iterations to come as compiled code does them, where there is such code."""
    if GridStencil in energy.views:
        return stencil_job(start, view(energy, GridStencil), preconditioner)
    if EdgeBlocks in energy.views:
        return block_job(start, view(energy, EdgeBlocks), preconditioner)
    return None


def _start_afresh(
    layout: Layout, now: Recurrence, which: Bool[Tensor, "*batch"], remainder: Tensor
) -> Recurrence:
    """The recurrence with the true remainder and no memory of directions, where told."""
    if not bool(which.any()):
        return now
    return replace(
        now,
        remainder=torch.where(layout.expand(which), remainder, now.remainder),
        direction=torch.where(layout.expand(which), 0.0, now.direction),  # it may be NaN
        beta=torch.where(which, 0.0, now.beta),
    )


def _keep_finite(layout: Layout, before: Recurrence, after: Recurrence) -> Recurrence:
    """The state of before where values overflowed or became NaN.

    From a fresh start that is DIVERGED; from any other the recurrence has broken down.
    """
    lost = layout.sum(after.x.detach() * 0).isnan()  # finite times 0 is 0
    lost = lost | (after.outcome == Status.DIVERGED)
    if not bool(lost.any()):
        return after
    where, hopeless = layout.expand(lost), lost & ((before.beta == 0) | before.beta.isnan())
    return replace(
        after,
        x=torch.where(where, before.x, after.x),
        remainder=torch.where(where, before.remainder, after.remainder),
        direction=torch.where(where, before.direction, after.direction),
        beta=after.beta.masked_fill(lost, float("nan")),
        outcome=after.outcome.masked_fill(hopeless, int(Status.DIVERGED)),
    )
