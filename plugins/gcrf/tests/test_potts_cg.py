"""Conjugate gradients on mean and deviations, against dense solves of the whole system."""

import itertools

import numpy as np
import pytest
import torch
from plugins.gcrf.tests.crfs import normal, per_offset
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solution import SolveError
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate_gcrf import potts_cg
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.sparse import graph_gcrf_potts, grid_gcrf_potts
from groundstate_gcrf.potts_cg import PottsConjugateGradients, solve_compiled, solve_in_torch
from groundstate_gcrf.structure import PottsStructure

EXACT = PottsConjugateGradients(tolerance=1e-13)
EDGES = torch.tensor([[0, 1, 3, 4, 0], [1, 2, 2, 0, 3]])


def grid(*batch: int, neighbours: int = 4, labels: int = 3) -> GaussianCrf:
    weights = per_offset(1, neighbours, 4, 5)
    return grid_gcrf_potts(
        unary=normal(0, *batch, labels, 4, 5), weights=weights, diagonal=12.0, guard="report"
    )


@pytest.mark.parametrize("labels", [1, 2, 5])
@pytest.mark.parametrize("neighbours", [4, 8, 12])
def test_grids_agree_with_a_dense_solve(neighbours: int, labels: int) -> None:
    energy = grid(2, neighbours=neighbours, labels=labels)
    solution = solve(energy, PottsConjugateGradients(tolerance=1e-13, iterations=7))
    torch.testing.assert_close(solution.x, solve_densely(energy).mean.reshape(solution.x.shape))


@pytest.mark.parametrize("kind", ["graph", "low rank"])
def test_what_is_no_grid_agrees_with_a_dense_solve(kind: str) -> None:
    energy: Energy
    if kind == "graph":
        weights = normal(1, 5, size=0.3)
        energy = graph_gcrf_potts(unary=normal(0, 2, 3, 5), edge_index=EDGES, weights=weights)
    else:
        factor = normal(1, 2, 4, 2, 3, size=0.3)
        energy = low_rank_potts_gcrf(unary=normal(0, 2, 3, 2, 3), embeddings=factor, diagonal=3.0)
    x = solve(energy, EXACT).x
    torch.testing.assert_close(x, solve_densely(energy).mean.reshape(x.shape))


def test_compiled_iterations_equal_those_in_torch() -> None:
    energy = grid(2, 3)
    potts, right = view(energy, PottsStructure), energy.linear
    goal = torch.full((2, 3), 1e-12, dtype=torch.float64)
    compiled, _, done = solve_compiled(potts, right, goal, 100, Deadline())
    layout = energy.space.layout
    in_torch, _, counted = solve_in_torch(potts, layout, right, goal, 100, Deadline())
    torch.testing.assert_close(compiled, in_torch, rtol=0, atol=1e-11)
    assert torch.equal(done, counted)


def test_looks_at_the_deadline_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    energy = grid(2, 3)
    at_once = solve(energy, EXACT)
    monkeypatch.setattr(potts_cg, "_WORK", 1)
    assert torch.equal(solve(energy, EXACT).x, at_once.x)


def test_compiled_iterations_end_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(potts_cg, "_WORK", 1)
    energy, looks = grid(), itertools.count()
    solver = PottsConjugateGradients(tolerance=1e-13)
    state = solver.init(energy, None, torch.Generator())
    state = solver.step(energy, state, Deadline(at=3, clock=lambda: float(next(looks))))
    assert int(solver.status(state)) == Status.RUNNING
    assert int(state.iterations) == 3


def test_batches_equal_a_loop_bit_for_bit() -> None:
    energy = grid(3)
    together = solve(energy, EXACT).x
    for item in range(3):
        assert torch.equal(together[item], solve(_alone(energy, item), EXACT).x)


def _alone(energy: GaussianCrf, item: int) -> GaussianCrf:
    return GaussianCrf(matrix=energy.matrix, linear=energy.linear[item])


@pytest.mark.parametrize("factor", [1e-150, 1e120])
def test_scaling_the_right_hand_side_changes_nothing(factor: float) -> None:
    energy = grid()
    scaled = GaussianCrf(matrix=energy.matrix, linear=factor * energy.linear)
    torch.testing.assert_close(solve(scaled, EXACT).x / factor, solve(energy, EXACT).x)


def test_indefinite_matrices_are_told_apart_in_a_batch() -> None:
    weights = [torch.stack([each, 5 * each]) for each in per_offset(1, 4, 4, 5)]
    energy = grid_gcrf_potts(
        unary=normal(0, 2, 3, 4, 5), weights=weights, diagonal=2.0, guard="report"
    )
    for _ in range(8):
        np.full((2, 3, 20), np.nan)  # what memory held before must play no part
        with pytest.raises(SolveError) as error:
            solve(energy, EXACT)
        status = error.value.solution.status
        assert int(status[0]) != Status.INDEFINITE
        assert int(status[1]) == Status.INDEFINITE


def test_zero_and_start_at_the_solution() -> None:
    energy = grid()
    zero = GaussianCrf(matrix=energy.matrix, linear=torch.zeros_like(energy.linear))
    assert torch.equal(solve(zero, EXACT).x, torch.zeros_like(energy.linear))
    found = solve(energy, EXACT)
    again = solve(energy, PottsConjugateGradients(tolerance=1e-12), found.x)
    assert again.steps == 0


def test_float32_states_its_floor() -> None:
    energy = grid_gcrf_potts(
        unary=normal(0, 3, 4, 5).float(),
        weights=[each.float() for each in per_offset(1, 4, 4, 5)],
        diagonal=4.0,
    )
    solution = solve(energy, PottsConjugateGradients(tolerance=1e-12))
    assert solution.status.item() == Status.STALLED
    assert float(_residual(solution.state.residual)) < 1e-6


def _residual(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


def test_implicit_gradients_against_finite_differences() -> None:
    def minimiser(unary: Tensor, right: Tensor, down: Tensor, scale: Tensor) -> Tensor:
        energy = grid_gcrf_potts(unary=unary, weights=[right, down], diagonal=scale, guard="report")
        return solve(energy, EXACT, gradient="implicit").x

    right, down = per_offset(1, 4, 2, 3)
    scale = torch.tensor(4.0, dtype=torch.float64)
    leaves = [each.requires_grad_(True) for each in (normal(0, 3, 2, 3), right, down, scale)]
    assert torch.autograd.gradcheck(minimiser, leaves, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"tolerance": -1.0}, {"iterations": 0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        PottsConjugateGradients(**wrong)  # pyright: ignore[reportArgumentType]


def test_a_step_that_was_cut_short_is_no_stall() -> None:
    energy = low_rank_potts_gcrf(
        unary=normal(0, 3, 4, 5), embeddings=normal(1, 2, 4, 5), diagonal=100.0
    )
    solver = PottsConjugateGradients()
    state = solver.init(energy, None, torch.Generator())
    state = solver.step(energy, state, Deadline(at=0.0))
    assert int(solver.status(state)) == Status.RUNNING
    assert int(solver.status(solver.step(energy, state, Deadline()))) == Status.CONVERGED
