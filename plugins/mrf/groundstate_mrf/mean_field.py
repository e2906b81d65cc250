"""`solver/mean-field`: the best fully factorised belief, of any order.

Koller, Friedman: Probabilistic Graphical Models (2009), §11.5: q_i(y) ∝ exp(-mean energy of the
factors at i, if i took label y), with the others drawn from q. Updating the variables of a colour
class at once never raises the free energy F(q) = mean energy - entropy; log Z ≥ -F(q) for every q.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.factors import ExpectationGroup, FactorGraph
from groundstate.solver import Beliefs, Deadline, State
from groundstate.status import Status
from groundstate_mrf.colouring import ColourClass, colour_classes
from groundstate_mrf.entries import entropy, log_softmin, spread
from groundstate_mrf.problem import Problem, open_problem


@dataclass(frozen=True, kw_only=True)
class MeanFieldState(State):
    """Adds the schedule.

    Attributes:
        marginals: those of `beliefs`.
        classes: sets of variables to update at once.
        temperature: of the current step.
        change: largest change of a belief in the last step; infinite before.
    """

    marginals: Float[Tensor, "*lead entries"]
    classes: tuple[ColourClass, ...]
    temperature: float
    change: Float[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class MeanField:
    """Coordinate ascent on a lower bound of log Z; the labelling is each variable's likeliest.

    Attributes:
        schedule: "sequential" updates one colour class after another and is monotone; "parallel"
            updates all variables at once, damped.
        damping: share of the old log belief that is kept, with "parallel".
        temperature: of the first step; above 1 it smooths, to anneal.
        cooling: factor from step to step, down to temperature 1.
        tolerance: largest change of a belief that counts as none.
    """

    schedule: Literal["sequential", "parallel"] = "sequential"
    damping: Annotated[float, Ge(0), Lt(1)] = 0.5
    temperature: Annotated[float, Ge(1)] = 1.0
    cooling: Annotated[float, Gt(0), Lt(1)] = 0.8
    tolerance: Annotated[float, Gt(0)] = 1e-3

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> MeanFieldState:
        problem = open_problem(energy)
        graph = problem.graph
        beliefs = _start(problem, x0, self.temperature, rng)
        lower = _lower_bound(problem, beliefs)
        whole = torch.ones(len(graph.counts), dtype=torch.bool, device=beliefs.device)
        parallel = (ColourClass(variables=whole, graph=graph),)
        return MeanFieldState(
            x=problem.configuration(graph.best_labels(-beliefs)),
            bound=graph.bound().expand(lower.shape),
            beliefs=Beliefs(marginals=beliefs, log_partition=lower, lower=lower),
            marginals=beliefs,
            classes=colour_classes(graph) if self.schedule == "sequential" else parallel,
            temperature=self.temperature,
            change=torch.full_like(lower, float("inf")),
        )

    def step(self, energy: Energy, state: MeanFieldState, deadline: Deadline) -> MeanFieldState:
        problem = open_problem(energy)
        graph, old = problem.graph, state.marginals
        beliefs = old
        for each in state.classes:
            beliefs = self._update(each, beliefs, state.temperature)
            if deadline.passed:
                break
        done = self._settled(state)
        beliefs = problem.keep(done, old, beliefs, graph.variable_of_entry)
        change = problem.largest((beliefs - old).abs(), graph.variable_of_entry)
        lower = _lower_bound(problem, beliefs)
        return replace(
            state,
            x=problem.configuration(graph.best_labels(-beliefs)),
            beliefs=Beliefs(marginals=beliefs, log_partition=lower, lower=lower),
            marginals=beliefs,
            temperature=max(1.0, state.temperature * self.cooling),
            change=torch.where(done, state.change, change)
            if state.temperature == 1
            else state.change,
        )

    def status(self, state: MeanFieldState) -> Int[Tensor, "*batch"]:
        return torch.where(self._settled(state), int(Status.CONVERGED), int(Status.RUNNING))

    def _settled(self, state: MeanFieldState) -> Bool[Tensor, "*batch"]:
        return state.change <= self.tolerance

    def _update(
        self, each: ColourClass, beliefs: Float[Tensor, "*lead entries"], temperature: float
    ) -> Float[Tensor, "*lead entries"]:
        """The fixed point's equation for the variables of a class, at a temperature."""
        graph = each.graph
        scores = log_softmin(graph, _mean_moves(graph, beliefs) / temperature)
        if self.schedule == "parallel" and self.damping > 0:
            damped = (1 - self.damping) * scores + self.damping * beliefs.log()
            damped = log_softmin(graph, -damped)
            scores = torch.where(damped.isnan(), scores, damped)
        updated = scores.exp()
        if bool(updated.sum().isnan()):
            # a variable whose every label meets a forbidden cell commits itself, so that others
            # can get out of its way
            sure = graph.one_hot(graph.best_labels(-beliefs), beliefs.dtype)
            updated = torch.where(scores.isnan(), sure, updated)
        return torch.where(spread(graph, each.variables), updated, beliefs)


def _start(
    problem: Problem, x0: Shaped[Tensor, "*shape"] | None, temperature: float, rng: torch.Generator
) -> Float[Tensor, "*lead entries"]:
    """Certain of `x0`; else by the factors on single variables; else uniform but for noise."""
    graph = problem.graph
    if x0 is not None:
        return graph.one_hot(problem.labels(x0), graph.constant.dtype)
    alone = tuple(group for group in graph.groups if group.count == len(group.slots))
    lead = problem.labels(problem.energy.space.sample(rng)).shape[:-1]
    scores = graph.constant.new_zeros((*lead, graph.entries))
    if any(group.count for group in alone):
        scores = scores + _mean_moves(replace(graph, groups=alone), scores)
    else:
        noise = torch.rand(scores.shape, generator=rng, device=scores.device, dtype=scores.dtype)
        scores = 0.1 * noise
    beliefs = log_softmin(graph, scores / temperature).exp()
    return torch.where(beliefs.isnan(), 1 / spread(graph, graph.counts).to(beliefs.dtype), beliefs)


def _mean_moves(
    graph: FactorGraph, beliefs: Float[Tensor, "*lead entries"]
) -> Float[Tensor, "*lead entries"]:
    total = torch.zeros_like(beliefs)
    for group in graph.serving("expectations", ExpectationGroup):
        total = total + group.expected_moves(beliefs)
    return total


def _lower_bound(problem: Problem, beliefs: Float[Tensor, "*lead entries"]) -> Float[Tensor, "..."]:
    """-F(q), a lower bound on log Z, in nats."""
    graph = problem.graph
    free = graph.constant - problem.total(entropy(graph, beliefs))
    for group in graph.serving("expectations", ExpectationGroup):
        free = free + graph.total(group, group.expected_energies(beliefs))
    return -free
