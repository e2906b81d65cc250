"""`solver/gmres`: each problem by itself, restarted, truthful about its end."""

from typing import Any

import pytest
import torch
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd
from torch import Tensor

from groundstate.energy import view
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.quadratic import quadratic
from groundstate.unions import union
from groundstate.views import Quadratic
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.gmres import Gmres

N = 20


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("restart", [3, 8, 40])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_agrees_with_a_dense_solve(restart: int, batch: tuple[int, ...]) -> None:
    for energy in (quadratic(spd(N, 0), normal(*batch, N)), random_grid(1, batch=batch)):
        solution = solve(energy, Gmres(tolerance=1e-12, restart=restart))
        assert bool((solution.status == Status.CONVERGED).all())
        torch.testing.assert_close(
            solution.x, solve_densely(energy).minimiser, rtol=1e-9, atol=1e-10
        )


def test_needs_no_more_iterations_than_conjugate_gradients() -> None:
    energy = dense_energy(spd(60, 1, condition=1e3), normal(5, 60))
    mine = solve(energy, Gmres(tolerance=1e-6, restart=64)).state
    plain = ConjugateGradients(tolerance=1e-6, preconditioner="none", check_every=1)
    theirs = solve(energy, plain).state.recurrence
    assert bool((mine.iterations <= theirs.iterations).all())
    assert bool((mine.iterations >= theirs.iterations // 2).all())


def test_residual_is_the_smallest_over_the_krylov_space() -> None:
    energy = quadratic(spd(N, 2), normal(N))
    state = Gmres(restart=5, tolerance=0.0).init(energy, None, generator(0))
    state = Gmres(restart=5, tolerance=0.0).step(energy, state, Deadline())
    powers = [energy.linear]
    for _ in range(4):
        powers.append(energy.matrix @ powers[-1])
    span = energy.matrix @ torch.stack(powers, -1)
    fit = span @ (torch.linalg.pinv(span) @ energy.linear)  # pyright: ignore
    best = (energy.linear - fit).norm() / energy.linear.norm()  # pyright: ignore
    assert state.residual is not None
    torch.testing.assert_close(state.residual, best, rtol=1e-6, atol=0)


def test_every_problem_by_itself() -> None:
    linear = normal(4, N)
    matrix = spd(N, 3).expand(4, N, N).clone()
    linear[0], linear[1, 3] = 0, float("nan")
    matrix[2] -= 1.5 * torch.eye(N, dtype=torch.float64)
    solution = solve(quadratic(matrix, linear), Gmres(tolerance=1e-10), throw=False)
    expected = [Status.CONVERGED, Status.DIVERGED, Status.INDEFINITE, Status.CONVERGED]
    assert solution.status.tolist() == expected
    assert bool(solution.state.x.isfinite().all()) and int(solution.state.iterations[0]) == 0


def test_problems_end_to_end_and_a_warm_start() -> None:
    parts = [random_grid(5, height=3, width=4), random_grid(6, height=5, width=1)]
    energy = union(parts)
    solution = solve(energy, Gmres(tolerance=1e-12))
    expected = torch.cat([solve_densely(part).minimiser.flatten() for part in parts])
    torch.testing.assert_close(solution.x, expected)
    warm = solve(energy, Gmres(tolerance=1e-10), solution.x)
    assert torch.equal(warm.x, solution.x) and not bool(warm.state.iterations.any())


def test_a_passed_deadline_stops_within_a_step() -> None:
    energy = random_grid(5)
    state = Gmres().init(energy, None, generator(0))
    after = Gmres().step(energy, state, Deadline(at=0.0))
    assert int(after.iterations) == 0 and int(after.outcome) == Status.RUNNING
    assert view(energy, Quadratic).linear.shape == after.x.shape


@pytest.mark.parametrize("setting", [{"tolerance": -1.0}, {"restart": 0}])
def test_settings_out_of_range_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        Gmres(**setting)
