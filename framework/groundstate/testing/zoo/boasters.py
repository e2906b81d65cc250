"""Wrong solvers: they claim an energy, a bound, a residual or an optimum that is not so."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import Energy
from groundstate.status import Status
from groundstate.testing.zoo.animal import Animal
from groundstate.testing.zoo.toys import Descent, Enumerating, Greedy, wrong
from groundstate.testing.zoo.twisting import Twisted, constantly, twisted


def _uphill(energy: Energy, state: Any) -> Any:
    return replace(state, x=1.5 * state.x + 1)


def _optimist(told: Tensor, state: Any) -> Tensor:
    return torch.where(told == Status.CONVERGED, int(Status.OPTIMAL), told)


def _hopeful(told: Tensor, state: Any) -> Tensor:
    return torch.where(told == Status.INFEASIBLE, int(Status.OPTIMAL), told)


def animals() -> list[Animal]:
    """Solvers that claim what is not so."""
    return [
        wrong(
            "boaster",
            "claims a lower energy than it has",
            twisted(Descent(), lambda e, s: replace(s, energy=s.energy - 1)),
            "descent",
            "claimed_energy_is_true",
        ),
        wrong(
            "high-bound",
            "claims a bound above the minimum",
            twisted(Descent(), lambda e, s: replace(s, bound=s.energy + 0.5)),
            "descent",
            "bound_is_below_minimum",
        ),
        wrong(
            "no-bound",
            "claims a bound and gives none",
            twisted(Greedy(), lambda e, s: replace(s, bound=None)),
            "greedy",
            "bound_is_given",
        ),
        wrong(
            "false-residual",
            "reports a residual that it has not",
            twisted(Descent(), lambda e, s: replace(s, residual=0.1 * s.residual)),
            "descent",
            "claimed_residual_is_true",
        ),
        wrong(
            "no-residual",
            "claims a residual and gives none",
            twisted(Descent(), lambda e, s: replace(s, residual=None)),
            "descent",
            "residual_is_told",
        ),
        wrong(
            "optimist",
            "calls a local minimum optimal",
            Twisted(inner=Greedy(), told=_optimist),
            "greedy",
            "optimal_means_minimum",
        ),
        wrong(
            "exact-in-name",
            "claims to be exact and is not",
            Greedy(),
            "greedy",
            "reaches_the_minimum",
            ("exact",),
        ),
        wrong(
            "exact-on-no-tree",
            "claims to be exact on trees and stays where it is",
            Twisted(inner=Greedy(), told=constantly(Status.CONVERGED)),
            "greedy",
            "is_exact_on_trees",
            ("exact-on-trees",),
        ),
        wrong(
            "blind-to-contradiction",
            "calls a contradiction solved",
            Twisted(inner=Enumerating(), told=_hopeful),
            "enumerating",
            "no_minimum_is_not_called_converged",
        ),
        wrong(
            "uphill",
            "claims to be monotone and rises",
            Twisted(inner=Descent(), after_step=_uphill),
            "descent",
            "energy_never_rises",
        ),
    ]
