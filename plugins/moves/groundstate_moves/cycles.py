"""What move-making solvers share: moves one after the other until none of them helps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline, State, generator_from
from groundstate.status import Status
from groundstate_moves.mixing import Mixer, mixer
from groundstate_moves.rows import configuration_of, flat_rows, labels_of
from groundstate_mrf.flat import FlatPairwise, Whole
from groundstate_mrf.problem import cheapest_labels, open_problem

Order = Literal["fixed", "random"]
Violations = Literal["truncate", "refuse"]
Pair = Callable[[FlatPairwise, Whole, int], tuple[Whole, Whole] | None]
"""The two labellings that a move mixes, or None where it cannot change anything."""

_ROUNDING = 1e-10


@dataclass(frozen=True, kw_only=True)
class MovesState(State):
    """Adds what has been tried.

    Attributes:
        problems: the problems one by one.
        values: the energy of each sample of each problem, in nats.
        settled: which moves have not helped since the last one that did, for each of these.
        order: the moves in the order of this cycle.
        position: how many moves of the cycle are done.
    """

    problems: tuple[Mixer, ...]
    values: Float[Tensor, "*batch"]
    settled: Bool[Tensor, "rows moves"]
    order: Int[Tensor, " moves"]
    position: int


def begin_moves(
    energy: Energy,
    x0: Shaped[Tensor, "*shape"] | None,
    rng: torch.Generator,
    count: Callable[[int], int],
    order: Order,
    check: Callable[[FlatPairwise], None] | None,
) -> MovesState:
    """The state before the first move.

    Args:
        energy: the energy.
        x0: where to start; None is the cheapest label of each variable.
        rng: for a random order.
        count: how many moves there are, given the largest number of labels.
        order: of the moves.
        check: raises where a problem has not got the structure that is asked for.
    """
    problem = open_problem(energy)
    problems = flat_rows(problem)
    for flat in problems if check is not None else ():
        assert check is not None
        check(flat)
    labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
    x = problem.configuration(labels)
    parts = labels_of(problem, x)
    most = max((int(flat.counts.max(initial=1)) for flat in problems), default=1)
    moves = count(most)
    like = problem.evaluate(labels)
    values = [problems[k % len(problems)].energy(part) for k, part in enumerate(parts)]
    drawn = order == "random"
    return MovesState(
        x=x,
        bound=problem.graph.bound().expand(like.shape),
        rng=rng.get_state() if drawn else None,
        problems=tuple(mixer(flat) for flat in problems),
        values=torch.tensor(values, dtype=torch.float64, device=like.device).reshape(like.shape),
        settled=torch.zeros(len(parts), moves, dtype=torch.bool),
        order=torch.arange(moves),
        position=0,
    )


def cycle_moves(energy: Energy, state: MovesState, deadline: Deadline, pair: Pair) -> MovesState:
    """Every move once, or as many as the time allows; moves that cannot help are left out."""
    problem = open_problem(energy)
    parts = labels_of(problem, state.x)
    settled = state.settled.clone()
    order, rng = _shuffled(state)
    position = state.position
    while position < len(order):
        move = int(order[position])
        position += 1
        for k, labels in enumerate(parts):
            if not bool(settled[k, move]):
                each = state.problems[k % len(state.problems)]
                mixed = pair(each.flat, labels, move)
                if mixed is not None and each.mix(labels, *mixed):
                    settled[k] = False
                settled[k, move] = True
        if deadline.passed:
            break
    values = [
        state.problems[k % len(state.problems)].flat.energy(part) for k, part in enumerate(parts)
    ]
    found = torch.tensor(values, dtype=torch.float64, device=state.values.device)
    return replace(
        state,
        x=configuration_of(problem, parts, state.x),
        rng=rng,
        values=found.reshape(state.values.shape),
        settled=settled,
        order=order,
        position=0 if position == len(order) else position,
    )


def moves_status(state: MovesState) -> Int[Tensor, "*batch"]:
    """Converged where no move helps, optimal where the bound is met."""
    settled = state.settled.all(-1).reshape(state.values.shape).to(state.values.device)
    ended = torch.where(state.values.isfinite(), int(Status.CONVERGED), int(Status.VIOLATING))
    status = torch.where(settled, ended, int(Status.RUNNING))
    return torch.where(proven(state.values, state.bound), int(Status.OPTIMAL), status)


def proven(
    values: Float[Tensor, "*batch"], bound: Float[Tensor, "*batch"] | None
) -> Bool[Tensor, "*batch"]:
    """Where the bound meets the energy, to rounding."""
    assert bound is not None
    coarse = _ROUNDING if bound.dtype == torch.float64 else 1e-6
    met = values <= bound.double() + coarse * (1 + values.abs())
    return values.isfinite() & met


def _shuffled(state: MovesState) -> tuple[Int[Tensor, " moves"], Tensor | None]:
    if state.rng is None or state.position:
        return state.order, state.rng
    rng = generator_from(state.rng, torch.device("cpu"))
    return torch.randperm(len(state.order), generator=rng), rng.get_state()
