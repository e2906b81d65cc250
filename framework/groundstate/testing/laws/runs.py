"""Bare runs of a solver on a problem, for its laws."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solution import Solution
from groundstate.solver import Deadline, Solver, State
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.problems.problem import Problem
from groundstate.testing.trees import (
    generator,
)

ENOUGH = 80


FEW = 8


def start(problem: Problem, seed: int = 0) -> Shaped[Tensor, "..."]:
    """A random configuration to begin at."""
    space = problem.energy.space
    return space.sample(generator(seed, space.device))


def walk(
    solver: Solver[Any], energy: Energy, x0: Tensor | None, steps: int, seed: int = 0
) -> Iterator[State]:
    """The states of a bare run, the first one included; no check is made."""
    # switched off around each call: a decorator would not see this generator through shape checks
    with torch.no_grad():
        state = solver.init(energy, x0, generator(seed, energy.space.device))
    yield state
    for _ in range(steps):
        if not bool((solver.status(state) == Status.RUNNING).any()):
            return
        with torch.no_grad():
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


def usual(problem: Problem) -> bool:
    """Whether it has a minimum, and is within reach."""
    return problem.solvable and not problem.large
