"""`solver/trws`: sequential tree-reweighted message passing, a lower bound that never falls.

Kolmogorov: Convergent Tree-Reweighted Message Passing for Energy Minimization (2006). The variables
have an order. A pass goes through it and sends from each variable u on to those behind it

    m(x_v) = min over x_u of [γ_u b_u(x_u) - m'(x_u) + θ_uv(x_u, x_v)]  less its own minimum,

where b_u is u's cost with all messages that arrived, less its minimum, m' the message that came the
other way, and 1/γ_u the larger of the numbers of edges before u and behind it. A forward and a
backward pass are a step. What is subtracted adds up to the bound: with all that is left over, no
term of the energy's reparametrisation is negative, whatever the messages were before. So it holds
after every pass, exactly up to rounding, and what rounding can have raised it by is taken off.

On the way each variable gets the label that is best given those before it and the messages from
behind (§3.4 there). The better labelling of the two passes descends by single labels (ICM); the
best so far is kept.

Forbidden labels: +inf stays +inf in messages, so that what single edges rule out is ruled out
everywhere; where a variable has no label left, the problem is proved to have no labelling.
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
from groundstate_messages import descent, trws_sweep
from groundstate_messages.ordered import Order, Ordered, in_order
from groundstate_messages.rows import Found, improved, per_problem, rounded_down, statuses
from groundstate_mrf.flat import flat_problems, split_labels
from groundstate_mrf.problem import cheapest_labels, open_problem

_sweep = cast(Callable[..., tuple[float, float, float]], trws_sweep.sweep)
_descend = cast(Callable[..., float], descent.descend)
_evaluate = cast(Callable[..., float], descent.evaluate)


@dataclass(frozen=True, kw_only=True)
class TRWSState(State):
    """Adds the messages; `x` is the best labelling so far.

    Attributes:
        value: energy of `x`, in float64.
        lower: the best lower bound so far, in float64.
        problems: each problem in its order.
        messages: of each problem, end to end, in nats; the least of each is 0.
        backward: whether the next pass of each problem is a backward one.
        quiet: steps in a row in which the bound has not risen.
    """

    value: Float[Tensor, "*lead"]
    lower: Float[Tensor, "..."]
    problems: tuple[Ordered, ...]
    messages: tuple[Float[Tensor, "..."], ...]
    backward: Bool[Tensor, " problems"]
    quiet: Int[Tensor, "..."]


@dataclass(frozen=True, kw_only=True)
class TRWS:
    """A bound that never falls, and labellings decoded from its messages; pairwise problems.

    Attributes:
        order: of the variables; "index" is as given, on grids row by row.
        polish: whether decoded labellings descend to where no single label helps.
        tolerance: rise of the bound in a step, relative to 1 + |bound|, that counts as none.
        patience: steps in a row without a rise after which it has converged.
    """

    order: Order = "index"
    polish: bool = True
    tolerance: Annotated[float, Ge(0)] = 1e-9
    patience: Annotated[int, Ge(1)] = 10

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> TRWSState:
        problem = open_problem(energy)
        graph, batch = problem.graph, problem.layout.batch_shape
        flats = flat_problems(graph, batch)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        x = problem.configuration(labels)
        claimed = energy(x)
        rows = enumerate(split_labels(graph, labels))
        values = [flats[k % len(flats)].energy(row) for k, row in rows]
        problems = tuple(in_order(flat, self.order) for flat in flats)
        lower = torch.full(batch, -float("inf"), dtype=torch.float64)
        return TRWSState(
            x=x,
            energy=claimed,
            bound=graph.bound().expand(claimed.shape),
            value=torch.tensor(values, dtype=torch.float64).reshape(claimed.shape),
            lower=lower,
            problems=problems,
            messages=tuple(torch.zeros(each.places, dtype=torch.float64) for each in problems),
            backward=torch.zeros(len(problems), dtype=torch.bool),
            quiet=torch.zeros(batch, dtype=torch.int64),
        )

    def step(self, energy: Energy, state: TRWSState, deadline: Deadline) -> TRWSState:
        problem = open_problem(energy)
        done = per_problem(problem, self.status(state).cpu() != Status.RUNNING)
        found: dict[int, Found] = {}
        lower, quiet = state.lower.clone(), state.quiet.clone()
        messages, backward = list(state.messages), state.backward.clone()
        for k, each in enumerate(state.problems):
            if done[k]:
                continue
            own = messages[k] = messages[k].clone()
            before = float(lower.view(-1)[k])
            finished = bool(backward[k])
            bound, found[k] = self._pass(each, own, forward=not finished)
            backward[k] = not finished
            if not finished and not deadline.passed:
                second, other = self._pass(each, own, forward=False)
                bound, finished = max(bound, second), True
                backward[k] = False
                if other.energy <= found[k].energy:
                    found[k] = other
            if finished and self.polish:
                found[k] = _polished(each, found[k], deadline)
            lower.view(-1)[k] = max(before, bound)
            risen = bound - before > self.tolerance * (1 + abs(bound))
            quiet.view(-1)[k] = 0 if risen else int(quiet.view(-1)[k]) + finished
            if deadline.passed:
                break
        x, value = improved(problem, state.x, state.value, found)
        same = x is state.x
        return replace(
            state,
            x=x,
            energy=state.energy if same else problem.energy(x),
            bound=rounded_down(lower, problem.graph.constant.dtype)
            .to(x.device)
            .expand(value.shape),
            value=value,
            lower=lower,
            messages=tuple(messages),
            backward=backward,
            quiet=quiet,
        )

    def status(self, state: TRWSState) -> Int[Tensor, "*batch"]:
        settled = state.quiet >= self.patience
        return statuses(state.value, state.lower, settled).to(state.x.device)

    def _pass(
        self, each: Ordered, messages: Float[Tensor, " places"], *, forward: bool
    ) -> tuple[float, Found]:
        """One pass; messages are rewritten."""
        labels = np.zeros(len(each.arrays.order), dtype=np.int64)
        bound, noise, value = _sweep(each.arrays, messages.numpy(), labels, forward)
        noise += np.finfo(np.float64).eps * (abs(each.constant) + abs(bound))
        safe = bound if bound == np.inf else bound + each.constant - noise
        return safe, Found(labels=labels, energy=value + each.constant)


def _polished(each: Ordered, found: Found, deadline: Deadline) -> Found:
    """Where best labels given all others lead to, a sweep at a time."""
    labels = found.labels.copy()
    waiting = np.ones(len(labels), dtype=np.bool_)
    while not deadline.passed:
        if _descend(each.arrays, labels, waiting) == 0.0:
            break
    value = _evaluate(each.arrays, labels) + each.constant
    return Found(labels=labels, energy=value) if value <= found.energy else found
