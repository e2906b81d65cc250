"""What holds for every solver: its state is everything, its randomness given, its claims true."""

import copy
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from groundstate.certify import exact_energy, magnitude
from groundstate.energy import Energy, view
from groundstate.move import to
from groundstate.solution import Solution
from groundstate.solver import Deadline, Solver, State
from groundstate.solving import solve
from groundstate.space import Real
from groundstate.status import Status
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.states import equal_states, reloaded
from groundstate.testing.problems import Problem
from groundstate.testing.saying import Skip, close, refuse, require, same
from groundstate.testing.trees import (
    disturb_global_randomness,
    equal,
    generator,
    global_randomness,
    snapshot,
    unchanged,
)
from groundstate.views import Quadratic

ENOUGH = 80
FEW = 8
_DONE = (Status.CONVERGED, Status.OPTIMAL)
_LATE = 2.0


def start(problem: Problem, seed: int = 0) -> Shaped[Tensor, "..."]:
    """A random configuration to begin at."""
    space = problem.energy.space
    return space.sample(generator(seed, space.device))


@torch.no_grad()
def walk(
    solver: Solver[Any], energy: Energy, x0: Tensor | None, steps: int, seed: int = 0
) -> Iterator[State]:
    """The states of a bare run, the first one included; no check is made."""
    state = solver.init(energy, x0, generator(seed, energy.space.device))
    yield state
    for _ in range(steps):
        if not bool((solver.status(state) == Status.RUNNING).any()):
            return
        state = solver.step(energy, state, Deadline())
        yield state


def finish(
    solver: Solver[Any], energy: Energy, x0: Tensor | None, steps: int = ENOUGH, seed: int = 0
) -> State:
    """The last state of a bare run."""
    *_, last = walk(solver, energy, x0, steps, seed)
    return last


def outcome(solver: Solver[Any], problem: Problem, **options: Any) -> Solution[Any]:
    """The solution that the core's loop gives, without raising on failure."""
    options = {"steps": ENOUGH, **options}
    return solve(problem.energy, solver, throw=False, **options)


def done(status: Tensor) -> Bool[Tensor, "*batch"]:
    """Where the solver says that it has the answer."""
    return (status == Status.CONVERGED) | (status == Status.OPTIMAL)


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


def status_is_one_per_problem(solver: Solver[Any], problem: Problem) -> None:
    """`status` gives a `Status` for each problem, at every moment."""
    for state in walk(solver, problem.energy, start(problem), FEW):
        status = solver.status(state)
        require(
            tuple(status.shape) == problem.batch_shape,
            f"`status` must have shape {problem.batch_shape}, got {tuple(status.shape)}",
        )
        require(
            not status.is_floating_point() and status.dtype != torch.bool,
            f"`status` must hold integers, got {status.dtype}",
        )
        known = {int(each) for each in Status}
        found = {int(each) for each in status.flatten()}
        require(found <= known, f"`status` must be among {sorted(known)}, got {sorted(found)}")


def batch_equals_loop(solver: Solver[Any], problem: Problem) -> None:
    """Problems solved together come out as one by one: configuration, energy and status."""
    x0 = start(problem)
    for steps in (3, ENOUGH):
        state = finish(solver, problem.energy, x0, steps)
        if state.rng is not None:
            raise Skip("it draws random numbers, which come out differently for a batch")
        together = problem.split(state.x)
        status = solver.status(state)
        for index, part in enumerate(problem.parts):
            alone = finish(solver, part, problem.split(x0)[index], steps)
            where = f"problem {index} of {problem.name!r} after at most {steps} steps"
            if problem.discrete:
                close(part(together[index]), part(alone.x), f"the energy of {where}")
            else:
                close(together[index], alone.x, f"x of {where}", relative=1e-6)
            single = solver.status(alone)
            require(
                int(status[index]) == int(single),
                f"the status of {where} must be {Status(int(single)).label!r} as for it alone, "
                f"got {Status(int(status[index])).label!r}",
            )


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


