"""`solver/cg`: every problem ends truthfully, whatever its scale, its type and its neighbours."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd
from torch import Tensor

from groundstate.energy import QuadraticEnergy, view
from groundstate.solution import Solution, SolveError
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.space import Real
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.unions import union
from groundstate.views import Quadratic
from groundstate_gcrf.conjugate_gradients import CGState, ConjugateGradients
from groundstate_gcrf.preconditioners.making import Name

N = 30


def right_hand_sides(*batch: int, seed: int = 1) -> Tensor:
    return torch.randn(*batch, N, generator=generator(seed), dtype=torch.float64)


def true_residual(energy: QuadraticEnergy | Any, x: Tensor) -> Tensor:
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    left = quadratic.linear - quadratic.matvec(x)
    return (layout.dot(left, left) / layout.dot(quadratic.linear, quadratic.linear)).sqrt()


def iterations(solution: Solution[CGState]) -> list[int]:
    return [int(each) for each in solution.state.recurrence.iterations.flatten()]


def only_status(solution: Solution[CGState]) -> Status:
    (status,) = {int(each) for each in solution.status.flatten()}
    return Status(status)


@pytest.mark.parametrize("preconditioner", ["none", "jacobi"])
@pytest.mark.parametrize("check_every", [1, 7, 64])
def test_solves_a_dense_system_to_the_oracle(preconditioner: Name, check_every: int) -> None:
    energy = dense_energy(spd(N, 0), right_hand_sides(2, 3))
    solver = ConjugateGradients(
        tolerance=1e-13, preconditioner=preconditioner, check_every=check_every
    )
    solution = solve(energy, solver)
    assert only_status(solution) == Status.CONVERGED
    torch.testing.assert_close(solution.x, solve_densely(energy).minimiser, rtol=1e-10, atol=1e-11)


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    diagonal=st.sampled_from([0.0, 0.01, 1.0]),
)
def test_solves_any_grid_to_the_oracle(seed: int, height: int, width: int, diagonal: float) -> None:
    energy = random_grid(seed, height=height, width=width, batch=(2,), diagonal=diagonal)
    solution = solve(energy, ConjugateGradients(tolerance=1e-12))
    torch.testing.assert_close(solution.x, solve_densely(energy).minimiser, rtol=1e-8, atol=1e-8)


class TestEachProblemIsJudgedByItself:
    """(a), (b): per-column convergence, and a residual that is recomputed."""

    def test_many_easy_columns_do_not_hide_a_hard_one(self) -> None:
        diagonal = torch.logspace(0, 5, N, dtype=torch.float64)
        easy = torch.zeros(199, N, dtype=torch.float64)
        easy[:, 0] = 1.0
        linear = torch.cat([easy, torch.ones(1, N, dtype=torch.float64)])
        energy = dense_energy(diagonal.diag(), linear)
        solver = ConjugateGradients(tolerance=1e-3, preconditioner="none", check_every=5)
        solution = solve(energy, solver)
        assert float(true_residual(energy, solution.x).max()) <= 1e-3
        assert iterations(solution)[:199] == [1] * 199
        assert iterations(solution)[199] > 10

    def test_reported_residual_is_the_recomputed_one(self) -> None:
        energy = dense_energy(spd(N, 2, condition=1e6), right_hand_sides(4))
        solver = ConjugateGradients(tolerance=1e-9, check_every=3)
        state = solver.init(energy, None, generator(0))
        while bool((solver.status(state) == Status.RUNNING).any()):
            assert state.residual is not None
            torch.testing.assert_close(
                state.residual, true_residual(energy, state.x), rtol=1e-6, atol=1e-15
            )
            state = solver.step(energy, state, Deadline())

    def test_a_finished_problem_is_frozen_bit_for_bit(self) -> None:
        linear = right_hand_sides(3)
        linear[1] = spd(N, 3) @ torch.ones(N, dtype=torch.float64)
        energy = dense_energy(spd(N, 3), linear)
        solver = ConjugateGradients(tolerance=1e-10, check_every=2)
        x0 = torch.zeros(3, N, dtype=torch.float64)
        x0[1] = 1.0  # solved before it begins
        state = solver.init(energy, x0, generator(0))
        frozen: dict[int, Tensor] = {}
        while bool((solver.status(state) == Status.RUNNING).any()):
            state = solver.step(energy, state, Deadline())
            for each, x in frozen.items():
                assert torch.equal(state.x[each], x)
            done = solver.status(state) == Status.CONVERGED
            frozen = {each: state.x[each].clone() for each in range(3) if bool(done[each])}
        assert torch.equal(state.x[1], x0[1])

    def test_finished_grid_problems_are_frozen_in_compiled_code_too(self) -> None:
        energy = random_grid(1, height=8, width=8, batch=(2,))
        solver = ConjugateGradients(tolerance=1e-12, check_every=2)
        x0 = torch.zeros(2, 8, 8, dtype=torch.float64)
        x0[0] = solve(energy, solver).x[0]
        solution = solve(energy, solver, x0)
        assert torch.equal(solution.state.x[0], x0[0])
        assert iterations(solution)[0] == 0 < iterations(solution)[1]

    def test_unreachable_tolerance_stalls_near_the_floor(self) -> None:
        matrix = spd(N, 4)
        energy = dense_energy(matrix, right_hand_sides(3))
        solution = solve(energy, ConjugateGradients(tolerance=0.0, check_every=10))
        assert only_status(solution) == Status.STALLED
        assert float(true_residual(energy, solution.x).max()) < 1e-14


class TestScale:
    """(c): A → cA and b → db change nothing but the units."""

    @pytest.mark.parametrize("c", [1e-12, 1.0, 1e12])
    @pytest.mark.parametrize("d", [1e-200, 1e-11, 1.0, 1e150])
    def test_iterations_and_residual_do_not_depend_on_the_scale(self, c: float, d: float) -> None:
        matrix, linear = spd(N, 5), right_hand_sides()
        solver = ConjugateGradients(tolerance=1e-11, check_every=4)
        plain = _run(dense_energy(matrix, linear), solver)
        scaled = _run(dense_energy(c * matrix, d * linear), solver)
        assert int(scaled.recurrence.outcome) == Status.CONVERGED
        assert abs(int(scaled.recurrence.iterations) - int(plain.recurrence.iterations)) <= 1
        torch.testing.assert_close(scaled.x * (c / d), plain.x, rtol=1e-8, atol=1e-8)

    @pytest.mark.parametrize("d", [1e-200, 1e-11, 1e150])
    def test_the_same_for_grids_in_compiled_code(self, d: float) -> None:
        energy = random_grid(2, height=6, width=7)
        solver = ConjugateGradients(tolerance=1e-11)
        plain = _run(energy, solver)
        scaled = _run(replace(energy, values=d * energy.values), solver)
        assert int(scaled.recurrence.outcome) == Status.CONVERGED
        assert int(scaled.recurrence.iterations) == int(plain.recurrence.iterations)
        torch.testing.assert_close(scaled.x / d, plain.x)


def _run(energy: Any, solver: ConjugateGradients) -> CGState:
    """The solver alone: energies of these numbers leave the range that the core's checks square."""
    with torch.no_grad():
        state = solver.init(energy, None, generator(0))
        while bool((solver.status(state) == Status.RUNNING).any()):
            state = solver.step(energy, state, Deadline())
    return state


