"""Marginals and log Z, through the one loop that runs every solver."""

from typing import TypeVar

from groundstate.energy import Energy
from groundstate.errors import ViewError
from groundstate.solution import Solution
from groundstate.solver import Beliefs, Solver, State
from groundstate.solving import solve

S = TypeVar("S", bound=State)


def infer(
    energy: Energy,
    solver: Solver[S],
    *,
    steps: int = 1000,
    seconds: float | None = None,
    seed: int = 0,
) -> tuple[Beliefs, Solution[S]]:
    """Marginals and log Z of p(x) ∝ exp(-E(x)), with lower ≤ upper certified by the core.

    Args:
        energy: the model.
        solver: one that claims "beliefs".
        steps: the most steps to do.
        seconds: the most time to take; None is no limit.
        seed: of the solver's randomness.

    Raises:
        ViewError: if the solver gives no beliefs.
        CertificationError: if its beliefs contradict the energy or each other.
    """
    solution = solve(energy, solver, steps=steps, seconds=seconds, seed=seed)
    if solution.beliefs is None:
        raise ViewError(
            f"inference needs a solver that claims 'beliefs'; {type(solver).__name__} gives none "
            "(`groundstate components solver` lists the claims)"
        )
    return solution.beliefs, solution