def claimed_energy_is_true(solver: Solver[Any], problem: Problem) -> None:
    """`state.energy`, where there is one, is E(state.x)."""
    for number, state in enumerate(walk(solver, problem.energy, start(problem), FEW)):
        if state.energy is None:
            continue
        true = exact_energy(problem.energy, state.x)
        size = magnitude(problem.energy, state.x, true)
        scale = 1 + float(size[size.isfinite()].sum())
        close(
            state.energy.double(),
            true,
            f"`state.energy` after {number} steps, against E(x)",
            relative=1e-9 if state.energy.dtype == torch.float64 else 1e-5,
            scale=scale,
        )


def claimed_residual_is_true(solver: Solver[Any], problem: Problem) -> None:
    """`state.residual`, where there is one, is at least the relative residual ‖b - Ax‖ / ‖b‖."""
    quadratic = view(problem.energy, Quadratic)
    dot = problem.energy.space.layout.dot
    linear = quadratic.linear.expand(problem.energy.space.layout.shape)
    right = dot(linear, linear).sqrt()
    scale = torch.where(right > 0, right, torch.ones_like(right))
    for number, state in enumerate(walk(solver, problem.energy, start(problem), ENOUGH)):
        if state.residual is None:
            continue
        rest = linear - quadratic.matvec(state.x)
        true = dot(rest, rest).sqrt() / scale
        noise = 1e4 * torch.finfo(true.dtype).eps * (1 + true)
        refuse(
            true > 2 * state.residual + noise,
            state.residual,
            true,
            f"`state.residual` after {number} steps, against ‖b - Ax‖ / ‖b‖",
        )


def residual_is_told(solver: Solver[Any], problem: Problem) -> None:
    """A solver that claims "residual" gives one in its last state."""
    state = finish(solver, problem.energy, start(problem))
    require(state.residual is not None, '`state.residual` is None, but "residual" is claimed')


def bound_is_below_minimum(solver: Solver[Any], problem: Problem) -> None:
    """`state.bound`, where there is one, lies below the lowest energy there is."""
    for number, state in enumerate(walk(solver, problem.energy, start(problem), ENOUGH)):
        if state.bound is None:
            continue
        require(
            tuple(state.bound.shape) == problem.batch_shape,
            f"`state.bound` must have shape {problem.batch_shape}, got {tuple(state.bound.shape)}",
        )
        coarse = state.bound.dtype != torch.float64
        allowed = (1e-4 if coarse else 1e-8) * (1 + problem.minimum.abs())
        refuse(
            ~(state.bound.double() <= problem.minimum + allowed),
            state.bound.double(),
            problem.minimum,
            f"`state.bound` after {number} steps must not exceed the minimum",
        )


def bound_is_given(solver: Solver[Any], problem: Problem) -> None:
    """A solver that claims "bound" gives one by the time it ends.

    On a quadratic energy only where the smallest eigenvalue is bounded from below.
    """
    views = problem.energy.views
    if Quadratic in views and view(problem.energy, Quadratic).floor is None:
        raise Skip("its view has no floor, so a residual bounds nothing")
    state = finish(solver, problem.energy, start(problem))
    require(state.bound is not None, '`state.bound` is None, but "bound" is claimed')


def optimal_means_minimum(solver: Solver[Any], problem: Problem) -> None:
    """Where the status is OPTIMAL, no configuration has a lower energy."""
    for state in walk(solver, problem.energy, start(problem), ENOUGH):
        status = solver.status(state)
        optimal = status == Status.OPTIMAL
        if not bool(optimal.any()):
            continue
        value = exact_energy(problem.energy, state.x).double()
        coarse = 1e-4 if problem.energy(state.x).dtype != torch.float64 else 1e-6
        allowed = coarse * (1 + problem.minimum.abs())
        refuse(
            optimal & (value > problem.minimum + allowed),
            value,
            problem.minimum,
            "the energy where the status is OPTIMAL must be the minimum",
        )


def zero_steps_returns_start(solver: Solver[Any], problem: Problem) -> None:
    """With a budget of no steps the answer is x0, unless `init` alone already finds the answer."""
    x0 = start(problem)
    solution = outcome(solver, problem, x0=x0, steps=0)
    layout = problem.energy.space.layout
    expected = torch.where(layout.expand(done(solution.status)), solution.x, x0)
    same(solution.x, expected, "x after 0 steps from x0")


