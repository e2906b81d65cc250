"""`solver/junction-tree`: exact minimum, marginals and log Z of graphs of small treewidth.

Bucket elimination along a min-fill order, which is a junction tree whose cliques are the buckets
(Koller, Friedman: Probabilistic Graphical Models, 2009, §10.4). Any factor will do: what has no
table gets one, cardinality factors become chains of counts (see `groundstate_exact.blocks`).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.errors import InputError
from groundstate.solver import Beliefs, Deadline, State
from groundstate.status import Status
from groundstate_exact.answers import beliefs_of, lead_of, with_labels
from groundstate_exact.blocks import Blocks, blocks_of
from groundstate_exact.buckets import (
    Return,
    Sweep,
    labels_of,
    lowest,
    open_sweep,
    return_on,
    soft,
    sweep_on,
)
from groundstate_exact.elimination import Bucket, min_fill
from groundstate_exact.lists import listed
from groundstate_mrf.problem import Problem, open_problem


@dataclass(frozen=True, kw_only=True)
class JunctionTreeState(State):
    """Adds the cliques and how far the passes are.

    Attributes:
        buckets: the cliques in the order of elimination.
        best: the pass for the least energy; None before it.
        mass: the pass for log Z, where it is asked for; None before it.
        back: the way back that gives marginals; None before it.
        solved: whether `x` is the answer.
        finished: whether everything that was asked for is there.
    """

    buckets: tuple[Bucket, ...]
    best: Sweep | None
    mass: Sweep | None
    back: Return | None
    solved: Bool[Tensor, "*batch"]
    finished: bool


@dataclass(frozen=True, kw_only=True)
class JunctionTree:
    """Exact inference by eliminating one variable after another.

    Attributes:
        largest: table entries allowed, of all cliques and all problems of a batch together (some 8
            bytes each, 24 with marginals); what needs more is refused before any table is made.
        marginals: whether to give exact marginals and log Z, too.
    """

    largest: Annotated[int, Ge(1)] = 1 << 26
    marginals: bool = False

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> JunctionTreeState:
        problem = open_problem(energy)
        blocks = self._blocks(problem)
        counts = listed(blocks.counts)
        order = min_fill(counts, blocks.scopes(), self.largest // blocks.batch)
        if not order.fits:
            raise InputError(
                f"the cliques of a junction tree must have no more than `largest` = {self.largest} "
                f"table entries in all, but a min-fill order reaches {order.entries:.4g}"
                f"{f' in each of {blocks.batch} problems' if blocks.batch > 1 else ''}, with a "
                f"treewidth of {order.width} or more, after {len(order.variables)} of "
                f"{len(counts)} variables; raise `largest` or choose a solver that is not exact"
            )
        x = energy.space.sample(rng) * 0 if x0 is None else x0.clone()
        value = energy(x)
        return JunctionTreeState(
            x=x,
            bound=problem.graph.bound().expand(value.shape),
            buckets=order.buckets(counts),
            best=None,
            mass=None,
            back=None,
            solved=torch.zeros_like(value, dtype=torch.bool),
            finished=False,
            stats={"treewidth": float(order.width), "entries": float(order.entries)},
        )

    def step(
        self, energy: Energy, state: JunctionTreeState, deadline: Deadline
    ) -> JunctionTreeState:
        if state.finished:
            return state
        problem = open_problem(energy)
        blocks = self._blocks(problem)
        stop = partial(_passed, deadline)
        if not _through(state.best, state.buckets):
            best = state.best or open_sweep(blocks, state.buckets)
            best = sweep_on(blocks, state.buckets, best, lowest, stop)
            state = replace(state, best=best)
            if not _through(best, state.buckets):
                return state
            state = _solved(problem, blocks, state, best)
        if self.marginals:
            state = _with_beliefs(problem, blocks, state, deadline)
        # tables are of no more use; the answer is in the fields of every state
        done = state.beliefs is not None or not self.marginals
        return replace(state, finished=done, mass=None, back=None) if done else state

    def status(self, state: JunctionTreeState) -> Int[Tensor, "*batch"]:
        if not state.finished or state.bound is None:
            return torch.full_like(state.solved, int(Status.RUNNING), dtype=torch.int64)
        nothing = state.bound == float("inf")
        return torch.where(nothing, int(Status.INFEASIBLE), int(Status.OPTIMAL))

    def _blocks(self, problem: Problem) -> Blocks:
        return blocks_of(problem.graph, lead_of(problem), self.largest)


def _passed(deadline: Deadline) -> bool:
    return deadline.passed


def _through(sweep: Sweep | None, buckets: tuple[Bucket, ...]) -> bool:
    return sweep is not None and sweep.position == len(buckets)


def _solved(
    problem: Problem, blocks: Blocks, state: JunctionTreeState, best: Sweep
) -> JunctionTreeState:
    """The labels that the pass for the least energy has found."""
    labels = labels_of(state.buckets, best, len(blocks.counts))[:, : blocks.own]
    x, value = with_labels(problem, labels, state.x)
    left = replace(best, waiting=tuple(() for _ in best.waiting), kept=())
    return replace(
        state, x=x, energy=value, bound=value, best=left, solved=torch.ones_like(state.solved)
    )


def _with_beliefs(
    problem: Problem, blocks: Blocks, state: JunctionTreeState, deadline: Deadline
) -> JunctionTreeState:
    stop = partial(_passed, deadline)
    buckets = state.buckets
    mass, back = state.mass, state.back
    if not _through(mass, buckets):
        mass = sweep_on(blocks, buckets, mass or open_sweep(blocks, buckets), soft, stop)
        state = replace(state, mass=mass)
    if mass is None or mass.position < len(buckets):
        return state
    if back is None:
        back = Return(position=len(buckets), joints=mass.kept, marginals=())
    back = return_on(buckets, back, stop)
    state = replace(state, back=back)
    if back.position > 0:
        return state
    return replace(state, beliefs=_beliefs(problem, blocks, buckets, mass, back))


def _beliefs(
    problem: Problem, blocks: Blocks, buckets: tuple[Bucket, ...], mass: Sweep, back: Return
) -> Beliefs:
    """Marginals of the graph's own variables, in the order of its entries."""
    found: list[Tensor | None] = [None] * len(blocks.counts)
    for bucket, marginal in zip(reversed(buckets), back.marginals, strict=True):
        found[bucket.scope[0]] = marginal.expand(blocks.batch, -1)
    own = [each for each in found[: blocks.own] if each is not None]
    empty = torch.zeros((blocks.batch, 0), dtype=torch.float64)
    marginals = torch.cat([empty, *own], -1)
    return beliefs_of(problem, marginals, -mass.total)
