"""`solver/cached`: amortised inference.

The solution y* of one problem is that of another with the same factors and other numbers, if no
factor's change favours other labels: Δ_f(y*) ≤ Δ_f(y) for every factor f and all its labels y,
where Δ_f is the new energy of the factor less the old one. Then the new energy of any y exceeds
that of y* by at least as much as the old one did. It is Theorem 1 of Srikumar, Kundu and Roth (On
Amortizing Inference Cost for Structured Prediction, 2012), with the labels of each factor as the
variables of the integer program, and asks for less: a change that all labels of a factor share
counts for nothing.
"""

from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

import groundstate
from groundstate.energy import Energy
from groundstate.factors import FactorGraph, FactorGroup
from groundstate.solver import Deadline, Solver, State
from groundstate.status import Status
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.distance import DistanceGroup
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.problem import open_problem

_NUMBERS: dict[type[Any], str] = {
    TableGroup: "tables",
    PottsGroup: "weights",
    GridPottsGroup: "weights",
    DistanceGroup: "weights",
    CardinalityGroup: "values",
}
"""The field of each form in which its energies are linear."""


@dataclass(frozen=True, kw_only=True)
class Solved:
    """A problem with its proved optimum.

    Attributes:
        graph: its factors.
        labels: y*, flat.
    """

    graph: FactorGraph
    labels: Int[Tensor, " variables"]


@dataclass(kw_only=True)
class Memory:
    """What was solved, the latest last; share one among solvers, or between epochs of a learner.

    Attributes:
        capacity: how many problems are kept; the oldest is forgotten first.
        solved: the problems.
        reused: how often one of them answered another.
    """

    capacity: int = 1024
    solved: deque[Solved] = field(default_factory=deque[Solved])
    reused: int = 0

    def find(self, graph: FactorGraph) -> Int[Tensor, " variables"] | None:
        """The labels of a solved problem that are proved to be optimal in this one."""
        for each in reversed(self.solved):
            if still_optimal(each, graph):
                self.reused += 1
                return each.labels
        return None

    def add(self, graph: FactorGraph, labels: Int[Tensor, " variables"]) -> None:
        """Keep a problem whose optimum is proved."""
        self.solved.append(Solved(graph=graph, labels=labels.clone()))
        while len(self.solved) > self.capacity:
            self.solved.popleft()


@dataclass(frozen=True, kw_only=True)
class CachedState(State):
    """State of the solver that is asked, unless the memory answered.

    Attributes:
        inner: that solver's state; None where the memory answered.
        asked: that solver; likewise.
    """

    inner: State | None = None
    asked: Solver[Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Cached:
    """Asks a memory of solved problems first, and a solver where that has no answer.

    Only single problems are looked up and kept; batches and unions go to the solver.

    Attributes:
        solver: key of the solver in the registry, or a solver.
        memory: what is known; None for one that nobody else shares, empty at each solve.
    """

    solver: str | Any = "solver/max-product"
    memory: Memory | None = None

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> CachedState:
        problem = open_problem(energy)
        labels = self.memory.find(problem.graph) if self.memory and _single(energy) else None
        if labels is not None:
            x = problem.configuration(labels)
            value = energy(x)
            told = {"memory": "an earlier solution is proved to be optimal"}
            return CachedState(x=x, energy=value, bound=value, stats=told)
        asked = cast(Solver[Any], self.solver)
        if isinstance(self.solver, str):
            asked = groundstate.load(warn=False).build(self.solver)
        return _wrapped(asked, asked.init(energy, x0, rng))

    def step(self, energy: Energy, state: CachedState, deadline: Deadline) -> CachedState:
        if state.inner is None or state.asked is None:
            return state
        after = _wrapped(state.asked, state.asked.step(energy, state.inner, deadline))
        optimal = self.status(after) == Status.OPTIMAL
        if self.memory is None or not _single(energy) or not bool(optimal.all()):
            return after
        problem = open_problem(energy)
        self.memory.add(problem.graph, problem.labels(after.x))
        return after

    def status(self, state: CachedState) -> Int[Tensor, "*batch"]:
        if state.inner is None or state.asked is None:
            return torch.full((), int(Status.OPTIMAL))
        return state.asked.status(state.inner)


def still_optimal(known: Solved, graph: FactorGraph) -> bool:
    """Whether the known labels are optimal in a problem with the same factors and other numbers."""
    before = known.graph
    if not torch.equal(before.counts, graph.counts) or len(before.groups) != len(graph.groups):
        return False
    for old, new in zip(before.groups, graph.groups, strict=True):
        change = difference(old, new)
        if change is None:
            return False
        here, least = change.energies(known.labels), change.minima()
        if not bool((here <= least).all()):
            return False
    return True


def difference(old: FactorGroup, new: FactorGroup) -> FactorGroup | None:
    """A group whose energies are the new ones less the old; None where the factors differ.

    What was forbidden and stays so has not changed. What is newly forbidden became dearer, so it
    counts as +inf; what is newly allowed could be better than anything: there is no answer.
    """
    field_name = _NUMBERS.get(type(new))
    if type(old) is not type(new) or field_name is None:
        return None
    before, after = getattr(old, field_name), getattr(new, field_name)
    if before.shape != after.shape or not _same_but(old, new, field_name):
        return None
    if bool((before.isinf() & ~after.isinf()).any()):
        return None
    change = torch.where(before.isinf() & after.isinf(), torch.inf, after - before)
    return replace(cast(Any, new), **{field_name: change})


def _same_but(old: FactorGroup, new: FactorGroup, name: str) -> bool:
    """Whether two groups of one form have the same fields but one."""
    for each in fields(cast(Any, old)):
        mine, other = getattr(old, each.name), getattr(new, each.name)
        if each.name == name:
            continue
        if isinstance(mine, Tensor):
            if mine.shape != other.shape or not torch.equal(mine, other):
                return False
        elif mine != other:
            return False
    return True


def _single(energy: Energy) -> bool:
    layout = energy.space.layout
    return not layout.batch_shape


def _wrapped(asked: Solver[Any], inner: State) -> CachedState:
    return CachedState(
        x=inner.x,
        energy=inner.energy,
        bound=inner.bound,
        beliefs=inner.beliefs,
        rng=inner.rng,
        stats=inner.stats,
        inner=inner,
        asked=asked,
    )