def reports_running_out(solver: Solver[Any], problem: Problem) -> None:
    """A solver that is stopped early says so, and does not call its x converged."""
    energy = problem.energy
    for steps in (0, 1):
        state = finish(solver, energy, start(problem), steps)
        _stays_put(solver, problem, state, f"after {steps} steps of budget")
    status = outcome(solver, problem, x0=start(problem), steps=1).status
    require(not bool((status == Status.RUNNING).any()), "a run out of budget ends as OUT_OF_STEPS")


def converged_stays_put(solver: Solver[Any], problem: Problem) -> None:
    """Where it says converged or optimal, more steps neither lower the energy nor undo the status.

    In a batch a finished problem is stepped on until all are finished.
    """
    state = finish(solver, problem.energy, start(problem))
    _stays_put(solver, problem, state, "at the end")


@torch.no_grad()
def _stays_put(solver: Solver[Any], problem: Problem, state: State, when: str) -> None:
    energy = problem.energy
    first = solver.status(state)
    before = energy(state.x)
    for _ in range(FEW):
        if not bool(done(first).any()):
            return
        state = solver.step(energy, state, Deadline())
    after, status = energy(state.x), solver.status(state)
    moved = (after - before).abs() > 1e-3 * (1 + before.abs())
    refuse(
        done(first) & moved & (after != before),
        after,
        before,
        f"the energy of a problem that was called done {when}, after {FEW} more steps",
    )
    refuse(
        done(first) & ~done(status),
        status,
        first,
        f"the status of a problem that was called done {when}, after {FEW} more steps",
    )


def nan_start_is_diverged(solver: Solver[Any], problem: Problem) -> None:
    """From NaN a run ends as diverged, or (where x0 plays no part) with a finite answer."""
    x0 = torch.full_like(start(problem), float("nan"))
    last = finish(solver, problem.energy, x0, 30)
    layout = problem.energy.space.layout
    lost = layout.sum((~last.x.isfinite()).long()) > 0
    status = solver.status(last)
    refuse(
        lost & done(status),
        status,
        torch.full_like(status, int(Status.DIVERGED)),
        "the status of a problem whose x is NaN",
    )
    final = outcome(solver, problem, x0=x0, steps=30).status
    refuse(
        lost & (final != Status.DIVERGED),
        final,
        torch.full_like(final, int(Status.DIVERGED)),
        "the status of the solution where x is NaN",
    )


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


def no_minimum_is_not_called_converged(solver: Solver[Any], problem: Problem) -> None:
    """Where there is no minimum (indefinite, contradicting), it is not called found."""
    state = finish(solver, problem.energy, start(problem))
    status = solver.status(state)
    refuse(
        done(status),
        status,
        torch.full_like(status, int(Status.DIVERGED)),
        f"the status for {problem.name} (a failure is expected)",
    )


def indefinite_is_not_called_converged(solver: Solver[Any], problem: Problem) -> None:
    """A quadratic form with a negative direction has no minimum, and none is called found."""
    no_minimum_is_not_called_converged(solver, problem)


def stops_at_the_deadline(solver: Solver[Any], problem: Problem) -> None:
    """With the time over it returns within a step, with a complete configuration, unfinished."""
    began = time.perf_counter()
    with torch.no_grad():
        try:
            state = solver.init(problem.energy, start(problem), generator(0))
        except ValueError as error:
            raise Skip(f"refused as too large: {error}") from error
        for _ in range(FEW):
            if time.perf_counter() - began > _LATE:
                break
            state = solver.step(problem.energy, state, Deadline.after(0.05))
    took = time.perf_counter() - began
    require(
        took < _LATE,
        f"{FEW} steps with 0.05 s each must end soon on {problem.name}, they took {took:.1f} s",
    )
    problem.energy.space.validate(state.x)


