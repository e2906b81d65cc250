"""Wrong factor graphs: one service of one group is off."""

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph
from groundstate.space import Discrete
from groundstate.testing.problems.discrete import graphs
from groundstate.testing.tables import TableEnergy, Tables
from groundstate.testing.zoo.animal import Animal, component
from groundstate.testing.zoo.energies import WrongValue


def _graphs() -> list[Energy]:
    return [problem.energy for problem in graphs() if problem.name in ("tree", "batch of cycles")]


def tables() -> Any:
    """The correct factor graph."""
    return component("energy", "tables", _graphs, target=TableEnergy, gives=("FactorGraph",))


class WrongMoves(Tables):
    """Moves of the energies with the labels of the other variables shifted."""

    def moves(self, labels: Tensor) -> Tensor:
        return super().moves(labels).roll(1, -1)


class WrongMessages(Tables):
    """Messages off by one: the slot's own message is counted, too."""

    def messages(self, incoming: Tensor, temperature: float) -> Tensor:
        return super().messages(incoming, temperature) + incoming


class WrongExpectations(Tables):
    """Expected moves that weigh the variable's own label, too."""

    def expected_moves(self, beliefs: Tensor) -> Tensor:
        return super().expected_moves(beliefs) * beliefs


class WrongMinima(Tables):
    """Means in place of minima."""

    def minima(self) -> Tensor:
        return super().minima() + 0.5


class TouchesAll(Tables):
    """Keeps every factor, whatever is touched."""

    def touching(self, variables: Tensor) -> Tables:
        return self


class ForgetsEntries(Tables):
    """Shifted to other variables, but still adding to the old entries."""

    def shifted(self, *, variables: int, entries: int, total: int) -> Tables:
        return Tables.shifted(self, variables=variables, entries=0, total=total)


class WrongSlots(Tables):
    """Tells of other variables than those its factors depend on."""

    @property
    def slots(self) -> Tensor:
        return super().slots.flip(0)


def _wrong_groups(group: type[Tables]) -> Callable[[], list[object]]:
    def examples() -> list[object]:
        found: list[object] = []
        for energy in _graphs():
            assert isinstance(energy, TableEnergy)
            groups = tuple(_as(group, each) for each in energy.graph.groups)
            found.append(replace(energy, graph=replace(energy.graph, groups=groups)))
        return found

    return examples


def _as(group: type[Tables], each: Any) -> Tables:
    return group(**{f.name: getattr(each, f.name) for f in dataclasses.fields(each)})


def _without_constant() -> list[object]:
    def graph(energy: Energy) -> FactorGraph:
        full = view(energy, FactorGraph)
        return replace(full, constant=torch.zeros_like(full.constant))

    return [
        WrongValue(inner=energy, changed={FactorGraph: lambda e=energy: graph(e)})
        for energy in _graphs()
    ]


def _wraps_labels(energy: Energy, x: Tensor) -> Tensor:
    space = energy.space
    assert isinstance(space, Discrete)
    return energy(x % space.counts)


_GROUPS: list[tuple[str, str, type[Tables], str]] = [
    ("wrong-moves", "moves off by one entry", WrongMoves, "moves_are_energy_differences"),
    ("wrong-messages", "messages off by one term", WrongMessages, "messages_equal_brute_force"),
    (
        "wrong-expectations",
        "expectations with one belief too many",
        WrongExpectations,
        "expectations_equal_enumeration",
    ),
    ("wrong-minima", "minima above the energies", WrongMinima, "minima_are_lower_bounds"),
    (
        "touches-all",
        "keeps factors that are not touched",
        TouchesAll,
        "touching_keeps_the_right_factors",
    ),
    (
        "forgets-entries",
        "adds to other variables' entries after a shift",
        ForgetsEntries,
        "shifted_factors_are_the_same_elsewhere",
    ),
    (
        "wrong-slots",
        "depends on variables that it does not tell of",
        WrongSlots,
        "slots_are_sorted_and_complete",
    ),
]


def animals() -> list[Animal]:
    """The wrong factor graphs."""
    found: list[Animal] = []
    for name, fault, group, law in _GROUPS:
        made = component(
            "energy", name, _wrong_groups(group), target=TableEnergy, gives=("FactorGraph",)
        )
        found.append(Animal(fault=fault, component=made, sibling=tables(), caught_by=law))
    return [*found, *_others()]


def _others() -> list[Animal]:
    def wrong(
        name: str, fault: str, examples: Callable[[], list[object]], law: str, *views: str
    ) -> Animal:
        made = component("energy", name, examples, target=WrongValue, gives=("FactorGraph", *views))
        return Animal(fault=fault, component=made, sibling=tables(), caught_by=law)

    return [
        wrong(
            "wraps-labels",
            "takes a label that does not exist for another",
            lambda: [WrongValue(inner=energy, value=_wraps_labels) for energy in _graphs()],
            "out_of_range_label_is_refused",
        ),
        wrong(
            "without-constant",
            "its graph lacks the constant",
            _without_constant,
            "factor_graph_agrees_with_energy",
        ),
        wrong(
            "promises",
            "declares a view that it does not give",
            lambda: [*_graphs()],
            "declared_views_are_given",
            "Score",
        ),
    ]
