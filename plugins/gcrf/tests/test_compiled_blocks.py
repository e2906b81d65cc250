"""Blocks on edges: compiled iterations and products are those of torch, problem by problem."""

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, normal, per_offset
from plugins.gcrf.tests.systems import generator
from torch import Tensor

from groundstate.energy import QuadraticEnergy
from groundstate.move import to
from groundstate.solution import Solution
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.status import Status
from groundstate_gcrf.conjugate_gradients import CGState, ConjugateGradients
from groundstate_gcrf.energies.label_grid import GridMatrix
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.sparse import graph_gcrf, grid_gcrf_general
from groundstate_gcrf.preconditioners.making import Name

EDGES = torch.tensor([[0, 1, 3, 4, 0], [1, 2, 2, 0, 3]])
TYPES = (torch.float32, torch.float64)


def grid(seed: int, *, own: tuple[int, ...], batch: tuple[int, ...], labels: int = 5) -> Any:
    """Its blocks have the batch `own`, its scores the batch `batch`."""
    terms = [
        normal(seed + i, *own, *shape, labels, labels, size=0.5)
        for i, shape in enumerate([(4, 4), (3, 5)])
    ]
    unary = normal(seed + 9, *batch, labels, 4, 5)
    return grid_gcrf_general(unary=unary, terms=terms, diagonal=8.0, guard="report")


def in_torch(energy: GaussianCrf) -> QuadraticEnergy:
    """The same without the view that compiled code reads."""
    return QuadraticEnergy(quadratic=energy.quadratic, space=energy.space)


def statuses(solution: Solution[CGState]) -> list[Status]:
    return [Status(int(each)) for each in solution.status.flatten()]


def no_label_alone() -> GaussianCrf:
    scale = torch.tensor([8.0, 9.0, 30.0], dtype=torch.float64)
    terms = normal(2, 3, 5, 9, 9, size=0.5)
    unary = normal(1, 2, 3, 9, 5)
    return graph_gcrf(unary=unary, edge_index=EDGES, terms=terms, diagonal=scale)


ENERGIES = {
    "one": grid(0, own=(), batch=()),
    "own blocks": grid(0, own=(3,), batch=(3,), labels=3),
    "shared blocks": grid(0, own=(), batch=(4,), labels=8),
    "some shared": grid(0, own=(3,), batch=(2, 3)),
    "one label": grid(0, own=(), batch=(2,), labels=1),
    "many labels": grid(0, own=(), batch=(2,), labels=13),
    "12 neighbours": grid_gcrf_general(
        unary=normal(3, 2, 2, 4, 5), terms=per_offset(1, 12, 4, 5, 2, 2), guard="report"
    ),
    "graph": no_label_alone(),
}


