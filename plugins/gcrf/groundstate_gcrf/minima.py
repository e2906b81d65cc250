"""Minima that something exact is made of, and several of them for one matrix."""

from dataclasses import replace
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.solution import SolveError, summarise
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.space import Real
from groundstate.status import Status
from groundstate.views import MatrixView, Quadratic


def minimum_of(
    energy: Energy,
    solver: Solver[Any],
    *,
    what: str,
    steps: int = 10_000,
    gradient: Literal["none", "implicit"] = "none",
) -> Float[Tensor, "..."]:
    """The minimiser of every problem.

    Args:
        energy: a quadratic energy.
        solver: what finds it.
        what: what is exact only if it is found, for the error.
        steps: of the solver, at most.
        gradient: as in `solve`.

    Raises:
        SolveError: if one is not found.
    """
    solution = solve(energy, solver, steps=steps, gradient=gradient)
    done = (solution.status == Status.CONVERGED) | (solution.status == Status.OPTIMAL)
    if not bool(done.all()):
        raise SolveError(
            f"{what} is exact only if its solve converges. {summarise(solution.status)}", solution
        )
    return solution.x if gradient == "implicit" else solution.x.detach()


def with_sides(energy: Energy, linear: Float[Tensor, "sides *shape"]) -> QuadraticEnergy:
    """The same matrix with several right-hand sides, one batch dimension in front; c becomes 0."""
    quadratic, space = view(energy, Quadratic), energy.space
    assert isinstance(space, Real)
    batch = (len(linear), *space.batch_shape)
    return QuadraticEnergy(
        quadratic=replace(
            quadratic,
            linear=linear,
            constant=quadratic.constant.new_zeros(()),
            floor=None if quadratic.floor is None else quadratic.floor.expand(batch),
        ),
        space=replace(space, batch_shape=batch),
        structure={
            kind: make for kind, make in energy.views.items() if issubclass(kind, MatrixView)
        },
    )
