"""Wrong solvers: their samples, marginals, log Z or gradients are off."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph
from groundstate.solver import Beliefs
from groundstate.testing.zoo.animal import Animal
from groundstate.testing.zoo.toys import Descent, Enumerating, HeatBath, wrong
from groundstate.testing.zoo.twisting import Twisted


def _beliefs(change: Callable[[Beliefs], Beliefs]) -> Callable[[Energy, Any], Any]:
    def changed(energy: Energy, state: Any) -> Any:
        if state.beliefs is None:
            return state
        return replace(state, beliefs=change(state.beliefs))

    return changed


def _raised_lower(beliefs: Beliefs) -> Beliefs:
    assert beliefs.lower is not None
    return replace(beliefs, lower=beliefs.lower + 1, log_partition=None, upper=None)


def _uniform_beliefs(energy: Energy, state: Any) -> Any:
    graph = view(energy, FactorGraph)
    share = (1.0 / graph.counts.double())[graph.variable_of_entry]
    marginals = share.expand_as(state.beliefs.marginals).clone()
    return replace(state, beliefs=Beliefs(marginals=marginals))


def animals() -> list[Animal]:
    """Solvers that give other numbers than asked for."""
    return [
        wrong(
            "cut-gradient",
            "its unrolled gradient leaves the step length out",
            Descent(cut=True),
            "descent",
            "unrolled_gradient_equals_finite_differences",
        ),
        wrong(
            "wrong-temperature",
            "samples from another temperature",
            HeatBath(temperature=2.0),
            "heat-bath",
            "samples_follow_the_density",
        ),
        wrong(
            "unnormalised",
            "its marginals do not sum to one",
            Twisted(
                inner=Enumerating(),
                after_step=_beliefs(lambda b: replace(b, marginals=0.9 * b.marginals)),
            ),
            "enumerating",
            "marginals_are_distributions",
        ),
        wrong(
            "uniform",
            "claims exact marginals and gives uniform ones",
            Twisted(inner=Enumerating(), after_step=_uniform_beliefs),
            "enumerating",
            "marginals_are_exact",
        ),
        wrong(
            "high-lower-bound",
            "its lower bound lies above log Z",
            Twisted(inner=Enumerating(), after_step=_beliefs(_raised_lower)),
            "enumerating",
            "log_partition_lies_between_its_bounds",
        ),
    ]
