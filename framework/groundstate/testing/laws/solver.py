"""What holds for every solver: its state is everything, its randomness given, no more changes."""

import copy
import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import view, with_linear
from groundstate.move import to
from groundstate.solver import Deadline, Solver, State
from groundstate.solving import solve
from groundstate.space import Real
from groundstate.status import Status
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.runs import ENOUGH, FEW, finish, start, usual, walk
from groundstate.testing.laws.states import equal_states, reloaded
from groundstate.testing.problems.problem import Problem
from groundstate.testing.saying import Skip, close, require, same
from groundstate.testing.trees import (
    disturb_global_randomness,
    equal,
    global_randomness,
    snapshot,
    unchanged,
)
from groundstate.views import Quadratic


def settings_are_frozen(solver: Solver[Any], problem: Problem) -> None:
    """A solver's settings cannot be changed, and solving changes nothing in the solver."""
    if dataclasses.is_dataclass(solver):
        for field in dataclasses.fields(solver):
            try:
                setattr(solver, field.name, getattr(solver, field.name))
            except dataclasses.FrozenInstanceError:
                continue
            require(False, f"`{field.name}` can be assigned: make the dataclass `frozen=True`")
    before, tensors = _plain_settings(solver), snapshot(solver)
    finish(solver, problem.energy, start(problem), FEW)
    unchanged(solver, tensors, "the solver")
    after = _plain_settings(solver)
    require(after == before, f"the settings after a solve must be {before}, got {after}")


def _plain_settings(solver: object) -> dict[str, object]:
    if not dataclasses.is_dataclass(solver):
        return {}
    values = {field.name: getattr(solver, field.name) for field in dataclasses.fields(solver)}
    return {name: v for name, v in values.items() if isinstance(v, bool | int | float | str)}


def start_is_not_written_to(solver: Solver[Any], problem: Problem) -> None:
    """x0 is as it was after the solve."""
    x0 = start(problem)
    kept = x0.clone()
    finish(solver, problem.energy, x0, FEW)
    same(x0, kept, "x0 after the solve")


def problem_is_not_written_to(solver: Solver[Any], problem: Problem) -> None:
    """Every tensor of the energy is as it was after the solve."""
    energy = copy.deepcopy(problem.energy)
    before = snapshot(energy)
    finish(solver, energy, start(problem), FEW)
    unchanged(energy, before, "the energy")


def earlier_states_are_not_written_to(solver: Solver[Any], problem: Problem) -> None:
    """A step makes a new state and leaves the old one alone."""
    kept: list[tuple[State, Tensor]] = []
    for state in walk(solver, problem.energy, start(problem), FEW):
        kept.append((state, state.x.clone()))
    for number, (state, x) in enumerate(kept):
        same(state.x, x, f"`x` of state {number} after later steps")


def x_is_complete_at_every_step(solver: Solver[Any], problem: Problem) -> None:
    """`state.x` is a configuration of the space at every moment, with x0 and without."""
    space = problem.energy.space
    for x0 in (start(problem), None):
        for number, state in enumerate(walk(solver, problem.energy, x0, FEW)):
            require(
                tuple(state.x.shape) == space.layout.shape,
                f"`state.x` after {number} steps must have shape {space.layout.shape}, "
                f"got {tuple(state.x.shape)}",
            )
            try:
                space.validate(state.x)
            except (TypeError, ValueError) as error:
                require(False, f"`state.x` after {number} steps is no configuration: {error}")


def batch_equals_loop(solver: Solver[Any], problem: Problem) -> None:
    """Problems solved together come out as one by one: configuration, energy and status.

    A quadratic energy of a plugin, whose problems cannot be taken apart, is solved with b = 0 for
    all problems but one: the others are done before they begin.
    """
    x0 = start(problem)
    for steps in (3, ENOUGH):
        state = finish(solver, problem.energy, x0, steps)
        if state.rng is not None:
            raise Skip("it draws random numbers, which come out differently for a batch")
        status = solver.status(state).flatten()
        together = _apart(problem, state.x)
        for index in range(min(len(together), _TRIED)):
            x, ended = _alone(solver, problem, x0, index, steps)
            where = f"problem {index} of {problem.name!r} after at most {steps} steps"
            if problem.discrete:
                part = problem.parts[index]
                close(part(together[index]), part(x), f"the energy of {where}")
            else:
                close(together[index], x, f"x of {where}", relative=1e-6)
            require(
                int(status[index]) == ended,
                f"the status of {where} must be {Status(ended).label!r} as for it alone, "
                f"got {Status(int(status[index])).label!r}",
            )