class TestNotPositiveDefinite:
    """(d): found by pᵀAp, per problem, and never answered with a number."""

    @pytest.mark.parametrize("preconditioner", ["none", "jacobi"])
    def test_indefinite_matrix(self, preconditioner: Name) -> None:
        matrix = spd(N, 6) - 3 * torch.eye(N, dtype=torch.float64)
        solver = ConjugateGradients(preconditioner=preconditioner)
        with pytest.raises(SolveError, match=r"not positive definite.*raise its diagonal"):
            solve(dense_energy(matrix, right_hand_sides()), solver)

    def test_negative_definite_matrix_is_known_by_its_diagonal(self) -> None:
        solution = solve(
            dense_energy(-spd(N, 6), right_hand_sides()), ConjugateGradients(), throw=False
        )
        assert only_status(solution) == Status.INDEFINITE
        assert iterations(solution) == [0]

    def test_singular_matrix_without_a_solution(self) -> None:
        path = 2 * torch.eye(N, dtype=torch.float64)
        path[0, 0] = path[-1, -1] = 1.0
        steps = torch.arange(N - 1)
        path[steps, steps + 1] = path[steps + 1, steps] = -1.0
        energy = dense_energy(path, right_hand_sides())  # b is not in the range of A
        solution = solve(energy, ConjugateGradients(tolerance=1e-10), throw=False)
        assert only_status(solution) == Status.INDEFINITE

    def test_other_problems_of_the_batch_are_solved(self) -> None:
        shift = torch.tensor([0.0, -3.0, 1.0], dtype=torch.float64)[:, None]
        matrix, linear = spd(N, 7), right_hand_sides(3)
        quadratic = dense_energy(matrix, linear).quadratic

        def shifted(x: Tensor) -> Tensor:
            return x @ matrix.mT + shift * x

        energy = QuadraticEnergy(
            quadratic=replace(
                quadratic,
                matvec=shifted,
                diagonal=matrix.diagonal() + shift,
            ),
            space=Real(event_shape=(N,), batch_shape=(3,), dtype=torch.float64),
        )
        solution = solve(energy, ConjugateGradients(tolerance=1e-10), throw=False)
        expected = [Status.CONVERGED, Status.INDEFINITE, Status.CONVERGED]
        assert solution.status.tolist() == expected
        residual = true_residual(energy, solution.state.x)
        assert float(residual[0]) <= 1e-10 and float(residual[2]) <= 1e-10


