"""What holds for gradients through a solve."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.testing.laws.law import laws
from groundstate.testing.laws.runs import start
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.problem import Problem
from groundstate.testing.problems.quadratic import DenseQuadratic
from groundstate.testing.saying import close, require
from groundstate.testing.trees import directions, generator, leaves, nudged
from groundstate.testing.typed import linear_solve, slopes


def _with(energy: DenseQuadratic, shift: Float[Tensor, " two"]) -> DenseQuadratic:
    """The energy with A + s₀(I + e eᵀ) and (1 + s₁) b: two parameters for A and b."""
    n = energy.matrix.shape[-1]
    eye = torch.eye(n, dtype=shift.dtype) + torch.ones(n, n, dtype=shift.dtype)
    return DenseQuadratic(
        matrix=energy.matrix + shift[0] * eye,
        linear=(1 + shift[1]) * energy.linear,
        constant=energy.constant,
        space=energy.space,
    )


def implicit_gradient_equals_finite_differences(solver: Solver[Any], problem: Problem) -> None:
    """The gradient through the minimiser is that of A⁻¹b, for parameters of A and of b."""
    energy = problem.energy
    if not isinstance(energy, DenseQuadratic):
        _in_its_own_parameters(solver, energy)
        return
    base = energy
    weights = _weights(energy)
    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    x = solve(_with(energy, shift), solver, steps=3000, gradient="implicit").x
    require(x.requires_grad, "the solution must carry a graph")
    (found,) = torch.autograd.grad((weights * x).sum(), shift)
    true = [
        _difference(lambda s: _exact(_with(base, s)), weights, direction)
        for direction in torch.eye(2, dtype=torch.float64)
    ]
    close(found, torch.stack(true), "the implicit gradient in (A, b)", relative=1e-3)


def _in_its_own_parameters(solver: Solver[Any], energy: Energy) -> None:
    """Every tensor of the energy scaled by a factor of its own, against dense solves."""
    moving, parameters = leaves(energy)
    weights, along = _weights(energy), directions(moving, parameters, 1)
    x = solve(moving, solver, steps=3000, gradient="implicit").x
    require(x.requires_grad, "the solution must carry a graph")
    value = (weights * x).sum()
    found = torch.zeros((), dtype=torch.float64)
    for slope, direction in zip(slopes(value, parameters), along, strict=True):
        found = found + (0 if slope is None else (slope * direction).sum())
    values: list[Tensor] = []
    for step in (1e-5, -1e-5):
        with nudged(parameters, along, step):
            values.append((weights * solve_densely(moving).minimiser).sum())
    close(
        found,
        (values[0] - values[1]) / 2e-5,
        "the implicit gradient in the tensors of the energy",
        relative=1e-3,
        scale=1e-2 * (1 + float(value.detach().abs())),
    )


def _weights(energy: Energy) -> Tensor:
    return torch.randn(energy.space.layout.shape, dtype=torch.float64, generator=generator(8))


def _exact(energy: DenseQuadratic) -> Tensor:
    flat = energy.linear.flatten(energy.linear.dim() - len(energy.space.event_shape))
    matrix = energy.matrix.expand(*flat.shape[:-1], *energy.matrix.shape[-2:])
    return linear_solve(matrix, flat).reshape(energy.linear.shape)


def unrolled_gradient_equals_finite_differences(solver: Solver[Any], problem: Problem) -> None:
    """The gradient through five steps is the slope of what five steps give."""
    energy = problem.energy
    assert isinstance(energy, DenseQuadratic)
    base = energy
    x0 = start(problem)
    weights = _weights(energy)

    def after_steps(shift: Tensor, gradient: Literal["none", "unrolled"]) -> Tensor:
        moved = _with(base, shift)
        solution = solve(moved, solver, x0, steps=5, gradient=gradient, throw=False)
        return solution.x if gradient == "unrolled" else solution.state.x

    shift = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    x = after_steps(shift, "unrolled")
    require(x.requires_grad, "the solution must carry a graph")
    (found,) = torch.autograd.grad((weights * x).sum(), shift)
    true = [
        _difference(lambda s: after_steps(s, "none"), weights, direction)
        for direction in torch.eye(2, dtype=torch.float64)
    ]
    close(found, torch.stack(true), "the unrolled gradient in (A, b)", relative=1e-3)


def _difference(
    function: Callable[[Tensor], Tensor], weights: Tensor, direction: Tensor, step: float = 1e-5
) -> Tensor:
    zero = torch.zeros_like(direction)
    up, down = function(zero + step * direction), function(zero - step * direction)
    return (weights * (up - down)).sum().detach() / (2 * step)


_SMALL = ("system", "batch of systems", "right-hand sides of one system, one of them zero")

LAWS = (
    *laws(
        implicit_gradient_equals_finite_differences,
        applies=lambda problem: (
            problem.name in _SMALL or (problem.own and "Quadratic" in problem.views)
        ),
    ),
    *laws(
        unrolled_gradient_equals_finite_differences,
        applies=lambda problem: problem.name in _SMALL,
    ),
)
