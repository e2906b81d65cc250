"""`solver/auto-quadratic`: what it picks, why, and that the answer is that solver's."""

from typing import Any

import pytest
import torch
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd

from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.unions import union
from groundstate_gcrf.auto_quadratic import AutoQuadratic, choose
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf


def normal(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def energies() -> dict[str, Any]:
    embeddings = normal(4, 20, 20, seed=1)
    return {
        "cholesky": random_grid(0),
        "sparse-direct": random_grid(1, height=30, width=30),
        "woodbury": low_rank_gcrf(
            unary=normal(2, 20, 20), embeddings=normal(4, 2, 20, 20, seed=2), diagonal=3.0
        ),
        "potts-split": low_rank_potts_gcrf(
            unary=normal(3, 20, 20), embeddings=embeddings, guard="rescale", diagonal=2.0
        ),
        "cg": dense_energy(spd(600, 3), normal(600)),
    }


@pytest.mark.parametrize("choice", list(energies()))
def test_picks_by_structure_and_says_why(choice: str) -> None:
    energy = energies()[choice]
    solution = solve(energy, AutoQuadratic(tolerance=1e-11))
    assert solution.stats["solver"] == choice and str(solution.stats["why"])
    assert bool(((solution.status == Status.OPTIMAL) | (solution.status == 1)).all())
    expected = solve_densely(energy).minimiser
    torch.testing.assert_close(solution.x, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [4, 30])
def test_a_given_covariance_keeps_the_digits_that_its_inverse_loses(size: int) -> None:
    unary, factor = normal(1, size, size), normal(3, 1, size, size, seed=1)
    energy = inverse_gcrf(unary=unary.float(), embeddings=factor.float(), diagonal=1e-4)
    solution = solve(energy, AutoQuadratic(), throw=False)
    assert solution.stats["solver"] == "covariance"
    flat, b = factor.float().double().flatten(1), unary.float().double().flatten()
    expected = flat.mT @ (flat @ b) + torch.tensor(1e-4).double() * b
    torch.testing.assert_close(
        solution.x.double().flatten(), expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max())
    )
    residual = solution.state.residual
    assert residual is not None
    confirmed = float(residual) <= torch.finfo(torch.float32).eps ** 0.5
    assert int(solution.status) == (Status.OPTIMAL if confirmed else Status.STALLED)


def test_a_given_covariance_solves_the_backward_pass() -> None:
    given = (normal(1, 2, 3), normal(2, 1, 2, 3, seed=1), torch.tensor(0.5, dtype=torch.float64))
    leaves = tuple(each.requires_grad_() for each in given)

    def minimiser(unary: Any, factor: Any, scale: Any) -> Any:
        energy = inverse_gcrf(unary=unary, embeddings=factor, diagonal=scale)
        return solve(energy, AutoQuadratic(), gradient="implicit").x

    assert torch.autograd.gradcheck(minimiser, leaves)


def test_a_large_grid_is_iterated_with_multigrid() -> None:
    energy = random_grid(0, height=80, width=80)
    assert choose(energy)[0] == "cg"
    solution = solve(energy, AutoQuadratic(tolerance=1e-9))
    assert solution.stats["solver"] == "cg" and "multigrid" in str(solution.stats["why"])
    assert float(solution.stats["iterations"]) < 15


def test_problems_end_to_end() -> None:
    parts = [random_grid(5, height=3, width=4), random_grid(6, height=5, width=1)]
    solution = solve(union(parts), AutoQuadratic())
    expected = torch.cat([solve_densely(part).minimiser.flatten() for part in parts])
    torch.testing.assert_close(solution.x, expected)
