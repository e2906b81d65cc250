"""`solver/icm`: iterated conditional modes, all variables of a colour class at once.

Besag: On the Statistical Analysis of Dirty Pictures (1986). Variables that share no factor do not
see each other move, so a class takes its best labels simultaneously and the energy never rises.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.factors import FactorGraph
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_mrf.colouring import ColourClass, colour_classes
from groundstate_mrf.entries import pick
from groundstate_mrf.problem import cheapest_labels, open_problem


@dataclass(frozen=True, kw_only=True)
class ICMState(State):
    """Adds the colour classes and what has moved.

    Attributes:
        classes: sets of variables that share no factor.
        next_class: where the next sweep begins: a deadline may end a sweep early.
        quiet: how many classes in a row had no better label, in each problem.
    """

    classes: tuple[ColourClass, ...]
    next_class: int
    quiet: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class ICM:
    """Coordinate descent on labels. Each step is a sweep; it ends where no single move helps."""

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> ICMState:
        problem = open_problem(energy)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        x = problem.configuration(labels)
        value = energy(x)
        return ICMState(
            x=x,
            bound=problem.graph.bound().expand(value.shape),
            classes=colour_classes(problem.graph),
            next_class=0,
            quiet=torch.zeros(value.shape, dtype=torch.int64, device=value.device),
        )

    def step(self, energy: Energy, state: ICMState, deadline: Deadline) -> ICMState:
        problem = open_problem(energy)
        labels, quiet, position = problem.labels(state.x), state.quiet, state.next_class
        for _ in state.classes:
            moved, changed = best_moves(state.classes[position], labels)
            any_moved = problem.total(changed.to(torch.int64)) > 0
            quiet = torch.where(any_moved, 0, quiet + 1)
            labels = moved
            position = (position + 1) % len(state.classes)
            if deadline.passed:
                break
        x = problem.configuration(labels)
        return replace(state, x=x, next_class=position, quiet=quiet)

    def status(self, state: ICMState) -> Int[Tensor, "*batch"]:
        settled = state.quiet >= len(state.classes)
        return torch.where(settled, int(Status.CONVERGED), int(Status.RUNNING))


def best_moves(
    each: ColourClass, labels: Int[Tensor, "*lead variables"]
) -> tuple[Int[Tensor, "*lead variables"], Bool[Tensor, "*lead variables"]]:
    """The labels after each variable of the class took its best one, and which changed."""
    graph: FactorGraph = each.graph
    costs = graph.moves(labels)
    best = graph.best_labels(costs)
    here, there = pick(graph, costs, labels), pick(graph, costs, best)
    # below the rounding of the sums, labels would flicker for ever
    slack = 4 * torch.finfo(costs.dtype).eps * there.abs()
    changed = each.variables & (here > there + slack)
    return torch.where(changed, best, labels), changed
