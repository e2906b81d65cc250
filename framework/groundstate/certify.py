"""The core believes no plugin: it recomputes what a solver claims.

Energies, bounds, residuals and beliefs are compared with what the energy itself says, to
atol + rtol * Σ|terms|: rounding grows with the sum of the absolute terms, not with their total.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.errors import CertificationError
from groundstate.factors import FactorGraph
from groundstate.move import bytes_of, to
from groundstate.solver import Beliefs, Solver, State
from groundstate.space import Discrete, first
from groundstate.status import Status
from groundstate.views import Quadratic

_RTOL = {torch.float64: 1e-9, torch.float32: 1e-5}
_COARSE = 1e-2
_LARGE = 2**17
"""Bytes up to which a copy of the parameters in float64 is worth an exact energy."""


def rounding(
    energy: Energy, x: Shaped[Tensor, "..."], value: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """How far two honest evaluations of E(x) may differ, in nats."""
    relative = _RTOL.get(value.dtype, _COARSE)
    return relative * (1 + magnitude(energy, x, value))


def magnitude(
    energy: Energy, x: Shaped[Tensor, "..."], value: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Σ|terms| of E(x) where a view gives the terms, else |E(x)|, in nats."""
    layout = energy.space.layout
    if Quadratic in energy.views:
        quadratic = view(energy, Quadratic)
        # the terms of Ax may cancel; those of the diagonal are known, and where A is positive
        # definite none is larger than the largest of them
        own = (quadratic.diagonal * x.square()).abs()
        inner = torch.maximum((x * quadratic.matvec(x)).abs(), own)
        terms = 0.5 * inner + (x * quadratic.linear).abs()
        return layout.sum(terms) + quadratic.constant.abs()
    if FactorGraph in energy.views:
        graph = view(energy, FactorGraph)
        labels = x.flatten(x.dim() - len(layout.event_shape))
        total = graph.constant.abs()
        for group in graph.groups:
            total = total + graph.total(group, _finite(group.energies(labels)).abs())
        return total
    return _finite(value).abs()


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """How far apart honest evaluations of E(x) may lie.

    Telling that takes an evaluation of its own, so it is done only where |E(x)| does not do.

    Attributes:
        energy: E.
        x: the configurations.
        value: E(x), in the type it is evaluated in.
    """

    energy: Energy
    x: Shaped[Tensor, "..."]
    value: Float[Tensor, "..."]

    def exceeded(self, difference: Float[Tensor, "..."]) -> Bool[Tensor, "..."]:
        """Where a difference, in nats, is more than rounding; so is one that is NaN."""
        relative = _RTOL.get(self.value.dtype, _COARSE)
        beyond = ~(difference <= relative * (1 + _finite(self.value).abs()))
        return beyond & ~(difference <= self._rounding) if bool(beyond.any()) else beyond

    @cached_property
    def _rounding(self) -> Float[Tensor, "..."]:
        return rounding(self.energy, self.x, self.value)


