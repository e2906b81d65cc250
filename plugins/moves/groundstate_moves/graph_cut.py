"""`solver/graph-cut`: the exact minimum of submodular pairwise problems, by one minimum cut.

Kolmogorov, Zabih: What Energy Functions Can Be Minimized via Graph Cuts? (2004); with more than two
labels, in the order they are numbered: Ishikawa (2003), see `groundstate_moves.ordered`. The flow
is itself the certificate: it bounds the energy from below, and at its maximum meets it.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_moves.counts import CutProblem, cut_problems
from groundstate_moves.network import Reals, Whole
from groundstate_moves.ordered import OrderedCut
from groundstate_moves.rows import configuration_of, labels_of, per_problem
from groundstate_mrf.problem import cheapest_labels, open_problem

_PATHS = 1 << 16
"""Paths from one look at the deadline to the next."""
_ALL = 1 << 62
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class GraphCutState(State):
    """Adds the flows.

    Attributes:
        problems: the problems one by one, each as a cut.
        flows: the flow over each edge of each cut; never changed, but replaced.
        lower: the lower bound of each, in nats.
        ended: the status of each.
        statuses: the same for each configuration.
    """

    problems: tuple[CutProblem, ...]
    flows: tuple[Float[Tensor, "..."], ...]
    lower: tuple[float, ...]
    ended: tuple[int, ...]
    statuses: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class GraphCut:
    """One minimum cut. A step sends flow until no more fits, or the time is over.

    Every edge must be submodular: V(a, b) + V(a+1, b+1) <= V(a, b+1) + V(a+1, b) for all labels, in
    the order of their numbers; an error names the first edge that is not. Cardinality factors are
    taken where they are concave, on binary variables, and any where their variables have no other
    factors but costs of their own.
    """

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> GraphCutState:
        problem = open_problem(energy)
        problems = cut_problems(problem)
        cuts = [each.ordered for each in problems]
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        value = problem.evaluate(labels)
        flows = tuple(torch.zeros(len(each.cut.there), dtype=torch.float64) for each in cuts)
        lower = [each.cut.bound(flow.numpy()) for each, flow in zip(cuts, flows, strict=True)]
        return GraphCutState(
            x=problem.configuration(labels),
            bound=per_problem(lower, value, value.dtype),
            problems=problems,
            flows=flows,
            lower=tuple(lower),
            ended=tuple(int(Status.RUNNING) for _ in cuts),
            statuses=torch.full(value.shape, int(Status.RUNNING), device=value.device),
        )

    def step(self, energy: Energy, state: GraphCutState, deadline: Deadline) -> GraphCutState:
        problem = open_problem(energy)
        flows, ended, lower = list(state.flows), list(state.ended), list(state.lower)
        labels = labels_of(problem, state.x)
        for number, each in enumerate(state.problems):
            if ended[number] != Status.RUNNING:
                continue
            flow, sides = _maximum(each.ordered, flows[number].numpy(), deadline)
            flows[number] = torch.from_numpy(flow)
            lower[number] = max(lower[number], each.ordered.cut.bound(flow))
            if sides is None:
                break
            found = each.labels(sides)
            samples = range(number, len(labels), len(state.problems))
            for sample in samples:
                labels[sample] = found
            ended[number] = _judge(each.energy(found), lower[number])
        assert state.bound is not None
        return replace(
            state,
            x=configuration_of(problem, labels, state.x),
            bound=per_problem(lower, state.bound, state.bound.dtype),
            flows=tuple(flows),
            lower=tuple(lower),
            ended=tuple(ended),
            statuses=per_problem(ended, state.bound, torch.int64),
        )

    def status(self, state: GraphCutState) -> Int[Tensor, "*batch"]:
        return state.statuses


def _maximum(cut: OrderedCut, flow: Reals, deadline: Deadline) -> tuple[Reals, Whole | None]:
    """More flow until no more fits, and the minimum; or, without one, until the time is over."""
    paths = _ALL if deadline.at == float("inf") else _PATHS
    while True:
        flow, sides, finished = cut.cut.improve(flow, paths)
        if finished:
            return flow, sides
        if deadline.passed:
            return flow, None


def _judge(value: float, lower: float) -> int:
    """How the minimum of a cut ended, by its energy and its bound."""
    if value == float("inf"):
        return int(Status.INFEASIBLE)
    proven = value - lower <= _ROUNDING * (1 + abs(value))
    return int(Status.OPTIMAL if proven else Status.CONVERGED)