class TestIterations:
    @pytest.mark.parametrize("preconditioner", ["none", "jacobi"])
    @pytest.mark.parametrize("name", list(ENERGIES))
    def test_the_same_as_in_torch(self, name: str, preconditioner: Name) -> None:
        energy = ENERGIES[name]
        solver = ConjugateGradients(tolerance=1e-10, check_every=3, preconditioner=preconditioner)
        for steps in (0, 1, 2, 100):
            compiled = solve(energy, solver, steps=steps).state
            torched = solve(in_torch(energy), solver, steps=steps).state
            torch.testing.assert_close(compiled.x, torched.x, rtol=1e-8, atol=1e-10)
            assert torch.equal(compiled.recurrence.iterations, torched.recurrence.iterations)
            assert torch.equal(compiled.recurrence.outcome, torched.recurrence.outcome)
            torch.testing.assert_close(
                compiled.recurrence.direction, torched.recurrence.direction, rtol=1e-6, atol=1e-9
            )

    @pytest.mark.parametrize("name", list(ENERGIES))
    def test_single_precision_converges_as_in_torch(self, name: str) -> None:
        energy = to(ENERGIES[name], dtype=torch.float32)
        solver = ConjugateGradients(tolerance=1e-5)
        compiled, torched = solve(energy, solver), solve(in_torch(energy), solver)
        assert statuses(compiled) == statuses(torched)
        torch.testing.assert_close(compiled.x, torched.x, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("dtype", TYPES)
    def test_batched_equals_looped_bit_for_bit(self, dtype: torch.dtype) -> None:
        energy = to(grid(0, own=(), batch=(4,), labels=11), dtype=dtype)
        solver = ConjugateGradients(tolerance=1e-5, check_every=4)
        together = solve(energy, solver)
        for k in range(4):
            alone = solve(replace(energy, linear=energy.linear[k]), solver)
            assert torch.equal(together.x[k], alone.x)

    def test_a_step_writes_nothing_but_its_result(self) -> None:
        energy = grid(0, own=(), batch=(2,))
        solver = ConjugateGradients(tolerance=1e-10, check_every=2)
        with torch.no_grad():
            state = solver.step(energy, solver.init(energy, None, generator(0)), Deadline())
            parts = (state.x, state.recurrence.remainder, state.recurrence.direction)
            kept = [each.clone() for each in parts]
            first = solver.step(energy, state, Deadline())
            again = solver.step(energy, state, Deadline())
        assert all(torch.equal(*pair) for pair in zip(parts, kept, strict=True))
        assert torch.equal(first.x, again.x)


class TestEnds:
    def both(self, energy: GaussianCrf) -> tuple[Solution[CGState], Solution[CGState]]:
        solver = ConjugateGradients(tolerance=1e-9, check_every=4)
        compiled = solve(energy, solver, throw=False)
        return compiled, solve(in_torch(energy), solver, throw=False)

    def test_each_problem_has_its_own(self) -> None:
        energy = grid(0, own=(3,), batch=(3,))
        terms = [each.clone() for each in energy.matrix.terms]
        terms[0][0] *= 100
        terms[1][2, 1, 1, 2, 3] = float("nan")
        spoilt = replace(energy, matrix=replace(energy.matrix, terms=tuple(terms)))
        compiled, torched = self.both(spoilt)
        assert statuses(compiled) == [Status.INDEFINITE, Status.CONVERGED, Status.DIVERGED]
        assert statuses(torched) == statuses(compiled)
        clean, _ = self.both(energy)
        assert torch.equal(compiled.x[1], clean.x[1])

    def test_nothing_to_do_and_something_that_is_no_number(self) -> None:
        energy = grid(0, own=(), batch=(3,))
        linear = energy.linear.clone()
        linear[0] = 0
        linear[2, 0, 0, 0] = float("nan")
        compiled, torched = self.both(replace(energy, linear=linear))
        assert statuses(compiled)[:2] == [Status.CONVERGED] * 2
        assert statuses(torched) == statuses(compiled)
        assert bool((compiled.x[0] == 0).all())
        torch.testing.assert_close(compiled.x[1], torched.x[1])

    @pytest.mark.parametrize("size", [1e-30, 1e17])
    def test_of_any_size(self, size: float) -> None:
        energy = grid(0, own=(), batch=(2,))
        small = replace(energy, linear=torch.stack([energy.linear[0], size * energy.linear[1]]))
        compiled, torched = self.both(to(small, dtype=torch.float32))
        assert torch.equal(compiled.state.recurrence.outcome, torched.state.recurrence.outcome)

    def test_restarts_after_a_breakdown(self) -> None:
        energy = grid(0, own=(), batch=())
        solver = ConjugateGradients(tolerance=1e-10, check_every=4)
        with torch.no_grad():
            state = solver.step(energy, solver.init(energy, None, generator(0)), Deadline())
            lost = replace(state.recurrence, direction=state.recurrence.direction * float("nan"))
            state = solver.step(energy, replace(state, recurrence=lost), Deadline())
            assert int(state.recurrence.iterations) == 4 and float(state.recurrence.beta) == 0.0
            while int(solver.status(state)) == Status.RUNNING:
                state = solver.step(energy, state, Deadline())
        assert int(solver.status(state)) == Status.CONVERGED

    def test_gradients_through_the_steps_are_those_of_torch(self) -> None:
        energy = grid(0, own=(), batch=())
        solver = ConjugateGradients(tolerance=1e-12)
        found: list[Tensor] = []
        for plain in (False, True):
            linear = energy.linear.clone().requires_grad_(True)
            learned = replace(energy, linear=linear)
            x = solve(
                in_torch(learned) if plain else learned, solver, gradient="unrolled", steps=1
            ).x
            found += torch.autograd.grad((x * normal(5, *x.shape)).sum(), [linear])
        torch.testing.assert_close(*found)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("labels", [*range(1, 18), 21, 40])
def test_products_for_any_number_of_labels(labels: int, dtype: torch.dtype) -> None:
    energy = to(grid(0, own=(), batch=(), labels=labels), dtype=dtype)
    x = normal(3, 2, labels, 4, 5).to(dtype)
    exact = (x.double().flatten(1) @ dense(to(energy, dtype=torch.float64))).reshape(x.shape)
    found = energy.matrix.matvec(x)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(found.double(), exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("labels", [3, 9, 21])
def test_what_is_no_number_stays_in_its_row_and_column(labels: int) -> None:
    matrix = cast(GridMatrix, grid(0, own=(), batch=(), labels=labels).matrix)
    terms = [each.clone() for each in matrix.terms]
    terms[0][1, 1, 1, 2] = float("nan")
    found = replace(matrix, terms=tuple(terms)).matvec(normal(3, labels, 4, 5)).isnan()
    expected = torch.zeros(labels, 4, 5, dtype=torch.bool)
    expected[1, 1, 1] = expected[2, 1, 2] = True
    assert torch.equal(found, expected)
