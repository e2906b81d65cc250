"""Direct solvers: one step, checked against a dense float64 solve, truthful about what fails."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, view, with_linear
from groundstate.move import to
from groundstate.solution import SolveError
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.quadratic import positive_definite, quadratic
from groundstate.unions import union
from groundstate.views import Quadratic
from groundstate_gcrf.cholesky import cholesky
from groundstate_gcrf.direct import Inverse
from groundstate_gcrf.grid import GridGcrf
from groundstate_gcrf.sparse_direct import sparse_direct

N = 12
SOLVERS: list[Any] = [cholesky(), sparse_direct()]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def systems() -> dict[str, Energy]:
    """One matrix or several, one right-hand side or several."""
    return {
        "one": quadratic(spd(N, 0), normal(N)),
        "sides of one": quadratic(spd(N, 1), normal(2, 3, N)),
        "one each": quadratic(positive_definite(N, 2, batch=(3,)), normal(3, N)),
        "matrices by rows": quadratic(positive_definite(N, 3, batch=(2, 1)), normal(2, 3, N)),
        "matrices by columns": quadratic(positive_definite(N, 4, batch=(3,)), normal(2, 3, N)),
        "grid": random_grid(0),
        "sides of a grid": random_grid(1, batch=(2, 2)),
    }


@pytest.mark.parametrize("solver", SOLVERS, ids=["cholesky", "sparse-direct"])
class TestAgainstTheOracle:
    @pytest.mark.parametrize("name", list(systems()))
    def test_agrees_with_a_dense_solve(self, solver: Any, name: str) -> None:
        energy = systems()[name]
        solution, oracle = solve(energy, solver), solve_densely(energy)
        assert bool((solution.status == Status.OPTIMAL).all())
        torch.testing.assert_close(solution.x, oracle.minimiser, rtol=1e-10, atol=1e-12)
        assert solution.bound is not None and solution.gap is not None
        assert bool((solution.bound <= oracle.minimum + 1e-15).all())
        assert float(solution.gap.max()) < 1e-12
        assert float(solution.state.residual.max()) < 1e-13

    def test_float32_is_as_good_as_float32_allows(self, solver: Any) -> None:
        energy = to(random_grid(2, batch=(2,)), dtype=torch.float32)
        solution = solve(energy, solver)
        assert solution.x.dtype == torch.float32
        expected = solve_densely(energy).minimiser.float()
        torch.testing.assert_close(solution.x, expected, rtol=1e-5, atol=1e-5)

    def test_unreachable_tolerance_stalls_and_says_its_residual(self, solver: Any) -> None:
        energy = to(random_grid(3), dtype=torch.float32)
        solution = solve(energy, replace(solver, tolerance=1e-12))
        assert solution.status.tolist() == Status.STALLED
        assert 1e-12 < float(solution.state.residual) < 1e-6

    def test_zero_tiny_huge_and_nan_sides(self, solver: Any) -> None:
        linear = normal(5, N)
        linear[0], linear[3, 2] = 0, float("nan")
        energy = quadratic(spd(N, 5), linear)
        solution = solve(energy, solver, throw=False)
        assert solution.status.tolist() == [1, 2, 2, 7, 2]
        assert torch.equal(solution.x[0], torch.zeros(N, dtype=torch.float64))
        assert bool(solution.state.x.isfinite().all())

    @pytest.mark.parametrize("size", [1e-200, 1e-11, 1e140])
    def test_scale_changes_nothing(self, solver: Any, size: float) -> None:
        energy = quadratic(spd(N, 6), normal(N))
        plain = solve(energy, solver)
        state = solver.init(replace(energy, linear=size * energy.linear), None, generator(0))
        scaled = solver.step(replace(energy, linear=size * energy.linear), state, Deadline())
        assert int(scaled.outcome) == Status.OPTIMAL
        torch.testing.assert_close(scaled.x / size, plain.x)

    def test_indefinite_problem_does_not_harm_its_neighbours(self, solver: Any) -> None:
        matrix = spd(N, 7).expand(3, N, N).clone()
        matrix[1] -= 1.5 * torch.eye(N, dtype=torch.float64)
        assert bool((matrix[1].diagonal() > 0).all())
        energy = quadratic(matrix, normal(3, N))
        solution = solve(energy, solver, throw=False)
        assert solution.status.tolist() == [Status.OPTIMAL, Status.INDEFINITE, Status.OPTIMAL]
        expected = solve_densely(energy).minimiser
        torch.testing.assert_close(solution.state.x[0], expected[0])
        torch.testing.assert_close(solution.state.x[2], expected[2])
        with pytest.raises(SolveError, match="not positive definite"):
            solve(energy, solver)

    def test_gradient_of_a_dense_system(self, solver: Any) -> None:
        factor = spd(4, 8).requires_grad_(True)
        linear = normal(2, 4).requires_grad_(True)

        def solved(factor: Tensor, linear: Tensor) -> Tensor:
            matrix = factor @ factor.mT
            base = quadratic(matrix, linear)
            return solve(replace(base, linear=linear), solver, gradient="implicit").x

        assert torch.autograd.gradcheck(solved, (factor, linear), atol=1e-6)

    def test_gradient_of_a_grid(self, solver: Any) -> None:
        base = random_grid(4, height=2, width=3)
        names = ("right", "down", "pinned", "values", "strength", "diagonal")
        given = [getattr(base, name).clone() for name in names]
        given[2] = given[2] + 0.5

        def solved(*parts: Tensor) -> Tensor:
            energy = GridGcrf(**dict(zip(names, parts, strict=True)))
            return solve(energy, solver, gradient="implicit").x

        leaves = [each.requires_grad_(True) for each in given]
        assert torch.autograd.gradcheck(solved, leaves, atol=1e-7)

    def test_the_start_is_not_written_to(self, solver: Any) -> None:
        x0 = torch.ones(5, 4, dtype=torch.float64)
        solve(random_grid(3), solver, x0)
        assert torch.equal(x0, torch.ones_like(x0))

    @pytest.mark.parametrize("tolerance", [-1.0, float("nan")])
    def test_a_tolerance_that_is_none(self, solver: Any, tolerance: float) -> None:
        with pytest.raises(ValueError, match="tolerance must be at least 0"):
            replace(solver, tolerance=tolerance)


class TestCholesky:
    def test_problems_of_different_sizes_end_to_end(self) -> None:
        parts = [random_grid(5, height=3, width=4), random_grid(6, height=5, width=1)]
        solution = solve(union(parts), cholesky())
        expected = torch.cat([solve_densely(part).minimiser.flatten() for part in parts])
        torch.testing.assert_close(solution.x, expected)

    def test_a_matrix_known_only_by_its_products(self) -> None:
        energy = dense_energy(spd(300, 9), normal(2, 300))
        solution = solve(energy, cholesky())
        torch.testing.assert_close(solution.x, solve_densely(energy).minimiser)

    def test_too_many_variables_are_refused(self) -> None:
        with pytest.raises(ValueError, match="at most 10 variables, got 20"):
            solve(random_grid(0), cholesky(largest=10))

    def test_a_matrix_that_is_not_finite_has_diverged(self) -> None:
        base = quadratic(spd(N, 5), normal(N))
        wrong = view(base, Quadratic).diagonal.diag_embed() * 0 + float("nan")

        def product(x: Tensor) -> Tensor:
            return x @ wrong

        energy = QuadraticEnergy(
            quadratic=replace(view(base, Quadratic), matvec=product), space=base.space
        )
        assert int(solve(energy, cholesky(), throw=False).status) == Status.DIVERGED


def test_factors_are_made_once_for_a_gradient() -> None:
    calls: list[Energy] = []
    plain = sparse_direct()

    def counted(energy: Energy) -> Inverse:
        calls.append(energy)
        return plain.factorise(energy)

    energy = random_grid(6)
    energy = replace(energy, values=energy.values.clone().requires_grad_())
    solve(energy, replace(plain, factorise=counted), gradient="implicit").x.sum().backward()
    assert calls == [energy] and energy.values.grad is not None


def test_coarse_factors_are_refined_as_far_as_asked() -> None:
    def coarse(energy: Energy) -> Inverse:
        fine = cholesky().factorise(energy)

        def apply(b: Tensor) -> Tensor:
            return 0.99 * fine.apply(b)

        return replace(fine, apply=apply)

    energy = random_grid(9)
    once = solve(energy, replace(cholesky(tolerance=1e-3), factorise=coarse))
    more = solve(energy, replace(cholesky(tolerance=1e-7), factorise=coarse))
    assert once.state.residual is not None and more.state.residual is not None
    # each time the residual falls by 100: once is enough for the one, three times for the other
    assert 1e-5 < float(once.state.residual) <= 1e-3
    assert float(more.state.residual) <= 1e-7
    assert int(more.status) == Status.OPTIMAL


@pytest.mark.parametrize("solver", SOLVERS, ids=["cholesky", "sparse-direct"])
def test_prepared_factors_serve_any_side_and_no_other_matrix(solver: Any) -> None:
    energy, other = random_grid(7, batch=(2,)), random_grid(8, batch=(2,), diagonal=3.0)
    ready = solver.prepared(energy)
    sides = with_linear(energy, normal(2, 5, 4))
    torch.testing.assert_close(solve(sides, ready).x, solve_densely(sides).minimiser)
    # refined with factors of another matrix it may arrive or not, but never says what is not so
    solution = solve(other, ready, throw=False)
    near = (solution.x - solve_densely(other).minimiser).abs().amax((-2, -1)) < 1e-5
    assert bool((near | (solution.status == Status.STALLED)).all())