class TestRightHandSides:
    """(e): zero, tiny, not finite."""

    def test_zero_gives_zero_at_once_wherever_it_starts(self) -> None:
        linear = right_hand_sides(2)
        linear[0] = 0
        energy = dense_energy(spd(N, 8), linear)
        solution = solve(energy, ConjugateGradients(), torch.ones(2, N, dtype=torch.float64))
        assert torch.equal(solution.state.x[0], torch.zeros(N, dtype=torch.float64))
        assert iterations(solution)[0] == 0
        assert only_status(solution) == Status.CONVERGED

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_what_is_not_finite_has_diverged(self, value: float) -> None:
        linear = right_hand_sides(2)
        linear[1, 3] = value
        energy = dense_energy(spd(N, 8), linear)
        solution = solve(energy, ConjugateGradients(), throw=False)
        assert solution.status.tolist() == [Status.CONVERGED, Status.DIVERGED]
        assert bool(solution.state.x.isfinite().all())

    def test_not_finite_start_or_matrix(self) -> None:
        energy = dense_energy(spd(N, 8), right_hand_sides())
        x0 = torch.full((N,), float("nan"), dtype=torch.float64)
        assert only_status(solve(energy, ConjugateGradients(), x0, throw=False)) == Status.DIVERGED
        broken = dense_energy(spd(N, 8) * float("nan"), right_hand_sides())
        assert only_status(solve(broken, ConjugateGradients(), throw=False)) == Status.DIVERGED

    def test_no_problems_at_all(self) -> None:
        energy = dense_energy(spd(N, 8), right_hand_sides(0))
        state = _run(energy, ConjugateGradients())
        assert state.x.shape == (0, N)