def _finite(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """0 for what is infinite: a violated constraint is exact, it does not round."""
    return torch.where(values.isfinite(), values, 0.0)


def exact_energy(
    energy: Energy, x: Shaped[Tensor, "..."], known: Float[Tensor, "..."] | None = None
) -> Float[Tensor, "..."]:
    """E(x) in float64 where the energy can be moved there, else in its own type.

    That copies its parameters; where the copy took more than `_LARGE` bytes there is none.

    Args:
        energy: E.
        x: configurations.
        known: E(x) as the energy says, where it was asked before.
    """
    if known is not None and known.dtype == torch.float64:
        return known
    if bytes_of(energy, torch.float64) > _LARGE:
        return energy(x) if known is None else known
    try:
        double = to(energy, dtype=torch.float64)
        return double(x.double() if x.is_floating_point() else x)
    except (RuntimeError, TypeError, ValueError):
        # a function that closes over tensors stays behind and meets another dtype
        return energy(x)


def check_shape(energy: Energy, x: Shaped[Tensor, "..."], value: Float[Tensor, "..."]) -> None:
    """Look that the energy gives one number per configuration.

    Raises:
        ValueError: with the shape expected and the shape got.
    """
    layout = energy.space.layout
    expected = (*layout.sample_shape(x), *layout.batch_shape)
    if tuple(value.shape) != expected:
        raise ValueError(
            f"energy(x) must be one number per configuration: for x of shape {tuple(x.shape)} "
            f"that is {expected}, got {tuple(value.shape)}"
        )


def certify_configuration(energy: Energy, solver: Solver[Any], x: Shaped[Tensor, "..."]) -> None:
    """Check that what a solver calls a configuration is one.

    Raises:
        CertificationError: naming the solver and what is wrong.
    """
    try:
        energy.space.validate(x)
    except (TypeError, ValueError) as error:
        raise CertificationError(
            f"{type(solver).__name__} gives an `x` that is no configuration: {error}; this is a "
            "fault of the solver"
        ) from error


def certify_status(solver: Solver[Any], status: Int[Tensor, "..."]) -> None:
    """Check that a solver's statuses are some that there are.

    Raises:
        CertificationError: naming the solver and the number that is none.
    """
    known = torch.tensor([int(each) for each in Status], device=status.device)
    unknown = ~torch.isin(status, known)
    if bool(unknown.any()):
        raise CertificationError(
            f"{type(solver).__name__} gives the status {int(status[unknown][0])}, and there is no "
            "such `Status`; this is a fault of the solver"
        )


def certify_state(
    energy: Energy,
    solver: Solver[Any],
    state: State,
    exact: Float[Tensor, "..."] | None = None,
) -> None:
    """Check what a state claims of its own `x`: energy and residual.

    Args:
        energy: whose.
        solver: who claims it.
        state: the claims.
        exact: what `exact_energy` says of `x`, where that is known.

    Raises:
        CertificationError: naming the solver and the claim.
    """
    if state.energy is not None:
        true = exact_energy(energy, state.x) if exact is None else exact
        _check_claim(solver, "energy", state.energy, true)
        allowance = Allowance(energy=energy, x=state.x, value=true.to(state.energy.dtype))
        far = allowance.exceeded((state.energy - true).abs())
        # equal where both are infinite; where the truth is NaN the status says diverged
        wrong = far & ~((state.energy == true) | true.isnan())
        _refuse(solver, "energy", wrong, state.energy, true)
    if state.residual is not None:
        true, allowed = _residual(energy, state.x, state.residual)
        _check_claim(solver, "relative residual", state.residual, true)
        wrong = ~((true <= allowed) | true.isnan())
        _refuse(solver, "relative residual", wrong, state.residual, true)


def certify_bound(
    solver: Solver[Any],
    bound: Float[Tensor, "*batch"],
    energy: Float[Tensor, "*batch"],
    allowance: Allowance,
) -> None:
    """Check that a lower bound lies below an energy that was reached.

    Raises:
        CertificationError: naming the solver, the bound and the energy.
    """
    wrong = (bound > energy) & allowance.exceeded(bound - energy)
    _refuse(solver, "lower bound on the energy", wrong, bound, energy)


def certify_optimal(
    solver: Solver[Any],
    claimed: Float[Tensor, "*batch"],
    best: Float[Tensor, "*batch"],
    allowance: Allowance,
) -> None:
    """Check that nothing seen on the way lies below an energy called optimal.

    Raises:
        CertificationError: naming the solver, its energy and the lower one.
    """
    wrong = (claimed > best) & allowance.exceeded(claimed - best)
    _refuse(solver, "optimal energy", wrong, claimed, best)


def certify_beliefs(
    energy: Energy,
    solver: Solver[Any],
    beliefs: Beliefs,
    best: Float[Tensor, "*batch"],
    bound: Float[Tensor, "..."] | None = None,
) -> None:
    """Check that marginals are distributions and the bounds on log Z lie on their sides.

    Args:
        energy: whose beliefs.
        solver: who claims them.
        beliefs: the claims.
        best: an energy that was reached.
        bound: a lower bound on all energies that is not the solver's own.

    Raises:
        CertificationError: naming the solver and the claim.
    """
    scale = 1 + _finite(best).abs()
    allowed = (1e-4 if best.dtype != torch.float64 else 1e-9) * scale
    low, mid, high = beliefs.lower, beliefs.log_partition, beliefs.upper
    for value, name in (
        (low, "lower bound on log Z"),
        (mid, "log Z"),
        (high, "upper bound on log Z"),
    ):
        if value is not None:
            _check_claim(solver, name, value, best)
            _refuse(solver, name, value.isnan(), value, -best)
    for left, right, name in (
        (low, high, "lower bound on log Z"),
        (low, mid, "lower bound on log Z"),
        (mid, high, "log Z"),
    ):
        if left is not None and right is not None:
            _refuse(solver, name, left > right + allowed, left, right)
    space = energy.space
    if isinstance(space, Discrete):
        if high is not None:
            # one labelling alone contributes exp(-E) to Z
            _refuse(solver, "upper bound on log Z", high < -best - allowed, high, -best)
        if low is not None and bound is not None:
            # and no labelling contributes more than exp(-bound)
            labellings = space.layout.sum(space.counts.to(best.dtype).log())
            most = labellings - bound
            slack = allowed + 1e-4 * (labellings + _finite(bound).abs())
            _refuse(solver, "lower bound on log Z", low > most + slack, low, most)
        _certify_marginals(space, solver, beliefs.marginals, best)


def _certify_marginals(
    space: Discrete,
    solver: Solver[Any],
    marginals: Float[Tensor, "..."],
    best: Float[Tensor, "*batch"],
) -> None:
    """Every variable's marginals add up to 1, but in problems that have no labelling at all."""
    counts = space.counts.flatten()
    if marginals.shape[-1] != int(counts.sum()):
        raise CertificationError(
            f"{type(solver).__name__} gives {marginals.shape[-1]} marginals, and there are "
            f"{int(counts.sum())} labels of all variables; this is a fault of the solver"
        )
    variable = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    sums = marginals.new_zeros((*marginals.shape[:-1], len(counts)))
    sums = sums.index_add(-1, variable, marginals)
    feasible = best.isfinite()
    feasible = feasible.unsqueeze(-1) if space.segments is None else feasible[..., space.segments]
    # written so that NaN is wrong
    wrong = ~((sums - 1).abs() <= 1e-3) & feasible
    _refuse(solver, "sum of a variable's marginals", wrong, sums, torch.ones_like(sums))
    negative = marginals < -1e-6
    _refuse(
        solver, "probability among the marginals", negative, marginals, torch.zeros_like(marginals)
    )


def _check_claim(
    solver: Solver[Any], name: str, claimed: Float[Tensor, "..."], true: Float[Tensor, "..."]
) -> None:
    """Look that a claim has one number per configuration, or one for all."""
    shape, expected = tuple(claimed.shape), tuple(true.shape)
    padded = (1,) * (len(expected) - len(shape)) + shape
    if len(shape) > len(expected) or any(
        own not in (1, whole) for own, whole in zip(padded, expected, strict=False)
    ):
        raise CertificationError(
            f"{type(solver).__name__} claims {name} of shape {shape}, but the configurations are "
            f"of shape {expected}; this is a fault of the solver"
        )


def _residual(
    energy: Energy, x: Shaped[Tensor, "..."], claimed: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """The true relative residual, and the largest that the claim allows for."""
    quadratic = view(energy, Quadratic)
    layout = energy.space.layout

    def norm(values: Tensor) -> Tensor:
        return layout.dot(values, values).sqrt()

    product = quadratic.matvec(x)
    right = norm(quadratic.linear.expand_as(product))
    scale = torch.where(right > 0, right, torch.ones_like(right))
    true = norm(quadratic.linear - product) / scale
    if bool((true <= 2 * claimed).all()):
        return true, 2 * claimed
    epsilon = torch.finfo(claimed.dtype).eps
    noise = epsilon * (norm(product) + right + norm(quadratic.diagonal * x)) / scale
    return true, 2 * claimed + 64 * noise


def _refuse(
    solver: Solver[Any],
    name: str,
    wrong: Bool[Tensor, "..."],
    claimed: Float[Tensor, "..."],
    true: Float[Tensor, "..."],
) -> None:
    if not bool(wrong.any()):
        return
    where = first(wrong)
    said, found = (float(each.expand(wrong.shape)[where]) for each in (claimed, true))
    article = "an" if name[0] in "aeiou" else "a"
    raise CertificationError(
        f"{type(solver).__name__} claims {article} {name} of {said:.9g}"
        f"{f' for configuration {where}' if where else ''}, but it is checked against "
        f"{found:.9g}; this is a fault of the solver"
    )
