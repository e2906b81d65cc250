"""All inhabitants of the zoo."""

from groundstate.component import Component
from groundstate.testing.zoo import energies, generators, learners, losses, solvers
from groundstate.testing.zoo.animal import Animal


def animals() -> list[Animal]:
    """Every wrong component, with the law that catches it."""
    return [
        *energies.animals(),
        *solvers.animals(),
        *losses.animals(),
        *generators.animals(),
        *learners.animals(),
    ]


def siblings() -> list[Component]:
    """The correct components, each once."""
    found = [energies.dense(), energies.tables(), *solvers.correct().values()]
    return [*found, *losses.correct().values(), generators.correct(), learners.correct()]