class TestStarts:
    """(g): a warm start is never worse."""

    def test_the_solution_needs_no_iteration(self) -> None:
        energy = dense_energy(spd(N, 9), right_hand_sides(2))
        x = solve(energy, ConjugateGradients(tolerance=1e-12)).x
        warm = solve(energy, ConjugateGradients(tolerance=1e-10), x)
        assert iterations(warm) == [0, 0] and torch.equal(warm.x, x)

    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 10_000), distance=st.sampled_from([0.0, 1e-9, 1e-4, 1.0, 1e4]))
    def test_residual_is_never_above_that_of_the_start(self, seed: int, distance: float) -> None:
        energy = dense_energy(spd(N, seed, condition=1e4), right_hand_sides(seed=seed))
        offset = torch.randn(N, generator=generator(seed + 1), dtype=torch.float64)
        x0 = solve_densely(energy).minimiser + distance * offset
        for tolerance in (1e-8, 0.0):
            x = solve(energy, ConjugateGradients(tolerance=tolerance), x0).state.x
            assert float(true_residual(energy, x)) <= float(true_residual(energy, x0))

    def test_the_start_is_not_written_to(self) -> None:
        energy, x0 = random_grid(3), torch.ones(5, 4, dtype=torch.float64)
        solve(energy, ConjugateGradients(), x0)
        assert torch.equal(x0, torch.ones_like(x0))


class TestShapes:
    """(h): the same answer batched, looped, flat or end to end."""

    @pytest.mark.parametrize("batch", [(), (1,), (3,), (2, 3)])
    def test_batched_equals_looped_bit_for_bit_compiled(self, batch: tuple[int, ...]) -> None:
        energy = random_grid(4, height=7, width=6, batch=batch)
        solver = ConjugateGradients(tolerance=1e-11, check_every=5)
        together = solve(energy, solver).state.x.reshape(-1, 7, 6)
        for values, x in zip(energy.values.reshape(-1, 7, 6), together, strict=True):
            alone = solve(replace(energy, values=values), solver).state.x
            assert torch.equal(alone, x)

    def test_batched_equals_looped(self) -> None:
        matrix, linear = spd(N, 10), right_hand_sides(4)
        solver = ConjugateGradients(tolerance=1e-11)
        together = solve(dense_energy(matrix, linear), solver)
        for each in range(4):
            alone = solve(dense_energy(matrix, linear[each]), solver)
            torch.testing.assert_close(alone.x, together.x[each], rtol=1e-9, atol=1e-11)
            assert abs(iterations(alone)[0] - iterations(together)[each]) <= 1

    def test_grids_of_different_sizes_end_to_end(self) -> None:
        parts = [random_grid(5, height=3, width=4), random_grid(6, height=5, width=2)]
        solution = solve(union(parts), ConjugateGradients(tolerance=1e-12))
        assert solution.status.shape == (2,)
        expected = torch.cat([solve_densely(part).minimiser.flatten() for part in parts])
        torch.testing.assert_close(solution.x, expected)

    def test_threads_do_not_change_a_bit(self) -> None:
        energy = random_grid(7, height=9, width=9, batch=(5,))
        solver = ConjugateGradients(tolerance=1e-11)
        alone = solve(energy, solver).state.x
        torch.set_num_threads(2)
        assert torch.equal(solve(energy, solver).state.x, alone)


class TestFloat32:
    """(i): it states its floor instead of claiming success."""

    @pytest.mark.parametrize("diagonal", [0.3, 1e-3])
    def test_unreachable_tolerance_stalls_with_its_residual(self, diagonal: float) -> None:
        energy = random_grid(8, height=12, width=12, diagonal=diagonal, dtype=torch.float32)
        solution = solve(energy, ConjugateGradients(tolerance=1e-9, check_every=16))
        assert only_status(solution) == Status.STALLED
        assert solution.state.residual is not None
        residual = float(solution.state.residual)
        assert 1e-9 < residual < 1e-5
        assert residual == pytest.approx(float(true_residual(energy, solution.state.x)), rel=1e-3)

    def test_reachable_tolerance_converges(self) -> None:
        energy = random_grid(8, height=12, width=12, dtype=torch.float32)
        solution = solve(energy, ConjugateGradients(tolerance=1e-5))
        assert only_status(solution) == Status.CONVERGED
        assert float(true_residual(energy, solution.x)) <= 1e-5


