"""What all direct solvers share: one step that factors the matrix, solves, and judges the result.

A factorisation is trusted with nothing. The residual is recomputed from the energy's own matvec and
refined once or twice with the same factors (Wilkinson); only then is a problem called done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline, State
from groundstate.space import Layout
from groundstate.status import Status
from groundstate.views import Quadratic
from groundstate_gcrf.judging import claims, claims_at_zero, first_verdict, norm, scale_of

_REFINEMENTS = 3
_ROUNDING = 4
"""Units of rounding below which no refinement lowers a residual by much."""


@dataclass(frozen=True, kw_only=True)
class DirectState(State):
    """State of a solver whose first step finishes.

    Attributes:
        outcome: `Status` of each problem.
    """

    outcome: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class Inverse:
    """A⁻¹ by factors.

    Attributes:
        apply: b to A⁻¹b, in the shape of a configuration of every problem.
        verdict: RUNNING where the factors exist, INDEFINITE where A has none of the kind, DIVERGED
            where it is not finite.
        stats: what there is to tell of the factorisation.
    """

    apply: Callable[[Tensor], Tensor]
    verdict: Int[Tensor, "*batch"]
    stats: Mapping[str, float | str] = field(default_factory=dict[str, float | str])


Factorise = Callable[[Energy], Inverse]


def verdict_of(definite: Bool[Tensor, "*own"], finite: Bool[Tensor, "*own"]) -> Tensor:
    """What there is to say of matrices that were factored, or were not."""
    verdict = torch.full(definite.shape, int(Status.RUNNING), device=definite.device)
    verdict = verdict.masked_fill(~definite, int(Status.INDEFINITE))
    return verdict.masked_fill(~finite, int(Status.DIVERGED))


def check_tolerance(tolerance: float | None) -> None:
    """Refuse a tolerance that is none."""
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")


@dataclass(frozen=True, kw_only=True)
class Direct:
    """Minimises E(x) = ½xᵀAx - bᵀx + c in one step, by factors of a positive definite A.

    A problem ends OPTIMAL, INDEFINITE (its A has no such factors), DIVERGED (not finite) or STALLED
    (the factors are too coarse for the tolerance).

    Attributes:
        factorise: what makes A⁻¹ of an energy.
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
        refinements: how often A⁻¹(b - Ax) may be added.
    """

    factorise: Factorise
    tolerance: float | None = None
    refinements: int = _REFINEMENTS

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    @torch.no_grad()
    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> DirectState:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        linear = quadratic.linear.detach().expand(layout.shape)
        scale, size = scale_of(layout, linear)
        outcome = first_verdict(layout, quadratic, size)
        if x0 is None:
            value, bound = claims_at_zero(layout, quadratic, linear)
            residual = (size > 0).to(linear.dtype)
            x = torch.zeros_like(linear)
            return DirectState(x=x, outcome=outcome, energy=value, bound=bound, residual=residual)
        x = torch.where(layout.expand(size == 0), torch.zeros_like(x0), x0)
        left = linear - quadratic.matvec(x)
        residual = _relative(layout, left, linear, scale)
        return _judged(energy, DirectState(x=x, outcome=outcome), left, residual, None)

    @torch.no_grad()
    def step(self, energy: Energy, state: DirectState, deadline: Deadline) -> DirectState:
        # problems that are done keep every bit
        if not bool((state.outcome == Status.RUNNING).any()):
            return state
        return _solved(energy, state, self.factorise(energy), self.tolerance, self.refinements)

    def status(self, state: DirectState) -> Int[Tensor, "*batch"]:
        return state.outcome

    @torch.no_grad()
    def prepared(self, energy: Energy) -> "Direct":
        """The same with the factors of this energy's A, for any b."""
        inverse = self.factorise(energy)

        def known(_: Energy) -> Inverse:
            return inverse

        return replace(self, factorise=known)


