"""What Jacobi, Gauss-Seidel and Gaussian mean field share: sweeps, and a truthful end.

Every sweep starts from b - Ax recomputed for the configuration as it is, so the residual that ends
a problem is the true one, and Ad of a sweep's correction d is the difference of two residuals:
dᵀAd < 0 beyond rounding proves, at no cost, that A is not positive definite.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate.views import Quadratic
from groundstate_gcrf.judging import claims, first_verdict, norm, scale_of

Sweep = Callable[[Tensor, Tensor], Tensor]
"""(x, b - Ax) to the next x."""

_LOOK_EVERY = 8
"""Sweeps between two looks at whether all are done; each look waits for the device."""
_GROWTH = 1e8
"""A residual that has grown by this much has diverged; where sweeps converge it hardly grows."""
_NOISE = 16.0
"""Residuals below this many roundings of their terms may be all rounding."""


@dataclass(frozen=True, kw_only=True)
class StationaryState(State):
    """State of a stationary iteration.

    Attributes:
        outcome: `Status` of each problem; only those RUNNING advance.
        iterations: sweeps done so far, for each problem.
        first_residual: the relative residual at the start, against which divergence is judged.
        best: the configuration of the lowest residual at the end of a step, what a problem without
            an answer goes back to.
        best_residual: that residual.
        colours: variables of one colour are updated together; empty where all are.
    """

    outcome: Int[Tensor, "*batch"]
    iterations: Int[Tensor, "*batch"]
    first_residual: Float[Tensor, "*batch"]
    best: Shaped[Tensor, "..."]
    best_residual: Float[Tensor, "*batch"]
    colours: Int[Tensor, " variables"]


def check_settings(tolerance: float, check_every: int, relaxation: float = 1.0) -> None:
    """Refuse settings out of range."""
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")
    if check_every < 1:
        raise ValueError(f"check_every must be at least 1, got {check_every}")
    if not 0 < relaxation < 2:
        raise ValueError(f"relaxation must lie between 0 and 2, got {relaxation}")


@dataclass(frozen=True, kw_only=True)
class System:
    """The energy's parts that every sweep looks at, and units in which no b is too small."""

    energy: Energy
    quadratic: Quadratic
    linear: Float[Tensor, "..."]
    spread: Float[Tensor, "..."]
    size: Float[Tensor, "*batch"]

    def left(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self.linear - self.quadratic.matvec(x)

    def norm(self, values: Float[Tensor, "..."]) -> Float[Tensor, "*batch"]:
        """‖values‖ / ‖b‖."""
        return norm(self.energy.space.layout, self.spread * values) / self.size

    def noise(self, x: Float[Tensor, "..."], residual: Float[Tensor, "*batch"]) -> Tensor:
        """How large a relative residual rounding alone may make."""
        epsilon = torch.finfo(residual.dtype).eps
        return _NOISE * epsilon * (1 + residual + self.norm(self.quadratic.diagonal * x))


@dataclass(frozen=True, kw_only=True)
class _Change:
    """The last sweep: which problems it moved, by which d, and Ad."""

    active: Bool[Tensor, "*batch"]
    correction: Float[Tensor, "..."]
    product: Float[Tensor, "..."]


def system_of(energy: Energy) -> System:
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    linear = quadratic.linear.expand(layout.shape)
    scale, _ = scale_of(layout, linear.detach())
    spread = layout.expand(scale)
    size = norm(layout, spread * linear)
    size = torch.where(size > 0, size, 1.0)
    return System(energy=energy, quadratic=quadratic, linear=linear, spread=spread, size=size)


def begin(
    energy: Energy,
    x0: Shaped[Tensor, "..."] | None,
    tolerance: float,
    colours: Int[Tensor, " variables"] | None = None,
) -> StationaryState:
    """The state before the first sweep."""
    system, layout = system_of(energy), energy.space.layout
    _, largest = scale_of(layout, system.linear.detach())
    start = torch.zeros_like(system.linear) if x0 is None else x0
    x = torch.where(layout.expand(largest == 0), torch.zeros_like(start), start)
    outcome = first_verdict(layout, system.quadratic, largest)
    left = system.left(x)
    residual = system.norm(left)
    running = outcome == Status.RUNNING
    outcome = outcome.masked_fill(running & (residual <= tolerance), int(Status.CONVERGED))
    outcome = outcome.masked_fill(running & ~residual.isfinite(), int(Status.DIVERGED))
    none = torch.zeros(0, dtype=torch.int64, device=x.device)
    state = StationaryState(
        x=x,
        outcome=outcome,
        iterations=torch.zeros_like(outcome),
        first_residual=residual,
        best=x.detach(),
        best_residual=residual,
        colours=none if colours is None else colours,
    )
    return _told(system, state, left, residual)


def advance(
    energy: Energy,
    state: StationaryState,
    sweep: Sweep,
    tolerance: float,
    count: int,
    deadline: Deadline,
) -> StationaryState:
    """At most `count` sweeps of all problems that are not done."""
    system, layout = system_of(energy), energy.space.layout
    x, outcome, iterations = state.x, state.outcome, state.iterations
    left = system.left(x)
    residual = before = system.norm(left)
    change: _Change | None = None
    for done in range(count):
        running = outcome == Status.RUNNING
        if done % _LOOK_EVERY == 0 and (deadline.passed or not bool(running.any())):
            break
        moved = torch.where(layout.expand(running), sweep(x, left), x)
        rest = system.left(moved)
        after = system.norm(rest)
        change = _Change(active=running, correction=moved - x, product=left - rest)
        lost = running & ~after.isfinite()
        keep = layout.expand(lost)
        x, left = torch.where(keep, x, moved), torch.where(keep, left, rest)
        residual = torch.where(lost, residual, after)
        outcome = outcome.masked_fill(running & (after <= tolerance), int(Status.CONVERGED))
        outcome = outcome.masked_fill(lost, int(Status.DIVERGED))
        iterations = iterations + running.to(iterations.dtype)
    if change is not None:
        outcome = _judge(system, state, x.detach(), change, residual, before, outcome)
    failed = (outcome == Status.DIVERGED) | (outcome == Status.INDEFINITE)
    if bool(failed.any()):
        x = torch.where(layout.expand(failed), state.best, x)
        left = system.left(x)
        residual = system.norm(left)
    better = residual < state.best_residual
    state = replace(
        state,
        x=x,
        outcome=outcome,
        iterations=iterations,
        best=torch.where(layout.expand(better), x.detach(), state.best),
        best_residual=torch.where(better, residual, state.best_residual),
    )
    return _told(system, state, left, residual)


def _judge(
    system: System,
    state: StationaryState,
    x: Float[Tensor, "..."],
    change: _Change,
    residual: Float[Tensor, "*batch"],
    before: Float[Tensor, "*batch"],
    outcome: Int[Tensor, "*batch"],
) -> Int[Tensor, "*batch"]:
    """The verdict at the end of a step on the problems that are still running."""
    layout = system.energy.space.layout
    noise = system.noise(x, residual)
    d, ad = (system.spread * each.detach() for each in (change.correction, change.product))
    negative = layout.dot(d, ad) < -noise * system.size * norm(layout, d)
    running = change.active & (outcome == Status.RUNNING)
    stalled = running & (residual <= noise) & (residual > 0.5 * before)
    outcome = outcome.masked_fill(stalled, int(Status.STALLED))
    lost = running & (residual > _GROWTH * state.first_residual.clamp(min=1.0))
    outcome = outcome.masked_fill(lost, int(Status.DIVERGED))
    return outcome.masked_fill(running & negative, int(Status.INDEFINITE))


def _told(
    system: System,
    state: StationaryState,
    left: Float[Tensor, "..."],
    residual: Float[Tensor, "*batch"],
) -> StationaryState:
    """The state with its energy, residual, bound and counts."""
    layout = system.energy.space.layout
    value, bound = claims(layout, system.quadratic, state.x.detach(), left.detach())
    most = float(state.iterations.max()) if state.iterations.numel() else 0.0
    return replace(
        state,
        energy=value,
        bound=bound,
        residual=residual,
        stats={**state.stats, "iterations": most},
    )
