"""All inhabitants of the zoo."""

from groundstate.component import Component
from groundstate.testing.zoo import (
    boasters,
    energies,
    generators,
    groups,
    learners,
    losses,
    miscounting,
    misjudging,
    toys,
    untidy,
)
from groundstate.testing.zoo.animal import Animal


def animals() -> list[Animal]:
    """Every wrong component, with the law that catches it."""
    return [
        *energies.animals(),
        *groups.animals(),
        *untidy.animals(),
        *boasters.animals(),
        *misjudging.animals(),
        *miscounting.animals(),
        *losses.animals(),
        *generators.animals(),
        *learners.animals(),
    ]


def siblings() -> list[Component]:
    """The correct components, each once."""
    found = [energies.dense(), groups.tables(), *toys.correct().values()]
    return [*found, *losses.correct().values(), generators.correct(), learners.correct()]
