"""`solver/gibbs`: samples of p(y) ∝ exp(-E(y) / temperature), variable by variable.

Geman, Geman (1984), see `groundstate_moves.heat_bath`. Each step is a sample, correlated with the
last one; the marginals are those of the samples after the first `burn_in`.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Beliefs, Deadline, State, generator_from
from groundstate.status import Status
from groundstate_moves.heat_bath import Classes, classes_of, sweep
from groundstate_mrf.problem import open_problem


@dataclass(frozen=True, kw_only=True)
class GibbsState(State):
    """Adds the counts.

    Attributes:
        classes: sets of variables that share no factor.
        next_class: where the sweep goes on: a deadline may end it early.
        seen: how often each label of each variable was drawn.
        steps: complete sweeps.
        ended: the status: a sampler runs on.
    """

    classes: Classes
    next_class: int
    seen: Float[Tensor, "*lead entries"]
    steps: int
    ended: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class Gibbs:
    """Heat bath. A step draws every variable once; it never ends by itself.

    Attributes:
        temperature: in nats per nat: 1 is p(y) ∝ exp(-E(y)).
        burn_in: sweeps before marginals are counted.
    """

    temperature: Annotated[float, Gt(0)] = 1.0
    burn_in: Annotated[int, Ge(0)] = 100

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> GibbsState:
        problem = open_problem(energy)
        x = energy.space.sample(rng) if x0 is None else x0
        labels = problem.labels(x)
        value = problem.evaluate(labels)
        zeros = torch.zeros(
            *labels.shape[:-1], problem.graph.entries, dtype=torch.float64, device=labels.device
        )
        return GibbsState(
            x=x,
            bound=problem.graph.bound().expand(value.shape),
            rng=rng.get_state(),
            classes=classes_of(problem.graph),
            next_class=0,
            seen=zeros,
            steps=0,
            ended=torch.full(value.shape, int(Status.RUNNING), device=value.device),
        )

    def step(self, energy: Energy, state: GibbsState, deadline: Deadline) -> GibbsState:
        problem = open_problem(energy)
        assert state.rng is not None
        labels = problem.labels(state.x)
        rng = generator_from(state.rng, labels.device)
        labels, position = sweep(
            state.classes, labels, self.temperature, rng, deadline, state.next_class
        )
        state = replace(
            state, x=problem.configuration(labels), rng=rng.get_state(), next_class=position
        )
        if position:
            return state
        steps = state.steps + 1
        if steps <= self.burn_in:
            return replace(state, steps=steps)
        seen = state.seen + problem.graph.one_hot(labels, torch.float64)
        marginals = (seen / (steps - self.burn_in)).to(problem.graph.constant.dtype)
        return replace(state, steps=steps, seen=seen, beliefs=Beliefs(marginals=marginals))

    def status(self, state: GibbsState) -> Int[Tensor, "*batch"]:
        return state.ended
