"""Claims of energies and bounds where terms of the energy cancel: they hold in float32, too."""

from typing import Any

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, normal, per_offset

from groundstate.energy import view
from groundstate.move import to
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.testing.typed import eigenvalues, linear_solve
from groundstate.views import Quadratic
from groundstate_gcrf.cholesky import cholesky
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.sparse import grid_gcrf_potts
from groundstate_gcrf.gmres import Gmres
from groundstate_gcrf.jacobi import Jacobi
from groundstate_gcrf.potts_cg import PottsConjugateGradients
from groundstate_gcrf.potts_split import potts_split

HAIR = 1 + 1e-5


def _inverse() -> GaussianCrf:
    return inverse_gcrf(
        unary=normal(0, 2, 3, 4).float(), embeddings=normal(1, 5, 2, 3, 4).float(), diagonal=0.01
    )


def _low_rank_potts() -> GaussianCrf:
    factor = normal(1, 4, 3, 4)
    largest = float(eigenvalues(factor.flatten(1) @ factor.flatten(1).mT)[-1])
    return low_rank_potts_gcrf(
        unary=normal(0, 2, 3, 4).float(),
        embeddings=factor.float(),
        diagonal=HAIR * largest,
        guard="report",
    )


def _potts() -> GaussianCrf:
    weights = [each.abs().float() for each in per_offset(1, 4, 5, 6)]
    unary = normal(0, 2, 5, 6).float()
    matrix = dense(grid_gcrf_potts(unary=unary, weights=weights, diagonal=100.0)).double()
    needed = 100.0 - float(eigenvalues(matrix)[0])
    return grid_gcrf_potts(unary=unary, weights=weights, diagonal=HAIR * needed, guard="report")


ENERGIES = {"inverse": _inverse, "low rank Potts": _low_rank_potts, "Potts": _potts}
SOLVERS: dict[str, Solver[Any]] = {
    "cg": ConjugateGradients(),
    "cholesky": cholesky(),
    "gmres": Gmres(),
    "jacobi": Jacobi(),
    "potts-cg": PottsConjugateGradients(),
    "potts-split": potts_split(),
}


PAIRS = [
    (kind, name)
    for kind in ENERGIES
    for name in SOLVERS
    if kind != "inverse" or not name.startswith("potts")
]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_honest_claims_are_accepted(kind: str, name: str) -> None:
    energy = ENERGIES[kind]()
    solution = solve(energy, SOLVERS[name], steps=20, throw=False)  # raises on a false claim
    exact = to(energy, dtype=torch.float64)
    matrix, b = dense(exact), view(exact, Quadratic).linear.flatten()
    minimum = -0.5 * float(b @ linear_solve(matrix, b))
    definite = float(eigenvalues(matrix)[0]) > 0
    assert solution.bound is None or not definite or float(solution.bound) <= minimum


def test_what_is_lost_in_rounding_is_no_floor() -> None:
    # A = C⁻¹ by Woodbury's identity is wrong by ε/λ, which is more than its smallest eigenvalue
    factor = normal(1, 5, 2, 3, 4).float()
    for scale in (1e-6, 1e-2):
        energy = inverse_gcrf(unary=normal(0, 2, 3, 4).float(), embeddings=factor, diagonal=scale)
        floor = view(energy, Quadratic).floor
        smallest = float(eigenvalues(dense(energy).double())[0])
        assert (floor is None) == (scale == 1e-6)
        assert floor is None or float(floor) <= smallest
