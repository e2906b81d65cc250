"""Which problems a component is tried on."""

import math
from collections.abc import Sequence

from groundstate.energy import Energy
from groundstate.space import Discrete
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.discrete import (
    contradiction,
    forced_apart,
    graphs,
    large_graph,
    large_linear_graph,
    medium_graph,
)
from groundstate.testing.problems.plain import plain
from groundstate.testing.problems.problem import Problem
from groundstate.testing.problems.quadratic import indefinite, large_system, quadratics
from groundstate.views import Quadratic

_LABELLINGS = 1 << 14
_VARIABLES = 64


def everything() -> list[Problem]:
    """Every problem of the kit; also those without a minimum, and those out of reach."""
    lost = [indefinite(), contradiction(), forced_apart()]
    large = [large_system(), medium_graph(), large_graph(), large_linear_graph()]
    return [*quadratics(), *graphs(), *plain(), *lost, *large]


def of_example(name: str, energy: Energy) -> Problem | None:
    """An example of a plugin's own energy as a problem, where an oracle can solve it; else None."""
    layout = energy.space.layout
    if layout.segments is not None:
        return None
    if isinstance(energy.space, Discrete):
        small = float(energy.space.counts.double().log().sum()) <= math.log(_LABELLINGS)
        return Problem(name=name, energy=energy, own=True) if small else None
    if Quadratic not in energy.views or math.prod(layout.event_shape) > _VARIABLES:
        return None
    definite = bool((solve_densely(energy).spectrum[..., 0] > 1e-6).all())
    return Problem(name=name, energy=energy, own=True) if definite else None


def fitting(needs: Sequence[str], problems: Sequence[Problem] | None = None) -> list[Problem]:
    """The problems that give all the views needed; where none is needed, a few of each sort."""
    candidates = everything() if problems is None else problems
    if needs:
        return [problem for problem in candidates if set(needs) <= problem.views]
    few = {"system", "batch of systems", "float32 system", "tree", "batch of cycles"}
    few |= {"contradicting constraints", "factors that serve only moves", "medium grid"}
    return [problem for problem in candidates if not problem.views or problem.name in few]
