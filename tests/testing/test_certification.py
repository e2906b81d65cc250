"""The core believes no solver: each lie ends in a `CertificationError` that names the liar."""

from dataclasses import replace
from typing import Any

import pytest
from torch import Tensor

from groundstate.errors import CertificationError
from groundstate.solver import Beliefs
from groundstate.solving import solve
from groundstate.testing.problems.discrete import graphs
from groundstate.testing.problems.quadratic import quadratics
from groundstate.testing.zoo.toys import Descent, Enumerating, Greedy
from groundstate.testing.zoo.twisting import Twisted

SYSTEM = quadratics()[0].energy
TREE = graphs()[0].energy


def liar(inner: Any, **claims: Any) -> Twisted:
    """A solver whose states claim other values."""

    def lie(energy: Any, state: Any) -> Any:
        return replace(state, **{name: claim(state) for name, claim in claims.items()})

    return Twisted(inner=inner, after_init=lie, after_step=lie)


def _lowered(state: Any) -> Tensor:
    return state.energy - 1e-3


def _raised(state: Any) -> Tensor:
    return state.energy + 1e-3


def _shrunk(state: Any) -> Tensor:
    return 1e-3 * state.residual


def test_lower_energy_than_it_has() -> None:
    with pytest.raises(CertificationError, match=r"Twisted claims a energy|Twisted .*energy"):
        solve(SYSTEM, liar(Descent(), energy=_lowered))


def test_bound_above_the_energy() -> None:
    with pytest.raises(CertificationError, match=r"Twisted .*bound"):
        solve(SYSTEM, liar(Descent(), bound=_raised))
    with pytest.raises(CertificationError, match=r"Twisted .*bound"):
        solve(TREE, liar(Greedy(), bound=_raised))


def test_residual_that_it_has_not() -> None:
    with pytest.raises(CertificationError, match=r"Twisted .*residual"):
        solve(SYSTEM, liar(Descent(), residual=_shrunk), steps=3)


def _crossed(state: Any) -> Beliefs | None:
    if state.beliefs is None:
        return None
    return replace(state.beliefs, lower=state.beliefs.upper + 1, log_partition=None)


def test_lower_above_upper_log_partition() -> None:
    with pytest.raises(CertificationError, match=r"Twisted .*log Z"):
        solve(TREE, liar(Enumerating(), beliefs=_crossed))


def _halved(state: Any) -> Beliefs | None:
    if state.beliefs is None:
        return None
    return replace(state.beliefs, marginals=0.5 * state.beliefs.marginals)


def test_marginals_that_do_not_sum_to_one() -> None:
    with pytest.raises(CertificationError, match=r"Twisted .*marginals"):
        solve(TREE, liar(Enumerating(), beliefs=_halved))


def test_the_truth_passes() -> None:
    assert bool(solve(SYSTEM, Descent()).ok.all())
    assert bool(solve(TREE, Enumerating()).ok.all())
