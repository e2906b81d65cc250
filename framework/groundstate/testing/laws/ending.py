"""What holds for how solvers end: the status they tell, and what stands behind it."""

import time
from typing import Any

import torch

from groundstate.solver import Deadline, Solver, State
from groundstate.status import Status
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.runs import FEW, done, finish, outcome, start, usual, walk
from groundstate.testing.problems.problem import Problem
from groundstate.testing.saying import Skip, refuse, require, same
from groundstate.testing.trees import (
    generator,
)

_LATE = 2.0


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


LAWS = (
    *laws(
        status_is_one_per_problem,
        zero_steps_returns_start,
        reports_running_out,
        converged_stays_put,
        applies=usual,
    ),
    *laws(
        nan_start_is_diverged,
        applies=lambda problem: usual(problem) and not problem.discrete,
    ),
    *laws(no_minimum_is_not_called_converged, applies=lambda problem: not problem.solvable),
    *laws(
        indefinite_is_not_called_converged,
        applies=lambda problem: not problem.solvable and not problem.discrete,
    ),
    *laws(stops_at_the_deadline, applies=lambda problem: problem.large),
)
