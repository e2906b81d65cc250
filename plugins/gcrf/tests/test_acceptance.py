"""What a linear solver that can be trusted does, one class per demand, held by every solver here.

(a) each column converges by itself, (b) the residual told is the recomputed one, (c) A → cA and
b → db change only the units, (d) a matrix that is not positive definite is found out, (e) zero,
tiny and non-finite right-hand sides, (f) the backward pass is one more solve, and right, (g) a warm
start is never worse, (h) batched or one by one is the same, (i) float32 states its floor.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from plugins.gcrf.tests.systems import generator, random_grid, spd
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.move import to
from groundstate.solver import Deadline, Solver
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.testing.problems.quadratic import DenseQuadratic, quadratic
from groundstate.views import Quadratic, SparseMatrix

N = 16
REGISTRY = gs.load()
ITERATIVE: dict[str, dict[str, Any]] = {
    "cg": {"check_every": 3},
    "gmres": {"restart": 4},
    "jacobi": {"check_every": 3, "relaxation": 0.8},
    "gauss-seidel": {"check_every": 3},
    "gaussian-mean-field": {"check_every": 3},
}
DIRECT = ("cholesky", "sparse-direct", "auto-quadratic")
every_solver = pytest.mark.parametrize("name", [*ITERATIVE, *DIRECT])
every_iteration = pytest.mark.parametrize("name", list(ITERATIVE))


def solver(name: str, tolerance: float = 1e-10) -> Solver[Any]:
    settings = ITERATIVE.get(name, {})
    return REGISTRY.build(f"solver/{name}", tolerance=tolerance, **settings)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def dominant(seed: int = 0) -> Tensor:
    """Diagonally dominant, so that every method converges, with rows of very different size."""
    off = spd(N, seed)
    off = off - off.diagonal().diag()
    own = 1.3 * off.abs().sum(-1) * torch.logspace(0, 2, N, dtype=torch.float64)
    return off + own.diag()


def system(*batch: int, seed: int = 0) -> DenseQuadratic:
    return quadratic(dominant(seed), normal(*batch, N, seed=seed + 1))


def residual(energy: Energy, x: Tensor) -> Tensor:
    form, dot = view(energy, Quadratic), energy.space.layout.dot
    left = form.linear - form.matvec(x)
    return (dot(left, left) / dot(form.linear, form.linear)).sqrt()


def run(energy: Energy, solver: Solver[Any], x0: Tensor | None = None) -> list[Any]:
    """Every state of the solver alone: the core squares numbers that may be too large for that."""
    with torch.no_grad():
        states = [solver.init(energy, x0, generator(0))]
        while bool((solver.status(states[-1]) == Status.RUNNING).any()):
            assert len(states) < 2000
            states.append(solver.step(energy, states[-1], Deadline()))
    return states


def iterations(state: Any) -> Tensor:
    """How many each problem took; conjugate gradients keep them with their recurrence."""
    return state.recurrence.iterations if "recurrence" in vars(state) else state.iterations


def test_no_solver_is_left_out() -> None:
    structured = {"woodbury", "potts-split", "video-direct"}  # test_structured_direct.py
    general = {
        record.component.name
        for record in REGISTRY.components()
        if record.plugin == "gcrf"
        and record.component.kind == "solver"
        and set(record.component.needs) <= {"Quadratic", "SparseMatrix"}
    }
    assert general == {*ITERATIVE, *DIRECT}, structured


@every_iteration
class TestColumnsConvergeByThemselves:
    """(a)"""

    def test_many_easy_columns_do_not_hide_a_hard_one(self, name: str) -> None:
        energy = system(50)
        x0 = solve_densely(energy).minimiser.clone()
        x0[49] = normal(N, seed=5)
        last = run(energy, solver(name, 1e-9), x0)[-1]
        assert bool((residual(energy, last.x) <= 1e-9).all())
        assert bool((iterations(last)[:49] == 0).all()) and int(iterations(last)[49]) > 3

    def test_a_finished_column_keeps_every_bit(self, name: str) -> None:
        energy, made = system(4), solver(name)
        states = run(energy, made, solve_densely(energy).minimiser * torch.tensor([[1, 9, 1, 5]]).T)
        for before, after in pairwise(states):
            done = made.status(before) == Status.CONVERGED
            assert torch.equal(before.x[done], after.x[done])


@every_solver
def test_the_residual_told_is_the_recomputed_one(name: str) -> None:
    """(b)"""
    energy = system(3)
    for state in run(energy, solver(name)):
        told, true = state.residual, residual(energy, state.x)
        torch.testing.assert_close(told, true, rtol=1e-6, atol=1e-15)


@every_solver
@pytest.mark.parametrize("c", [2.0**-40, 1.0, 1e12])
@pytest.mark.parametrize("d", [1e-200, 1e-11, 1e150])
def test_units_change_nothing(name: str, c: float, d: float) -> None:
    """(c)"""
    matrix, linear, made = dominant(), normal(N), solver(name)
    plain = run(quadratic(matrix, linear), made)[-1]
    scaled = run(quadratic(c * matrix, d * linear), made)[-1]
    assert torch.equal(made.status(plain), made.status(scaled))
    torch.testing.assert_close(scaled.x * (c / d), plain.x, rtol=1e-8, atol=1e-10)
    if name in ITERATIVE:
        assert abs(int(iterations(plain)) - int(iterations(scaled))) <= 1


@every_solver
class TestNotPositiveDefinite:
    """(d)"""

    def test_is_found_out_for_that_problem_alone(self, name: str) -> None:
        matrix = dominant().expand(3, N, N).clone()
        matrix[1, 0, 1] = matrix[1, 1, 0] = 3 * matrix[1, :2, :2].diagonal().max()
        energy, made = quadratic(matrix, normal(3, N)), solver(name)
        status = solve(energy, made, throw=False).status
        fine = [Status.CONVERGED, Status.OPTIMAL]
        assert int(status[0]) in fine and int(status[2]) in fine
        # sweeps that move all variables at once leave their range before the curvature shows
        lost = [Status.INDEFINITE, *([Status.DIVERGED] if name == "jacobi" else [])]
        assert int(status[1]) in lost

    def test_a_negative_diagonal_is_proof_before_the_first_step(self, name: str) -> None:
        made = solver(name)
        state = made.init(quadratic(-dominant(), normal(N)), None, generator(0))
        assert int(made.status(state)) == Status.INDEFINITE


@every_solver
def test_zero_tiny_and_non_finite_sides(name: str) -> None:
    """(e)"""
    linear = normal(5, N)
    linear[0], linear[1] = 0, 1e-300 * linear[1]
    linear[2, 3], linear[3, 0] = float("nan"), float("inf")
    energy, made = quadratic(dominant(), linear), solver(name)
    state = run(energy, made)[-1]
    status = made.status(state)
    fine = (status == Status.CONVERGED) | (status == Status.OPTIMAL)
    assert fine.tolist() == [True, True, False, False, True]
    assert status[2:4].tolist() == [Status.DIVERGED] * 2
    assert not bool(state.x[0].any()) and bool(state.x.isfinite().all())
    exact = solve_densely(quadratic(dominant(), 1e300 * linear[1])).minimiser
    torch.testing.assert_close(1e300 * state.x[1], exact, rtol=1e-7, atol=1e-9)


@every_solver
class TestBackward:
    """(f)"""

    def test_is_right_in_matrix_and_side(self, name: str) -> None:
        base, made = 0.2 * spd(4, 0), solver(name, 1e-13)
        ridge = torch.diag(torch.tensor([4.0, 5.0, 6.0, 7.0], dtype=torch.float64))

        def solved(half: Tensor, linear: Tensor) -> Tensor:
            return solve(quadratic(half + half.mT + ridge, linear), made, gradient="implicit").x

        given = (base.requires_grad_(), normal(2, 4).requires_grad_())
        assert torch.autograd.gradcheck(solved, given, atol=1e-7, fast_mode=True)

    def test_is_one_more_solve(self, name: str) -> None:
        calls = [0]
        base = system()
        linear = base.linear.clone().requires_grad_()
        form = view(replace(base, linear=linear), Quadratic)

        def counted(x: Tensor) -> Tensor:
            calls[0] += 1
            return form.matvec(x)

        sparse = view(base, SparseMatrix)
        energy = QuadraticEnergy(
            quadratic=replace(form, matvec=counted),
            space=base.space,
            structure={SparseMatrix: lambda: sparse},
        )
        x = solve(energy, solver(name), gradient="implicit").x
        forward, calls[0] = calls[0], 0
        x.sum().backward()
        assert 0 < calls[0] <= 1.5 * forward
        expected = solve_densely(quadratic(dominant(), torch.ones(N, dtype=torch.float64)))
        assert linear.grad is not None
        torch.testing.assert_close(linear.grad, expected.minimiser, rtol=1e-7, atol=1e-9)


@every_iteration
class TestWarmStart:
    """(g)"""

    def test_the_solution_needs_no_iteration(self, name: str) -> None:
        energy = system(2)
        x0 = run(energy, solver(name, 1e-12))[-1].x
        last = run(energy, solver(name, 1e-11), x0)[-1]
        assert not bool(iterations(last).any()) and torch.equal(last.x, x0)

    @pytest.mark.parametrize("distance", [1e-9, 1e-3, 1e3])
    def test_the_end_is_never_worse_than_the_start(self, name: str, distance: float) -> None:
        energy = system(3)
        x0 = solve_densely(energy).minimiser + distance * normal(3, N, seed=9)
        x = run(energy, solver(name, 0.0), x0)[-1].x
        assert bool((residual(energy, x) <= residual(energy, x0)).all())

    def test_near_takes_no_longer_than_far(self, name: str) -> None:
        energy = system()
        near = solve_densely(energy).minimiser + 1e-6 * normal(N, seed=9)
        warm, cold = (run(energy, solver(name), x0)[-1] for x0 in (near, None))
        assert int(iterations(warm)) <= int(iterations(cold))


@every_solver
@pytest.mark.parametrize("kind", ["sides of one matrix", "a matrix each", "a grid"])
def test_batched_or_one_by_one_is_the_same(name: str, kind: str) -> None:
    """(h)"""
    made = solver(name)
    if kind == "a grid":
        together: Energy = random_grid(1, batch=(3,), diagonal=2.0)
        grid = random_grid(1, batch=(3,), diagonal=2.0)
        parts: list[Energy] = [replace(grid, values=each) for each in grid.values]
    else:
        shared = kind == "sides of one matrix"
        matrices = torch.stack([dominant(0 if shared else seed) for seed in range(3)])
        linear = normal(3, N)
        together = quadratic(matrices[0] if shared else matrices, linear)
        parts = [quadratic(a, b) for a, b in zip(matrices, linear, strict=True)]
    whole = run(together, made)[-1]
    for index, part in enumerate(parts):
        alone = run(part, made)[-1]
        torch.testing.assert_close(whole.x[index], alone.x, rtol=1e-9, atol=1e-11)
        assert int(made.status(whole)[index]) == int(made.status(alone))
        if name in ITERATIVE:
            assert abs(int(iterations(whole)[index]) - int(iterations(alone))) <= 1


@every_solver
class TestShortTypes:
    """(i)"""

    def test_float32_states_its_floor(self, name: str) -> None:
        energy = to(random_grid(2, batch=(2,)), dtype=torch.float32)
        solution = solve(energy, solver(name, 1e-12), steps=3000)
        assert solution.status.tolist() == [Status.STALLED] * 2
        told = solution.state.residual
        assert 1e-12 < float(told.max()) < 1e-5
        true = residual(to(energy, dtype=torch.float64), solution.x.double())
        assert bool((true <= 2 * told + 1e-6).all())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_shorter_ones_are_refused(self, name: str, dtype: torch.dtype) -> None:
        with pytest.raises(TypeError, match="solved in float32 or float64"):
            solve(to(random_grid(2), dtype=dtype), solver(name))


class TestBackwardMemory:
    """What the backward pass needs is kept once, not once per iteration."""

    @staticmethod
    def kept(forward: Callable[[], Tensor]) -> int:
        """Bytes that autograd holds on to after the forward pass."""
        seen: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        def unpack(tensor: Tensor) -> Tensor:
            return tensor

        hooks = cast(Any, torch.autograd.graph.saved_tensors_hooks)
        with hooks(pack, unpack):
            x = forward()
        assert x.requires_grad
        return sum(seen.values())

    def measured(self, gradient: Any, tolerance: float) -> tuple[int, int]:
        """Iterations, and bytes kept."""
        energy = random_grid(4, height=24, width=24, diagonal=1e-3)
        energy = replace(energy, right=energy.right.clone().requires_grad_())
        found: list[int] = []

        def forward() -> Tensor:
            made = solver("cg", tolerance)
            solution = solve(energy, made, steps=2000, gradient=gradient)
            found.append(int(iterations(solution.state)))
            return solution.x

        kept = self.kept(forward)
        return found[0], kept

    def test_does_not_grow_with_the_iterations(self) -> None:
        few, little = self.measured("implicit", 1e-1)
        many, same = self.measured("implicit", 1e-12)
        assert many > 5 * few and same == little > 0

    def test_unrolled_it_grows_as_they_do(self) -> None:
        few, little = self.measured("unrolled", 1e-1)
        many, much = self.measured("unrolled", 1e-12)
        assert many > 5 * few and much > 4 * little
        assert much > 50 * self.measured("implicit", 1e-12)[1]
