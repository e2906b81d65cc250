"""A discrete energy as solvers of factor graphs handle it: flat labels, one number per problem."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph
from groundstate.space import Layout


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An energy with its factor graph.

    Labels are `[*lead, variables]`, where lead is sample and batch; what belongs to a problem is
    `[*lead]`, or `[*lead, problems]` where problems lie end to end (`groundstate.union`).

    Attributes:
        energy: the energy.
        graph: its factors.
    """

    energy: Energy
    graph: FactorGraph

    @property
    def layout(self) -> Layout:
        return self.energy.space.layout

    def labels(self, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*lead variables"]:
        """A configuration, flat."""
        return x.reshape(*x.shape[: x.dim() - len(self.layout.event_shape)], len(self.graph.counts))

    def configuration(self, labels: Shaped[Tensor, "*lead variables"]) -> Shaped[Tensor, "*shape"]:
        """Flat labels in the shape of the energy's configurations."""
        return labels.reshape(*labels.shape[:-1], *self.layout.event_shape)

    def evaluate(self, labels: Int[Tensor, "*lead variables"]) -> Float[Tensor, "..."]:
        """Energy of each problem, in nats."""
        return self.energy(self.configuration(labels))

    def total(self, values: Shaped[Tensor, "*lead variables"]) -> Shaped[Tensor, "..."]:
        """Sum over the variables of each problem."""
        if self.graph.segments is None:
            return values.sum(-1)
        zeros = values.new_zeros((*values.shape[:-1], self.problems))
        return zeros.index_add(-1, self.graph.segments, values)

    def largest(
        self, values: Float[Tensor, "*lead places"], variables: Int[Tensor, " places"]
    ) -> Float[Tensor, "..."]:
        """The largest of values that belong to these variables, at least 0, in each problem."""
        if self.graph.segments is None:
            return values.amax(-1) if values.shape[-1] else values.sum(-1)
        index = self.graph.segments[variables].expand(values.shape)
        zeros = values.new_zeros((*values.shape[:-1], self.problems))
        return zeros.scatter_reduce(-1, index, values, "amax")

    def expand(
        self, values: Shaped[Tensor, "..."], variables: Int[Tensor, " places"]
    ) -> Shaped[Tensor, "..."]:
        """The value of the problem that each of these variables belongs to."""
        if self.graph.segments is None:
            return values.unsqueeze(-1)
        return values[..., self.graph.segments[variables]]

    def keep(
        self,
        done: Bool[Tensor, "..."],
        old: Shaped[Tensor, "*lead places"],
        new: Shaped[Tensor, "*lead places"],
        variables: Int[Tensor, " places"],
    ) -> Shaped[Tensor, "*lead places"]:
        """`new`, but `old` in problems that are done, so that a batch gives what a loop does."""
        if not bool(done.any()):
            return new
        return torch.where(self.expand(done, variables), old, new)

    @property
    def problems(self) -> int:
        return self.graph.constant.shape[-1]


def open_problem(energy: Energy) -> Problem:
    """The energy's factor graph, and how its configurations lie in it.

    Raises:
        ViewError: if it has none.
    """
    return Problem(energy=energy, graph=view(energy, FactorGraph))


def cheapest_labels(problem: Problem, rng: torch.Generator) -> Int[Tensor, "*batch variables"]:
    """Each variable's cheapest label by the factors on it alone; at random where there are none."""
    graph = problem.graph
    alone = [group for group in graph.groups if group.count and group.count == len(group.slots)]
    if not alone:
        return problem.labels(problem.energy.space.sample(rng))
    shape = problem.labels(problem.energy.space.sample(rng)).shape
    anywhere = torch.zeros(shape, dtype=torch.int64, device=graph.counts.device)
    costs = alone[0].moves(anywhere)
    for group in alone[1:]:
        costs = costs + group.moves(anywhere)
    return graph.best_labels(costs)