class TestBound:
    @settings(max_examples=8, deadline=None)
    @given(seed=st.integers(0, 10_000), steps=st.integers(0, 4))
    def test_lies_below_the_minimum_and_meets_it(self, seed: int, steps: int) -> None:
        energy = random_grid(seed, batch=(2,))
        solver = ConjugateGradients(tolerance=1e-13, check_every=3)
        minimum = solve_densely(energy).minimum
        solution = solve(energy, solver, steps=steps)
        assert solution.bound is not None
        assert bool((solution.bound <= minimum).all())
        done = solve(energy, solver)
        assert done.gap is not None
        assert bool((done.gap >= 0).all()) and float(done.gap.max()) < 1e-12

    def test_there_is_none_without_a_floor(self) -> None:
        energy = random_grid(9, diagonal=0.0)
        assert solve(energy, ConjugateGradients()).bound is None


class TestCompiled:
    def test_does_the_same_iterations_as_torch(self) -> None:
        energy = random_grid(10, height=10, width=8, batch=(3,))
        plain = QuadraticEnergy(quadratic=energy.quadratic, space=energy.space)  # no stencil
        solver = ConjugateGradients(tolerance=1e-10, check_every=6)
        for steps in (0, 1, 2, 100):
            compiled = solve(energy, solver, steps=steps).state
            torched = solve(plain, solver, steps=steps).state
            torch.testing.assert_close(compiled.x, torched.x, rtol=1e-7, atol=1e-9)
            assert torch.equal(compiled.recurrence.iterations, torched.recurrence.iterations)

    def test_finds_what_is_not_positive_definite(self) -> None:
        # one weight is wrong in a copy of the stencil: the energy itself would refuse it
        energy = random_grid(11, height=6, width=6)
        stencil = replace(energy.stencil, right=energy.stencil.right - 5.0)
        quadratic = replace(energy.quadratic, matvec=stencil.matvec)
        broken = QuadraticEnergy(
            quadratic=quadratic, space=energy.space, structure={type(stencil): lambda: stencil}
        )
        solution = solve(broken, ConjugateGradients(), throw=False)
        assert only_status(solution) == Status.INDEFINITE

    def test_a_step_writes_nothing_but_its_result(self) -> None:
        energy = random_grid(12)
        solver = ConjugateGradients(tolerance=1e-10, check_every=2)
        with torch.no_grad():
            state = solver.init(energy, None, generator(0))
            kept = state.x.clone(), state.recurrence.remainder.clone()
            first = solver.step(energy, state, Deadline())
            again = solver.step(energy, state, Deadline())
        assert torch.equal(state.x, kept[0]) and torch.equal(state.recurrence.remainder, kept[1])
        assert torch.equal(first.x, again.x)

    def test_a_passed_deadline_stops_within_a_step(self) -> None:
        energy = random_grid(12)
        solver = ConjugateGradients(tolerance=1e-10)
        with torch.no_grad():
            state = solver.init(energy, None, generator(0))
            after = solver.step(energy, state, Deadline(at=0.0))
        assert int(after.recurrence.iterations) == 0


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tolerance": -1.0}, "tolerance must be at least 0, got -1"),
        ({"tolerance": float("nan")}, "tolerance must be at least 0, got nan"),
        ({"check_every": 0}, "check_every must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConjugateGradients(**setting)


def test_going_on_from_a_state_is_not_stopping() -> None:
    energy = random_grid(13, height=8, width=8)
    solver = ConjugateGradients(tolerance=1e-12, check_every=4)
    half = solve(energy, solver, steps=2)
    assert only_status(half) == Status.OUT_OF_STEPS
    assert torch.equal(solve(energy, solver, state=half.state).x, solve(energy, solver).x)