def _solved(
    energy: Energy,
    state: DirectState,
    inverse: Inverse,
    tolerance: float | None,
    refinements: int,
) -> DirectState:
    """A⁻¹b, refined, with a verdict on each problem that has none yet."""
    running = state.outcome == Status.RUNNING
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    linear = quadratic.linear.detach().expand(layout.shape)
    scale, _ = scale_of(layout, linear)
    spread = layout.expand(scale)
    outcome = torch.where(running, inverse.verdict, state.outcome)
    running = outcome == Status.RUNNING
    right = spread * linear
    x = torch.where(layout.expand(running), inverse.apply(right), 0.0)
    limit = torch.finfo(x.dtype).eps ** 0.5 if tolerance is None else tolerance
    least = max(_ROUNDING * torch.finfo(x.dtype).eps, tolerance or 0.0)
    x, left, residual = _refine(energy, right, x, inverse.apply, refinements, least)
    x, left = x / spread, left / spread  # powers of 2, so these belong together to the last bit
    lost = running & ~(layout.sum(x * 0) == 0)  # finite times 0 is 0
    outcome = outcome.masked_fill(lost, int(Status.DIVERGED))
    running = running & ~lost
    outcome = outcome.masked_fill(running & (residual <= limit), int(Status.OPTIMAL))
    outcome = outcome.masked_fill(running & ~(residual <= limit), int(Status.STALLED))
    if not bool(running.all()):
        x = torch.where(layout.expand(running), x, state.x)
        left = linear - quadratic.matvec(x)
        residual = _relative(layout, left, linear, scale)
    after = DirectState(x=x, outcome=outcome, stats={**state.stats, **inverse.stats})
    return _judged(energy, after, left, residual, inverse)


def _relative(
    layout: Layout,
    left: Float[Tensor, "..."],
    linear: Float[Tensor, "..."],
    scale: Float[Tensor, "*batch"],
) -> Float[Tensor, "*batch"]:
    """‖left‖ / ‖b‖, both in units in which they can be squared; ‖left‖ where b = 0."""
    spread = layout.expand(scale)
    size = norm(layout, spread * linear)
    return norm(layout, spread * left) / torch.where(size > 0, size, 1.0)


def _refine(
    energy: Energy,
    linear: Float[Tensor, "..."],
    x: Float[Tensor, "..."],
    apply: Callable[[Tensor], Tensor],
    refinements: int,
    least: float,
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."], Float[Tensor, "*batch"]]:
    """Add A⁻¹(b - Ax) as long as it lowers a residual above `least`; x, b - Ax, residual."""
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    size = norm(layout, linear)
    size = torch.where(size > 0, size, 1.0)
    left = linear - quadratic.matvec(x)
    residual = norm(layout, left) / size
    for _ in range(refinements):
        if bool((residual <= least).all()):
            break
        tried = x + apply(left)
        rest = linear - quadratic.matvec(tried)
        after = norm(layout, rest) / size
        better = after < residual
        if not bool(better.any()):
            break
        where = layout.expand(better)
        x, left = torch.where(where, tried, x), torch.where(where, rest, left)
        halved = better & (after <= 0.5 * residual)
        residual = torch.where(better, after, residual)
        if not bool(halved.any()):
            break
    return x, left, residual


def _judged(
    energy: Energy,
    state: DirectState,
    left: Float[Tensor, "..."],
    residual: Float[Tensor, "*batch"],
    inverse: Inverse | None,
) -> DirectState:
    """The state with its energy, true residual and, with factors or a floor, a bound."""
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    value, bound = claims(layout, quadratic, state.x, left)
    if inverse is not None and not _is_tight(value, bound):
        bound = _bound_by_factors(energy, state, left, value, bound, inverse)
    return replace(state, energy=value, bound=bound, residual=residual)


def _is_tight(value: Float[Tensor, "*batch"], bound: Float[Tensor, "*batch"] | None) -> bool:
    """Whether the bound is as close as rounding of the energy lets any be."""
    if bound is None:
        return False
    return bool((value - bound <= 128 * torch.finfo(value.dtype).eps * value.abs()).all())


def _bound_by_factors(
    energy: Energy,
    state: DirectState,
    left: Float[Tensor, "..."],
    value: Float[Tensor, "*batch"],
    known: Float[Tensor, "*batch"] | None,
    inverse: Inverse,
) -> Float[Tensor, "*batch"]:
    """By E(x) - min E = ½ rᵀA⁻¹r with r = b - Ax, where there are factors."""
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    linear = quadratic.linear.detach().expand(layout.shape)
    # r in units in which it can be squared
    scale, _ = scale_of(layout, linear)
    spread = layout.expand(scale)
    distance = 0.5 * layout.dot(spread * left, inverse.apply(spread * left)) / scale**2
    # rounding of the energy itself: a bound must hold for the numbers as they are
    own = (quadratic.diagonal.detach() * state.x.square()).abs()
    terms = layout.sum((state.x * linear).abs() + 0.5 * (state.x * left).abs() + own)
    slack = 16 * torch.finfo(value.dtype).eps * (terms + quadratic.constant.detach().abs())
    sure = value - 2 * distance.abs() - slack
    weak = torch.full_like(value, -torch.inf) if known is None else known
    return torch.where(inverse.verdict == Status.RUNNING, sure, weak)
