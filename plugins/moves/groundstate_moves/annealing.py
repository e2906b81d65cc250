"""`solver/annealing`: simulated annealing, heat baths ever colder.

Kirkpatrick, Gelatt, Vecchi: Optimization by Simulated Annealing (1983), with the heat bath of
`groundstate_moves.heat_bath` and temperatures that fall by the same factor from sweep to sweep.
After the last one, better labels are taken until there are none (ICM).
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, State, generator_from
from groundstate.status import Status
from groundstate_moves.heat_bath import Classes, classes_of, sweep
from groundstate_mrf.icm import best_moves
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem


@dataclass(frozen=True, kw_only=True)
class AnnealingState(State):
    """Adds where the chain is; `x` is the best labelling it has seen at the end of a sweep.

    Attributes:
        classes: sets of variables that share no factor.
        next_class: where the sweep goes on: a deadline may end it early.
        chain: the labelling drawn last.
        value: energy of `x`.
        steps: complete sweeps.
        settled: where the sweep after the last temperature found no better label.
    """

    classes: Classes
    next_class: int
    chain: Int[Tensor, "*lead variables"]
    value: Float[Tensor, "*batch"]
    steps: int
    settled: Bool[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class Annealing:
    """Simulated annealing. A step is a sweep at one temperature.

    Attributes:
        sweeps: how many temperatures there are.
        hottest: the first, in nats.
        coldest: the last, in nats.
    """

    sweeps: Annotated[int, Ge(1)] = 200
    hottest: Annotated[float, Gt(0)] = 4.0
    coldest: Annotated[float, Gt(0)] = 0.05

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> AnnealingState:
        problem = open_problem(energy)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        value = problem.evaluate(labels)
        return AnnealingState(
            x=problem.configuration(labels),
            bound=problem.graph.bound().expand(value.shape),
            rng=rng.get_state(),
            classes=classes_of(problem.graph),
            next_class=0,
            chain=labels,
            value=value,
            steps=0,
            settled=torch.zeros(value.shape, dtype=torch.bool, device=value.device),
        )

    def step(self, energy: Energy, state: AnnealingState, deadline: Deadline) -> AnnealingState:
        problem = open_problem(energy)
        if state.steps >= self.sweeps:
            return _descend(problem, state, deadline)
        assert state.rng is not None
        rng = generator_from(state.rng, state.chain.device)
        chain, position = sweep(
            state.classes, state.chain, self._temperature(state), rng, deadline, state.next_class
        )
        state = replace(state, chain=chain, rng=rng.get_state(), next_class=position)
        if position:
            return state
        state = _better(problem, replace(state, steps=state.steps + 1), chain)
        # what follows starts from the best, not from where the chain happens to end
        last = state.steps == self.sweeps
        return replace(state, chain=problem.labels(state.x)) if last else state

    def _temperature(self, state: AnnealingState) -> float:
        share = state.steps / max(self.sweeps - 1, 1)
        return self.hottest * (self.coldest / self.hottest) ** share

    def status(self, state: AnnealingState) -> Int[Tensor, "*batch"]:
        ended = torch.where(state.value.isfinite(), int(Status.CONVERGED), int(Status.VIOLATING))
        return torch.where(state.settled, ended, int(Status.RUNNING))


def _descend(problem: Problem, state: AnnealingState, deadline: Deadline) -> AnnealingState:
    """A sweep of best labels, where the last one helped."""
    labels, moved = state.chain, torch.zeros_like(state.settled)
    for number in range(state.classes.count):
        labels, changed = best_moves(state.classes.at(number), labels)
        moved = moved | (problem.total(changed.to(torch.int64)) > 0)
        if deadline.passed:
            # what was not looked at may still help
            moved = torch.ones_like(moved)
            break
    state = _better(problem, replace(state, chain=labels), labels)
    return replace(state, settled=state.settled | ~moved)


def _better(
    problem: Problem, state: AnnealingState, labels: Int[Tensor, "*lead variables"]
) -> AnnealingState:
    value = problem.evaluate(labels)
    better = value < state.value
    variables = torch.arange(labels.shape[-1], device=labels.device)
    chosen = torch.where(problem.expand(better, variables), labels, problem.labels(state.x))
    return replace(
        state,
        x=problem.configuration(chosen),
        value=torch.where(better, value, state.value),
    )
