"""What solvers share that hand one problem after another to another program."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.solver import Deadline, State
from groundstate.status import Status
from groundstate_exact.answers import lead_of
from groundstate_exact.blocks import Blocks, blocks_of
from groundstate_exact.parts import Array, Part, check_size, parts_of, torch_labels
from groundstate_mrf.icm import ICM
from groundstate_mrf.problem import Problem

_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-6}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one problem.

    Attributes:
        labels: of all variables of the part; None where there are none.
        bound: a lower bound on its energies, in nats; +inf where all is forbidden.
        ended: RUNNING where time ran out, STALLED where the other program gave up.
        closed: whether it says that the labels are optimal, to its tolerance.
    """

    labels: Array | None = None
    bound: float = -float("inf")
    ended: Status = Status.CONVERGED
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class ProgramState(State):
    """Adds what came of each problem.

    Attributes:
        done: how many problems are done.
        ended: a `Status` per problem; RUNNING for those to come.
        lower: the bounds, in nats, float64.
        closed: problems whose labels the other program calls optimal.
        value: energy of `x`.
    """

    done: int
    ended: Int[Tensor, " problems"]
    lower: Float[Tensor, " problems"]
    closed: Bool[Tensor, " problems"]
    value: Float[Tensor, "..."]


def open_program(
    problem: Problem,
    x0: Shaped[Tensor, "*shape"] | None,
    rng: torch.Generator,
    largest: int,
    what: str,
) -> ProgramState:
    """The state before the first problem.

    Raises:
        InputError: if there are over `largest` labels and joint labels of factors.
    """
    blocks = blocks_for(problem, largest)
    check_size(blocks, largest, what)
    x = problem.energy.space.sample(rng) * 0 if x0 is None else x0.clone()
    value = problem.energy(x)
    lower = problem.graph.bound().to(torch.float64).cpu().expand(problem.layout.batch_shape)
    problems = len(blocks.constant)
    return ProgramState(
        x=x,
        energy=value,
        bound=lower.to(value).expand(value.shape),
        done=0,
        ended=torch.full((problems,), int(Status.RUNNING)),
        lower=lower.reshape(-1).clone(),
        closed=torch.zeros(problems, dtype=torch.bool),
        value=value,
    )


def blocks_for(problem: Problem, largest: int) -> Blocks:
    """The problem's factors as tables."""
    return blocks_of(problem.graph, lead_of(problem), largest)


def advance(
    problem: Problem,
    state: ProgramState,
    largest: int,
    run: Callable[[Part, float], Outcome],
    deadline: Deadline,
) -> ProgramState:
    """Run one problem after another, until done or the time is over.

    Args:
        problem: the problems.
        state: which of them are done.
        largest: table entries allowed for one factor.
        run: solves one within some seconds.
        deadline: when to stop.
    """
    if state.done == len(state.ended):
        return state
    blocks = blocks_for(problem, largest)
    ended, lower, closed = state.ended.clone(), state.lower.clone(), state.closed.clone()
    labels = problem.labels(state.x).cpu()
    rows = labels.expand(*labels.shape).reshape(-1, blocks.batch, labels.shape[-1]).clone()
    done, found = state.done, False
    for part in parts_of(blocks, done):
        outcome = run(part, deadline.remaining)
        lower[done] = max(float(lower[done]), outcome.bound)
        if outcome.labels is not None:
            row = done if len(ended) == blocks.batch else 0
            rows[:, row, torch.from_numpy(part.variables[: part.own])] = torch_labels(
                part, outcome.labels
            )
            closed[done], found = outcome.closed, True
        if outcome.ended == Status.RUNNING:
            break
        ended[done] = int(outcome.ended)
        done += 1
        if deadline.passed:
            break
    state = replace(state, done=done, ended=ended, lower=lower, closed=closed)
    if found:
        x = problem.configuration(rows.reshape(labels.shape).to(state.x.device))
        state = _with_better(problem, state, x, deadline)
    return replace(state, bound=_per_problem(lower, state.value).to(state.value.dtype))


def status_of(state: ProgramState) -> Int[Tensor, "..."]:
    """OPTIMAL where the bound meets the energy, or the other program says so."""
    shape = state.value.shape
    if state.bound is None:
        return torch.full(shape, int(Status.RUNNING))
    slack = _ROUNDING.get(state.value.dtype, 1e-3) * (1 + state.value.abs())
    proven = state.value.isfinite() & (state.value <= state.bound + slack)
    closed = _per_problem(state.closed, state.value) & state.value.isfinite()
    ended = _per_problem(state.ended, state.value)
    status = torch.where(proven | closed, int(Status.OPTIMAL), ended)
    status = torch.where(ended == int(Status.RUNNING), int(Status.RUNNING), status)
    return torch.where(state.bound == float("inf"), int(Status.INFEASIBLE), status)


def _per_problem(values: Tensor, like: Tensor) -> Tensor:
    """One value per problem in the shape of one value per configuration."""
    values = values.to(like.device)
    batch = like.shape
    while batch.numel() > len(values):
        batch = batch[1:]
    return values.reshape(batch).expand(like.shape)


def _with_better(
    problem: Problem, state: ProgramState, x: Shaped[Tensor, "*shape"], deadline: Deadline
) -> ProgramState:
    """The labels found, improved one variable at a time, where they are better than `x`."""
    value = problem.energy(x)
    lower = _per_problem(state.lower, value).to(value.dtype)
    slack = _ROUNDING.get(value.dtype, 1e-3) * (1 + value.abs())
    if bool((value > lower + slack).any()):
        icm = ICM()
        improved = icm.init(problem.energy, x, torch.Generator(device=x.device))
        while bool((icm.status(improved) == Status.RUNNING).any()) and not deadline.passed:
            improved = icm.step(problem.energy, improved, deadline)
        moved = problem.energy(improved.x)
        x = torch.where(problem.layout.expand(moved < value), improved.x, x)
        value = torch.minimum(moved, value)
    better = value < state.value
    x = torch.where(problem.layout.expand(better), x, state.x)
    value = torch.where(better, value, state.value)
    return replace(state, x=x, value=value, energy=value)
