"""`solver/lazy-flipper`: better labels for connected sets of up to `depth` variables.

Andres, Kappes, Beier, Köthe, Hamprecht: The Lazy Flipper: Efficient Depth-Limited Exhaustive Search
in Discrete Graphical Models (2012). Where it ends, no change of so many variables that hang
together lowers the energy; depth 1 is ICM. Sets are looked at anew in each sweep instead of being
kept in a tree and tagged, which takes memory linear in the problem.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, cast

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.errors import ViewError
from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_moves import flip_kernel
from groundstate_moves.flip_any import Neighbours, flip_any, neighbours
from groundstate_moves.ordered import forbidding
from groundstate_moves.proposals import pairwise_arrays
from groundstate_moves.rows import configuration_of, flat_rows, labels_of
from groundstate_mrf.flat import FlatPairwise, Whole
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem
from groundstate_mrf.typed import whole

_flip_sweep = cast(Callable[..., int], flip_kernel.flip_sweep)
_LOOK = 1 << 10
"""Variables from one look at the deadline to the next, in compiled code."""
_ROUNDING = 1e-13


@dataclass(frozen=True, kw_only=True)
class LazyFlipperState(State):
    """Adds how long nothing has helped.

    Attributes:
        flat: the problems one by one, infinity replaced, where all factors are of pairs; or empty.
        near: which variables share a factor, for other factors.
        quiet: variables in a row, as the first of a set, that gave nothing better.
        root: the next of them.
        variables: how many there are.
    """

    flat: tuple[FlatPairwise, ...]
    near: Neighbours | None
    quiet: Int[Tensor, "*batch"]
    root: int
    variables: int


@dataclass(frozen=True, kw_only=True)
class LazyFlipper:
    """Exhaustive search over small connected sets. A step is a sweep over all variables.

    Attributes:
        depth: variables of a set, at most; each more takes (neighbours · labels) times longer.
    """

    depth: Annotated[int, Ge(1)] = 2

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> LazyFlipperState:
        problem = open_problem(energy)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        value = problem.evaluate(labels)
        flat = _flat(problem)
        return LazyFlipperState(
            x=problem.configuration(labels),
            bound=problem.graph.bound().expand(value.shape),
            flat=flat,
            near=None if flat else neighbours(problem.graph),
            quiet=torch.zeros(value.shape, dtype=torch.int64, device=value.device),
            root=0,
            variables=len(problem.graph.counts),
        )

    def step(self, energy: Energy, state: LazyFlipperState, deadline: Deadline) -> LazyFlipperState:
        problem = open_problem(energy)
        if state.near is None:
            return self._compiled(problem, state, deadline)
        labels, quiet, root = problem.labels(state.x), state.quiet, state.root
        for _ in range(len(problem.graph.counts)):
            labels, helped = flip_any(problem, state.near, labels, root, self.depth)
            quiet = torch.where(helped, 0, quiet + 1)
            root = (root + 1) % len(problem.graph.counts)
            if deadline.passed:
                break
        return replace(state, x=problem.configuration(labels), quiet=quiet, root=root)

    def _compiled(
        self, problem: Problem, state: LazyFlipperState, deadline: Deadline
    ) -> LazyFlipperState:
        parts = labels_of(problem, state.x)
        quiet = whole(state.quiet.flatten())
        total, root = len(problem.graph.counts), state.root
        while root < total:
            number = min(_LOOK, total - root)
            for k, labels in enumerate(parts):
                each = state.flat[k % len(state.flat)]
                quiet[k] = _sweep(each, labels, root, number, self.depth, quiet[k])
            root += number
            if deadline.passed:
                break
        root = root % max(total, 1)
        counted = torch.tensor(quiet, device=state.quiet.device).reshape(state.quiet.shape)
        x = configuration_of(problem, parts, state.x)
        return replace(state, x=x, quiet=counted, root=root)

    def status(self, state: LazyFlipperState) -> Int[Tensor, "*batch"]:
        settled = state.quiet >= state.variables
        return torch.where(settled, int(Status.CONVERGED), int(Status.RUNNING))


def _flat(problem: Problem) -> tuple[FlatPairwise, ...]:
    """The problems one by one with numbers instead of infinity; none where factors are wider."""
    try:
        rows = flat_rows(problem)
    except ViewError:
        return ()
    bigs = [forbidding(flat) for flat in rows]
    return tuple(
        replace(
            flat,
            costs=np.minimum(flat.costs, big),
            weights=np.minimum(flat.weights, big),
            tables=np.minimum(flat.tables, big),
        )
        for flat, big in zip(rows, bigs, strict=True)
    )


def _sweep(
    flat: FlatPairwise, labels: Whole, root: int, number: int, depth: int, quiet: int
) -> int:
    """Variables from `root` on as the first of sets; how many in a row gave nothing better."""
    begin, touching = flat.incident
    largest = np.abs(flat.weights).max(initial=0.0) * np.abs(flat.tables).max(initial=0.0)
    slack = _ROUNDING * float(1 + np.abs(flat.costs).max(initial=0.0) + largest)
    return _flip_sweep(
        root, root + number, quiet, depth, slack, labels, *pairwise_arrays(flat), begin, touching
    )