def energy_never_rises(solver: Solver[Any], problem: Problem) -> None:
    """Each step's energy is at most the one before, up to rounding."""
    before: Tensor | None = None
    for number, state in enumerate(walk(solver, problem.energy, start(problem), ENOUGH)):
        value = exact_energy(problem.energy, state.x).double()
        if before is not None:
            coarse = state.x.dtype == torch.float32
            allowed = (1e-4 if coarse else 1e-9) * (1 + before.abs())
            refuse(value > before + allowed, value, before, f"the energy after step {number} rose")
        before = value


def reaches_the_minimum(solver: Solver[Any], problem: Problem) -> None:
    """It ends as converged or optimal, at the energy that the oracle finds."""
    state = finish(solver, problem.energy, start(problem), steps=3000)
    status = solver.status(state)
    refuse(
        ~done(status),
        status,
        torch.full_like(status, int(Status.OPTIMAL)),
        "the status at the end of an exact solver",
    )
    value = exact_energy(problem.energy, state.x).double()
    coarse = state.x.dtype == torch.float32
    relative = 1e-4 if coarse else 1e-6
    close(value, problem.minimum, "the energy reached, against the minimum", relative=relative)


def is_exact_on_trees(solver: Solver[Any], problem: Problem) -> None:
    """On a graph without cycles it reaches the minimum."""
    reaches_the_minimum(solver, problem)


def takes_factors_that_serve_only_moves(solver: Solver[Any], problem: Problem) -> None:
    """Factors without messages are no obstacle: the energy does not end above the start's."""
    x0 = start(problem)
    solution = outcome(solver, problem, x0=x0)
    value = problem.energy(x0).double()
    refuse(
        solution.energy > value + 1e-9 * (1 + value.abs()),
        solution.energy,
        value,
        "the energy at the end, against the start's",
    )


def renaming_variables_renames_the_solution(solver: Solver[Any], problem: Problem) -> None:
    """With its variables in another order, a problem comes out at the same energy."""
    from groundstate.testing.problems import relabelled

    renamed = relabelled(problem)
    if renamed is None:
        raise Skip("the kit knows no other order for this problem")
    other, order = renamed
    x0 = start(problem)
    flat = x0.flatten()[order].reshape(other.energy.space.layout.shape)
    first = exact_energy(problem.energy, finish(solver, problem.energy, x0).x)
    second = exact_energy(other.energy, finish(solver, other.energy, flat).x)
    close(second, first, "the energy with the variables in another order", relative=1e-4)


LAWS = (
    *laws(
        settings_are_frozen,
        start_is_not_written_to,
        problem_is_not_written_to,
        earlier_states_are_not_written_to,
        x_is_complete_at_every_step,
        status_is_one_per_problem,
        resumes_where_it_stopped,
        same_seed_same_result,
        global_randomness_is_untouched,
        claimed_energy_is_true,
        zero_steps_returns_start,
        reports_running_out,
        converged_stays_put,
        bound_is_given,
        residual_is_told,
        energy_never_rises,
        reaches_the_minimum,
        bound_is_below_minimum,
        optimal_means_minimum,
        applies=lambda problem: problem.solvable and not problem.large,
    ),
    *laws(
        claimed_residual_is_true,
        applies=lambda problem: (
            problem.solvable and not problem.large and "Quadratic" in problem.views
        ),
    ),
    *laws(batch_equals_loop, applies=lambda problem: bool(problem.parts)),
    *laws(
        nan_start_is_diverged,
        applies=lambda problem: problem.solvable and not problem.discrete and not problem.large,
    ),
    *laws(
        float32_and_float64,
        applies=lambda problem: (
            problem.own or problem.name in ("system", "grid", "bowl", "hard constraints")
        ),
    ),
    *laws(no_minimum_is_not_called_converged, applies=lambda problem: not problem.solvable),
    *laws(
        indefinite_is_not_called_converged,
        applies=lambda problem: not problem.solvable and not problem.discrete,
    ),
    *laws(stops_at_the_deadline, applies=lambda problem: problem.large),
    *laws(is_exact_on_trees, applies=lambda problem: problem.tree),
    *laws(takes_factors_that_serve_only_moves, applies=lambda problem: problem.higher_order),
    *laws(
        renaming_variables_renames_the_solution,
        applies=lambda problem: problem.name in ("system", "tree", "grid", "factors of order 3"),
    ),
)
