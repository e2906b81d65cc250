"""`solver/trw-bp`: tree-reweighted sum-product, an upper bound on log Z that always holds.

Wainwright, Jaakkola, Willsky: A New Class of Upper Bounds on the Log Partition Function (2005). The
forests are those in which each variable picks one of its earlier neighbours in an order, all with
equal probability: edge e appears with ρ_e = 1 / (number of edges from its later end to earlier
variables), about one half on a grid, as for uniform spanning trees. For these forests the bound is
known at any messages, not only at fixed points: summing out the last variable first, by Hölder's
inequality with the weights ρ,

    Σ over x_u of Π_e ψ_e(x_u, x_e) ≤ Π_e (Σ over x_u of ψ_e^(1/ρ_e))^ρ_e

(Liu, Ihler: Bounding the Partition Function using Hölder's Inequality, 2011; Globerson, Jaakkola:
Approximate Inference Using Conditional Entropy Decompositions, 2007). A pass against the order that
sends TRW messages does exactly that and adds up the bound. Then a pass along the order; the two are
a step. Where each variable has at most one earlier neighbour (the order is breadth-first, the graph
a forest) nothing is lost, and log Z and marginals are exact.

The marginals of fixed points are those of the bound's minimum. -bound is also below every energy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, cast

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Beliefs, Deadline, State
from groundstate.status import Status
from groundstate_messages import trw_sweep
from groundstate_messages.ordered import Order, Ordered, Reals, in_order
from groundstate_messages.rows import join_entries, per_problem, rounded_down
from groundstate_mrf.flat import flat_problems
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem

_sweep = cast(Callable[..., tuple[float, float]], trw_sweep.soft_sweep)


@dataclass(frozen=True, kw_only=True)
class TRWState(State):
    """Adds the messages; `x` is each variable's likeliest label.

    Attributes:
        upper: the lowest upper bound on log Z so far, in float64.
        problems: each problem in its order.
        rho: how probable it is that each edge appears.
        messages: of each problem, end to end, in nats; the least of each is 0.
        kept: those of the last pass along the order.
        marginals: of each problem, in float64.
        forward: whether the next pass of each problem is along the order.
        change: the larger of the largest change of a marginal in the last step and the bound's
            fall, relative to 1 + |bound|; infinite before.
    """

    upper: Float[Tensor, "..."]
    problems: tuple[Ordered, ...]
    rho: tuple[Float[Tensor, "..."], ...]
    messages: tuple[Float[Tensor, "..."], ...]
    kept: tuple[Float[Tensor, "..."], ...]
    marginals: tuple[Float[Tensor, "..."], ...]
    forward: Bool[Tensor, " problems"]
    change: Float[Tensor, "..."]


@dataclass(frozen=True, kw_only=True)
class TRWBP:
    """Marginals, and an upper bound on log Z; pairwise problems.

    Attributes:
        damping: share of the old message that is kept in passes along the order, but on forests.
        order: of the variables; see `groundstate_messages.ordered.in_order`. "breadth-first" makes
            it exact on forests.
        tolerance: largest change of a marginal, and relative fall of the bound, in a step that
            count as none.
    """

    damping: Annotated[float, Ge(0), Lt(1)] = 0.3
    order: Order = "breadth-first"
    tolerance: Annotated[float, Gt(0)] = 1e-6

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> TRWState:
        problem = open_problem(energy)
        graph, batch = problem.graph, problem.layout.batch_shape
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        x = problem.configuration(labels)
        value = energy(x)
        problems = tuple(in_order(flat, self.order) for flat in flat_problems(graph, batch))
        marginals = tuple(_uniform(each) for each in problems)
        # no factor is below its lowest energy
        counts = problem.total(graph.counts.double().log())
        upper = (counts - graph.bound().double().cpu()).expand(batch)
        state = TRWState(
            x=x,
            bound=graph.bound().expand(value.shape),
            upper=torch.where(upper.isfinite(), upper + 1e-6 * (1 + upper.abs()), upper),
            problems=problems,
            rho=tuple(torch.from_numpy(appearances(each)) for each in problems),
            messages=tuple(torch.zeros(each.places, dtype=torch.float64) for each in problems),
            kept=tuple(torch.zeros(each.places, dtype=torch.float64) for each in problems),
            marginals=marginals,
            forward=torch.zeros(len(problems), dtype=torch.bool),
            change=torch.full(batch, float("inf"), dtype=torch.float64),
        )
        return replace(state, beliefs=_beliefs(problem, state, value))

    def step(self, energy: Energy, state: TRWState, deadline: Deadline) -> TRWState:
        problem = open_problem(energy)
        done = per_problem(problem, self.status(state).cpu() != Status.RUNNING)
        upper, change = state.upper.clone(), state.change.clone()
        messages, kept = list(state.messages), list(state.kept)
        marginals = list(state.marginals)
        forward = state.forward.clone()
        for k, each in enumerate(state.problems):
            if done[k]:
                continue
            mutable = (messages, kept, marginals)
            for parts in mutable:
                parts[k] = parts[k].clone()
            arrays = (state.rho[k].numpy(), *(parts[k].numpy() for parts in mutable))
            if not bool(forward[k]):
                found = self._pass(each, arrays, forward=False)
                upper.view(-1)[k] = min(float(upper.view(-1)[k]), found)
                forward[k] = True
            if not deadline.passed and float(upper.view(-1)[k]) > -np.inf:
                forward[k] = False
                if self._pass(each, arrays, forward=True) == -np.inf:
                    upper.view(-1)[k] = -np.inf
                before, after = float(state.upper.view(-1)[k]), float(upper.view(-1)[k])
                fallen = (before - after) / (1 + abs(after)) if after > -np.inf else 0.0
                moved = (marginals[k] - state.marginals[k]).abs()
                change.view(-1)[k] = max(fallen, float(moved.max()) if len(moved) else 0.0)
            if deadline.passed:
                break
        state = replace(
            state,
            upper=upper,
            messages=tuple(messages),
            kept=tuple(kept),
            marginals=tuple(marginals),
            forward=forward,
            change=change,
        )
        return _told(problem, state)

    def status(self, state: TRWState) -> Int[Tensor, "*batch"]:
        settled = state.change <= self.tolerance
        status = torch.where(settled, int(Status.CONVERGED), int(Status.RUNNING))
        status = torch.where(state.upper == -float("inf"), int(Status.INFEASIBLE), status)
        lead = state.bound.shape if state.bound is not None else status.shape
        return status.to(state.x.device).expand(lead)

    def _pass(self, each: Ordered, arrays: tuple[Reals, ...], *, forward: bool) -> float:
        """One pass; the arrays but ρ are rewritten. If backward, an upper bound on log Z."""
        damping = 0.0 if each.forest else self.damping
        bound, noise = _sweep(each.arrays, *arrays, forward, damping)
        if bound == np.inf:
            return -np.inf
        return noise + np.finfo(np.float64).eps * abs(each.constant) - bound - each.constant


def appearances(each: Ordered) -> Reals:
    """ρ of each edge: one over the number of edges from its later end to earlier variables."""
    arrays = each.arrays
    owner = np.repeat(np.arange(len(arrays.order)), np.diff(arrays.begin))
    earlier = np.bincount(owner[~arrays.later], minlength=len(arrays.order))
    rho = np.empty(len(arrays.weights))
    rho[arrays.edge[~arrays.later]] = 1 / earlier[owner[~arrays.later]]
    return rho


def _uniform(each: Ordered) -> Float[Tensor, " entries"]:
    counts = torch.from_numpy(each.arrays.counts)
    return (1 / counts.double()).repeat_interleave(counts)


def _told(problem: Problem, state: TRWState) -> TRWState:
    """With labels, bound and beliefs from marginals and upper bounds."""
    graph, samples = problem.graph, state.x.shape
    lead = state.bound.shape if state.bound is not None else state.upper.shape
    scores = -join_entries(problem, state.marginals)
    labels = graph.best_labels(scores).expand(problem.labels(state.x).shape)
    x = problem.configuration(labels).to(state.x.device).reshape(samples)
    bound = rounded_down(-state.upper, graph.constant.dtype).to(x.device).expand(lead)
    state = replace(state, x=x, bound=bound)
    return replace(state, beliefs=_beliefs(problem, state, problem.energy(x)))


def _beliefs(problem: Problem, state: TRWState, value: Float[Tensor, "*lead"]) -> Beliefs:
    """One labelling is a part of Z: that is the lower bound, but on forests all is exact."""
    dtype, device = problem.graph.constant.dtype, state.x.device
    upper = -rounded_down(-state.upper, dtype).to(device)
    forest = torch.tensor([each.forest for each in state.problems], device=device)
    exact = forest.reshape(upper.shape) & state.change.isfinite().to(device)
    lower = torch.where(exact, upper, torch.minimum(-value, upper))
    return Beliefs(
        marginals=join_entries(problem, state.marginals).to(device, dtype),
        log_partition=upper.expand(value.shape),
        lower=lower.expand(value.shape),
        upper=upper.expand(value.shape),
    )
