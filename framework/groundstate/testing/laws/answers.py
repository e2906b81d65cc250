"""What holds for what solvers claim of their answer: energy, bound, residual, optimality."""

from typing import Any

import torch
from torch import Tensor

from groundstate.certify import exact_energy, magnitude
from groundstate.energy import view
from groundstate.factors import FactorGraph
from groundstate.solver import Solver
from groundstate.status import Status
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.runs import ENOUGH, FEW, done, finish, outcome, start, usual, walk
from groundstate.testing.problems.problem import Problem
from groundstate.testing.problems.renaming import relabelled
from groundstate.testing.saying import Skip, close, refuse, require
from groundstate.views import Quadratic


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
    _ends_no_higher(solver, problem)


def _has_messages_of_higher_order(problem: Problem) -> bool:
    if FactorGraph not in problem.energy.views:
        return False
    groups = view(problem.energy, FactorGraph).groups
    serve = all("messages" in group.serves for group in groups)
    return serve and any(len(group.slots) > 2 * group.count for group in groups)


def takes_messages_of_higher_order(solver: Solver[Any], problem: Problem) -> None:
    """Factors of more than two variables are no obstacle where they serve messages."""
    _ends_no_higher(solver, problem)


def _ends_no_higher(solver: Solver[Any], problem: Problem) -> None:
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
        claimed_energy_is_true,
        bound_is_given,
        residual_is_told,
        energy_never_rises,
        reaches_the_minimum,
        bound_is_below_minimum,
        optimal_means_minimum,
        applies=usual,
    ),
    *laws(
        claimed_residual_is_true,
        applies=lambda problem: usual(problem) and "Quadratic" in problem.views,
    ),
    *laws(is_exact_on_trees, applies=lambda problem: problem.tree),
    *laws(takes_factors_that_serve_only_moves, applies=lambda problem: problem.higher_order),
    *laws(takes_messages_of_higher_order, applies=_has_messages_of_higher_order),
    *laws(
        renaming_variables_renames_the_solution,
        applies=lambda problem: problem.name in ("system", "tree", "grid", "factors of order 3"),
    ),
)
