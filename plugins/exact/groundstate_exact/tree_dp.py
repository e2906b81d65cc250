"""`solver/tree-dp`: exact minimum, marginals and log Z on forests, linear in the variables.

Messages from the leaves to a root and choices back (Koller, Friedman: Probabilistic Graphical
Models, 2009, §10.2; max-product in §13.3; the structured-models specification §1.2 prints the
factor e^{+f}, where energies need e^{-f}, and takes the maximum over y_i ∈ Y, where it is over the
labels of i). Factors may be of any order; ties are settled by going back from the root.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, cast

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_exact import forest_kernel, forest_soft
from groundstate_exact.answers import beliefs_of, lead_of, with_labels
from groundstate_exact.blocks import blocks_of
from groundstate_exact.forest import Array, Forest, array, costs_of, forest_of
from groundstate_mrf.problem import Problem, open_problem

_gather_lowest = cast(Callable[..., None], forest_kernel.gather_lowest)
_best_labels = cast(Callable[..., None], forest_kernel.best_labels)
_gather_soft = cast(Callable[..., None], forest_soft.gather_soft)
_spread_chances = cast(Callable[..., None], forest_soft.spread_chances)


@dataclass(frozen=True, kw_only=True)
class TreeDPState(State):
    """Adds which problems are done, and what was found for them.

    Attributes:
        done: problems of the batch that are done; problems end to end count as one.
        labels: of the problems that are done, 0 elsewhere.
        marginals: of the problems that are done, where they are asked for.
        log_partition: log Z of the problems that are done, in nats.
        solved: whether `x` is the answer.
    """

    done: int
    labels: Int[Tensor, "batch variables"]
    marginals: Float[Tensor, "batch entries"]
    log_partition: Float[Tensor, " problems"]
    solved: Bool[Tensor, "..."]


@dataclass(frozen=True, kw_only=True)
class TreeDP:
    """Exact inference on factor graphs without cycles.

    Attributes:
        marginals: whether to give exact marginals and log Z, too.
        largest: table entries allowed for one factor that has no table of its own.
    """

    marginals: bool = False
    largest: Annotated[int, Ge(1)] = 1 << 22

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> TreeDPState:
        problem = open_problem(energy)
        blocks = self._forest(problem).blocks
        x = energy.space.sample(rng) * 0 if x0 is None else x0.clone()
        value = energy(x)
        entries = problem.graph.entries if self.marginals else 0
        return TreeDPState(
            x=x,
            bound=problem.graph.bound().expand(value.shape),
            done=0,
            labels=torch.zeros((blocks.batch, blocks.own), dtype=torch.int64),
            marginals=torch.zeros((blocks.batch, entries), dtype=torch.float64),
            log_partition=torch.zeros_like(blocks.constant),
            solved=torch.zeros_like(value, dtype=torch.bool),
        )

    def step(self, energy: Energy, state: TreeDPState, deadline: Deadline) -> TreeDPState:
        problem = open_problem(energy)
        if state.done == len(state.labels):
            return state
        forest = self._forest(problem)
        unary, cells = costs_of(forest)
        labels, marginals = state.labels.clone(), state.marginals.clone()
        total, done = state.log_partition.clone(), state.done
        while done < len(labels):
            own = slice(done, done + 1) if len(total) == forest.blocks.batch else slice(None)
            run = _Run(
                forest=forest,
                unary=array(unary[min(done, len(unary) - 1)]),
                cells=array(cells[min(done, len(cells) - 1)].contiguous()),
                constant=array(forest.blocks.constant[own]),
            )
            labels[done] = torch.from_numpy(run.best())[: labels.shape[1]]
            if self.marginals:
                chances, energies = run.beliefs()
                marginals[done] = torch.from_numpy(chances)[: marginals.shape[1]]
                total[own] = -torch.from_numpy(energies)
            done += 1
            if deadline.passed:
                break
        state = replace(state, done=done, labels=labels, marginals=marginals, log_partition=total)
        return _told(problem, state, self.marginals and done == len(labels))

    def status(self, state: TreeDPState) -> Int[Tensor, "*batch"]:
        nothing = state.solved if state.bound is None else state.bound == float("inf")
        ended = torch.where(nothing, int(Status.INFEASIBLE), int(Status.OPTIMAL))
        return torch.where(state.solved, ended, int(Status.RUNNING))

    def _forest(self, problem: Problem) -> Forest:
        return forest_of(blocks_of(problem.graph, lead_of(problem), self.largest))


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One problem's numbers on the forest."""

    forest: Forest
    unary: Array
    cells: Array
    constant: Array

    def best(self) -> Array:
        """The best labels."""
        f, beliefs = self.forest, self.unary.copy()
        problem, totals = array(f.blocks.problem), self.constant.copy()
        structure = (f.start, f.members, f.cells_at, self.cells, f.order, f.up)
        _gather_lowest(f.counts, f.offsets, problem, *structure, beliefs, totals)
        labels = np.zeros(len(f.counts), np.int64)
        _best_labels(f.counts, f.offsets, *structure, f.above, beliefs, labels)
        return labels

    def beliefs(self) -> tuple[Array, Array]:
        """Marginals, and -log Z of each problem."""
        f, beliefs = self.forest, self.unary.copy()
        problem, totals = array(f.blocks.problem), self.constant.copy()
        structure = (f.start, f.members, f.cells_at, self.cells, f.order, f.up)
        parents = f.members[f.start[:-1] + f.up]
        widths = f.counts[parents]
        messages = np.zeros(int(widths.sum()))
        at = np.cumsum(widths) - widths
        _gather_soft(f.counts, f.offsets, problem, *structure, beliefs, totals, at, messages)
        chances = np.zeros_like(beliefs)
        rooted = np.repeat(f.above < 0, f.counts)
        variable = np.repeat(np.arange(len(f.counts)), f.counts)
        low = np.full(len(f.counts), np.inf)
        np.minimum.at(low, variable, beliefs)
        low[np.isinf(low)] = 0.0
        weights = np.where(rooted, np.exp(low[variable] - beliefs), 0.0)
        sums = np.bincount(variable, weights, minlength=len(f.counts))
        chances = np.divide(weights, sums[variable], out=chances, where=sums[variable] > 0)
        _spread_chances(f.counts, f.offsets, *structure, beliefs, at, messages, chances)
        roots = f.above < 0
        with np.errstate(divide="ignore"):
            np.add.at(totals, problem[roots], low[roots] - np.log(sums[roots]))
        return chances, totals


def _told(problem: Problem, state: TreeDPState, finished: bool) -> TreeDPState:
    """The state with the answers of the problems that are done."""
    ready = torch.arange(len(state.labels)) < state.done
    lead = lead_of(problem)
    if problem.graph.segments is not None:
        solved = torch.ones_like(state.solved)
    else:
        ready = ready.to(state.solved.device).reshape(lead)
        solved = ready.expand(state.solved.shape)
    found, value = with_labels(problem, state.labels, state.x)
    x = torch.where(problem.layout.expand(solved), found, state.x)
    before = value if state.bound is None else state.bound
    bound = torch.where(solved, value, before)
    beliefs = beliefs_of(problem, state.marginals, state.log_partition) if finished else None
    return replace(state, x=x, bound=bound, solved=solved, beliefs=beliefs)
