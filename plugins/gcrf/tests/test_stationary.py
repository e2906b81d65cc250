"""Jacobi, Gauss-Seidel and Gaussian mean field: sweeps by the textbook, and truthful ends."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from plugins.gcrf.tests.systems import dense_of, generator, random_grid, spd
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.move import to
from groundstate.solver import Deadline, Solver
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.quadratic import positive_definite, quadratic
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.colouring import colour
from groundstate_gcrf.gauss_seidel import GaussSeidel, colours_of
from groundstate_gcrf.gaussian_mean_field import GaussianMeanField
from groundstate_gcrf.grid import GridGcrf
from groundstate_gcrf.jacobi import Jacobi
from groundstate_gcrf.stationary import StationaryState

N = 10
SOLVERS: list[Any] = [
    Jacobi(tolerance=1e-12),
    GaussSeidel(tolerance=1e-12),
    GaussSeidel(tolerance=1e-12, relaxation=1.4),
    GaussianMeanField(tolerance=1e-12),
    GaussianMeanField(tolerance=1e-12, schedule="parallel"),
]
every_solver = pytest.mark.parametrize("solver", SOLVERS, ids=repr)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def dominant(*batch: int, seed: int = 0) -> Tensor:
    """Symmetric and strictly diagonally dominant, so that every method converges."""
    matrix = positive_definite(N, seed, batch=batch)
    off = matrix - torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1))
    return off + torch.diag_embed(1.5 * off.abs().sum(-1))


def without_stencil(energy: GridGcrf) -> QuadraticEnergy:
    sparse = view(energy, SparseMatrix)
    return QuadraticEnergy(
        quadratic=energy.quadratic, space=energy.space, structure={SparseMatrix: lambda: sparse}
    )


def after_sweeps(solver: Solver[Any], energy: Energy, x0: Tensor, sweeps: int) -> StationaryState:
    with torch.no_grad():
        state = solver.init(energy, x0, generator(0))
        for _ in range(sweeps):
            state = solver.step(energy, state, Deadline())
    return cast(StationaryState, state)


@every_solver
class TestAgainstTheOracle:
    @pytest.mark.parametrize("batch", [(), (3,), (2, 1)])
    def test_agrees_with_a_dense_solve(self, solver: Any, batch: tuple[int, ...]) -> None:
        energy = quadratic(dominant(*batch), normal(2, 3, N))
        solution = solve(energy, solver)
        assert bool((solution.status == Status.CONVERGED).all())
        torch.testing.assert_close(
            solution.x, solve_densely(energy).minimiser, rtol=1e-9, atol=1e-10
        )

    def test_grids_with_and_without_their_stencil(self, solver: Any) -> None:
        energy = random_grid(1, batch=(2,), diagonal=1.0)
        expected = solve_densely(energy).minimiser
        for each in (energy, without_stencil(energy)):
            torch.testing.assert_close(solve(each, solver).x, expected, rtol=1e-9, atol=1e-10)

    def test_unreachable_tolerance_stalls(self, solver: Any) -> None:
        energy = to(random_grid(2, diagonal=1.0), dtype=torch.float32)
        solution = solve(energy, replace(solver, tolerance=1e-10))
        assert int(solution.status) == Status.STALLED
        assert 1e-10 < float(solution.state.residual) < 1e-6

    def test_zero_tiny_and_nan_sides(self, solver: Any) -> None:
        linear = normal(4, N)
        linear[0], linear[1], linear[3, 2] = 0, 1e-11 * linear[1], float("nan")
        energy = quadratic(dominant(), linear)
        solution = solve(energy, solver, torch.ones(4, N, dtype=torch.float64), throw=False)
        assert solution.status.tolist() == [1, 1, 1, 7]
        assert torch.equal(solution.state.x[0], torch.zeros(N, dtype=torch.float64))
        assert bool(solution.state.x.isfinite().all())
        assert int(solution.state.iterations[0]) == 0

    @pytest.mark.parametrize("size", [1e-200, 1e150])
    def test_scale_changes_nothing(self, solver: Any, size: float) -> None:
        base = quadratic(dominant(), normal(N))
        x0 = torch.zeros(N, dtype=torch.float64)
        plain = after_sweeps(solver, base, x0, 20)
        scaled = after_sweeps(solver, replace(base, linear=size * base.linear), x0, 20)
        assert torch.equal(plain.iterations, scaled.iterations)
        torch.testing.assert_close(scaled.x / size, plain.x)

    def test_indefinite_problem_beside_a_good_one(self, solver: Any) -> None:
        matrix = dominant().expand(2, N, N).clone()
        shift = torch.linalg.eigvalsh(matrix[1])[0] + 0.1  # pyright: ignore
        matrix[1] -= shift * torch.eye(N, dtype=torch.float64)
        assert bool((matrix[1].diagonal() > 0).all())
        solution = solve(quadratic(matrix, normal(2, N)), solver, throw=False)
        first, second = (Status(int(each)) for each in solution.status)
        assert first == Status.CONVERGED and second == Status.INDEFINITE

    def test_a_warm_start_needs_nothing(self, solver: Any) -> None:
        energy = quadratic(dominant(), normal(N))
        x = solve(energy, solver).x
        warm = solve(energy, replace(solver, tolerance=1e-11), x)
        assert int(warm.state.iterations) == 0 and torch.equal(warm.x, x)

    def test_gradient_of_a_grid(self, solver: Any) -> None:
        base = random_grid(4, height=2, width=3, diagonal=1.0)
        names = ("right", "down", "pinned", "values", "strength", "diagonal")
        given = [getattr(base, name).clone() for name in names]
        given[2] = given[2] + 0.5

        def solved(*parts: Tensor) -> Tensor:
            energy = GridGcrf(**dict(zip(names, parts, strict=True)))
            return solve(energy, solver, gradient="implicit").x

        leaves = [each.requires_grad_(True) for each in given]
        assert torch.autograd.gradcheck(solved, leaves, atol=1e-7)

    def test_a_passed_deadline_stops_within_a_step(self, solver: Any) -> None:
        energy = random_grid(5)
        with torch.no_grad():
            state = solver.init(energy, None, generator(0))
            after = solver.step(energy, state, Deadline(at=0.0))
        assert int(after.iterations) == 0


class TestByTheTextbook:
    def test_jacobi(self) -> None:
        energy = quadratic(dominant(), normal(N))
        matrix, b = energy.matrix, energy.linear
        x = x0 = normal(N, seed=1)
        for _ in range(3):
            x = torch.stack(
                [
                    (b[i] - sum(matrix[i, j] * x[j] for j in range(N) if j != i)) / matrix[i, i]
                    for i in range(N)
                ]
            )
        found = after_sweeps(Jacobi(check_every=1), energy, x0, 3).x
        torch.testing.assert_close(found, x, rtol=1e-13, atol=1e-13)

    @pytest.mark.parametrize("stencil", [False, True])
    def test_gauss_seidel_in_the_order_of_the_colours(self, stencil: bool) -> None:
        grid = random_grid(3)
        energy = grid if stencil else without_stencil(grid)
        matrix, b = dense_of(grid), grid.quadratic.linear.flatten()
        x0 = normal(5, 4, seed=2)
        x = x0.flatten().clone()
        order = [int(each) for each in colours_of(energy).argsort(stable=True)]
        for _ in range(3):
            for i in order:
                rest = sum(matrix[i, j] * x[j] for j in range(20) if j != i)
                x[i] = (b[i] - rest) / matrix[i, i]
        found = after_sweeps(GaussSeidel(check_every=1), energy, x0, 3).x
        torch.testing.assert_close(found.flatten(), x, rtol=1e-13, atol=1e-13)

    @pytest.mark.parametrize(
        ("schedule", "other"), [("parallel", Jacobi(check_every=1)), ("sequential", GaussSeidel())]
    )
    def test_mean_field_is_jacobi_or_gauss_seidel(self, schedule: Any, other: Any) -> None:
        mean_field = GaussianMeanField(schedule=schedule, check_every=1)
        for energy in (random_grid(6, batch=(2,)), quadratic(dominant(), normal(3, N))):
            x0 = torch.randn(energy.space.layout.shape, generator=generator(1), dtype=torch.float64)
            for sweeps in (1, 2, 7):
                mine = after_sweeps(mean_field, energy, x0, sweeps).x
                theirs = after_sweeps(replace(other, check_every=1), energy, x0, sweeps).x
                torch.testing.assert_close(mine, theirs, rtol=1e-14, atol=1e-14)

    def test_a_grid_has_two_colours_and_neighbours_differ(self) -> None:
        sparse = view(random_grid(0, height=6, width=7), SparseMatrix)
        colours = colour(sparse, 42)
        i, j = sparse.indices[:, sparse.indices[0] != sparse.indices[1]]
        assert bool((colours[i] != colours[j]).all()) and int(colours.max()) == 1


class TestEnds:
    def test_jacobi_diverges_where_gauss_seidel_does_not(self) -> None:
        # positive definite, but D⁻¹A has an eigenvalue of 2.8, above 2
        matrix = 0.9 * torch.ones(3, 3, dtype=torch.float64) + 0.1 * torch.eye(3).double()
        energy = quadratic(matrix, torch.ones(3, dtype=torch.float64))
        assert int(solve(energy, Jacobi(), throw=False).status) == Status.DIVERGED
        assert int(solve(energy, Jacobi(relaxation=0.6)).status) == Status.CONVERGED
        assert int(solve(energy, GaussSeidel()).status) == Status.CONVERGED

    def test_gauss_seidel_never_calls_a_definite_matrix_indefinite(self) -> None:
        energy = quadratic(spd(N, 3, condition=1e10), normal(N))
        status = solve(energy, GaussSeidel(tolerance=0.0), steps=300).status
        assert int(status) in (Status.OUT_OF_STEPS, Status.STALLED)

    def test_evidence_bound_lies_below_log_partition_at_any_time(self) -> None:
        energy = random_grid(7, batch=(2,))
        log_partition = solve_densely(energy).log_partition
        solver = GaussianMeanField(check_every=1)
        found: list[Tensor] = []
        with torch.no_grad():
            state = solver.init(energy, None, generator(0))
            for _ in range(20):
                state = solver.step(energy, state, Deadline())
                assert state.beliefs is not None and state.beliefs.lower is not None
                found.append(state.beliefs.lower)
        assert all(bool((each < log_partition).all()) for each in found)
        rises = [bool((b >= a - 1e-12).all()) for a, b in pairwise(found)]
        assert all(rises)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tolerance": float("nan")}, "tolerance must be at least 0"),
        ({"check_every": 0}, "check_every must be at least 1"),
        ({"relaxation": 2.0}, "relaxation must lie between 0 and 2"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    for kind in (Jacobi, GaussSeidel):
        with pytest.raises(ValueError, match=message):
            kind(**setting)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="schedule"):
        GaussianMeanField(schedule=cast(Any, "random"))


def test_a_matrix_known_only_by_products_has_no_colours() -> None:
    energy = quadratic(dominant(), normal(N))
    plain = QuadraticEnergy(quadratic=view(energy, Quadratic), space=energy.space)
    with pytest.raises(Exception, match="SparseMatrix is needed"):
        solve(plain, GaussSeidel())