_TRIED = 4


def _apart(problem: Problem, x: Tensor) -> list[Tensor]:
    if problem.parts:
        return problem.split(x)
    return list(x.reshape(-1, *problem.energy.space.layout.event_shape))


def _alone(
    solver: Solver[Any], problem: Problem, x0: Tensor, index: int, steps: int
) -> tuple[Tensor, int]:
    """What becomes of one problem without the others."""
    if problem.parts:
        state = finish(solver, problem.parts[index], problem.split(x0)[index], steps)
        return state.x, int(solver.status(state))
    layout = problem.energy.space.layout
    one = torch.arange(math.prod(layout.batch_shape)) == index
    linear = view(problem.energy, Quadratic).linear.expand(layout.shape)
    linear = torch.where(layout.expand(one.reshape(layout.batch_shape)), linear, 0.0)
    state = finish(solver, with_linear(problem.energy, linear), x0, steps)
    return _apart(problem, state.x)[index], int(solver.status(state).flatten()[index])


def _can_be_taken_apart(problem: Problem) -> bool:
    own = problem.own and "Quadratic" in problem.views
    return bool(problem.parts) or (own and bool(problem.batch_shape))


def resumes_where_it_stopped(solver: Solver[Any], problem: Problem) -> None:
    """3 steps, saved, loaded, and 4 more are the same as 7: the state is everything."""
    fresh = copy.deepcopy(solver)
    energy, x0 = problem.energy, start(problem)
    whole = finish(solver, energy, x0, 7)
    half = reloaded(finish(copy.deepcopy(fresh), energy, x0, 3))
    with torch.no_grad():
        for _ in range(4):
            if not bool((fresh.status(half) == Status.RUNNING).any()):
                break
            half = fresh.step(energy, half, Deadline())
    equal_states(half, whole, "after 3 steps, a reload and 4 steps, against 7 steps: state")


def same_seed_same_result(solver: Solver[Any], problem: Problem) -> None:
    """The seed alone decides: another run with it is the same, bit by bit."""
    fresh = copy.deepcopy(solver)
    first = finish(solver, problem.energy, None, FEW, seed=3)
    second = finish(fresh, problem.energy, None, FEW, seed=3)
    same(second.x, first.x, "x of a second run with the same seed")


def global_randomness_is_untouched(solver: Solver[Any], problem: Problem) -> None:
    """Random numbers come from the generator passed: no global one is read or changed."""
    before = global_randomness()
    first = finish(copy.deepcopy(solver), problem.energy, None, FEW, seed=3)
    after = global_randomness()
    for name in before:
        equal(after[name], before[name], f"the state of the global generator of {name}")
    disturb_global_randomness(77)
    second = finish(copy.deepcopy(solver), problem.energy, None, FEW, seed=3)
    same(second.x, first.x, "x of a run after the global generators were moved")


def float32_and_float64(solver: Solver[Any], problem: Problem) -> None:
    """It works in the dtype of the space, and its coarse answer is as good as the fine one."""
    answers: list[Tensor] = []
    for dtype in (torch.float64, torch.float32):
        energy = to(problem.energy, dtype=dtype)
        x0 = start(problem)
        x0 = x0.to(dtype) if isinstance(energy.space, Real) else x0
        state = finish(solver, energy, x0)
        if isinstance(energy.space, Real):
            require(
                state.x.dtype == dtype, f"in a {dtype} space x must be {dtype}, got {state.x.dtype}"
            )
        solve(energy, solver, x0, steps=FEW, throw=False)
        answers.append(to(problem.energy, dtype=torch.float64)(_fine(state.x)))
    if state.rng is None and not problem.discrete:
        close(answers[1], answers[0], "the energy reached in float32", relative=5e-2)


def _fine(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


LAWS = (
    *laws(
        settings_are_frozen,
        start_is_not_written_to,
        problem_is_not_written_to,
        earlier_states_are_not_written_to,
        x_is_complete_at_every_step,
        resumes_where_it_stopped,
        same_seed_same_result,
        global_randomness_is_untouched,
        applies=usual,
    ),
    *laws(batch_equals_loop, applies=_can_be_taken_apart),
    *laws(
        float32_and_float64,
        applies=lambda problem: (
            problem.own or problem.name in ("system", "grid", "bowl", "hard constraints")
        ),
    ),
)
