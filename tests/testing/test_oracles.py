"""Oracles against values worked out by hand."""

import math

import pytest
import torch

from groundstate.energy import view
from groundstate.testing.oracles import (
    dense_matrix,
    directional_difference,
    enumerate_labellings,
    labellings,
    solve_densely,
)
from groundstate.testing.problems.choosing import everything, fitting
from groundstate.testing.problems.quadratic import quadratic
from groundstate.testing.tables import table_energy
from groundstate.views import Quadratic


def test_labellings_count_up() -> None:
    assert labellings(torch.tensor([2, 3])).tolist() == [
        [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2],
    ]  # fmt: skip


def test_too_many_labellings_are_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        labellings(torch.full((21,), 2))


def test_enumeration_of_two_coupled_spins() -> None:
    coupling = torch.tensor([[0.0, 1.0], [1.0, 0.0]], dtype=torch.float64)
    field = torch.tensor([0.0, -0.5], dtype=torch.float64)
    found = enumerate_labellings(
        table_energy(torch.tensor([2, 2]), [((0, 1), coupling), ((0,), field)])
    )
    weights = [1.0, math.exp(-1.0), math.exp(-0.5), math.exp(0.5)]
    assert float(found.minimum) == -0.5
    assert found.minimiser.tolist() == [1, 1]
    assert float(found.log_partition) == pytest.approx(math.log(sum(weights)))
    assert float(found.marginals[1]) == pytest.approx((weights[2] + weights[3]) / sum(weights))


def test_gaussian_in_closed_form() -> None:
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    energy = quadratic(matrix, torch.tensor([1.0, 0.0], dtype=torch.float64))
    found = solve_densely(energy)
    assert found.minimiser.tolist() == pytest.approx([1 / 1.75, -0.5 / 1.75])
    assert float(found.minimum) == pytest.approx(0.5 - 0.5 / 1.75)
    torch.testing.assert_close(dense_matrix(view(energy, Quadratic), energy.space), matrix)
    normaliser = math.log(2 * math.pi) - 0.5 * math.log(1.75)
    assert float(found.log_partition) == pytest.approx(normaliser - float(found.minimum))


def test_directional_difference_of_a_cube() -> None:
    x = torch.tensor(2.0, dtype=torch.float64)
    slope = directional_difference(lambda y: y**3, x, torch.ones_like(x))
    assert float(slope) == pytest.approx(12.0, rel=1e-8)


def test_problems_have_unique_names_and_true_minima() -> None:
    problems = everything()
    assert len({problem.name for problem in problems}) == len(problems)
    for problem in problems:
        if problem.solvable and not problem.large:
            x = problem.energy.space.sample(torch.Generator().manual_seed(0), (32,))
            assert bool((problem.energy(x) >= problem.minimum - 1e-4).all()), problem.name


def test_parts_add_up_to_the_whole() -> None:
    for problem in everything():
        if problem.parts:
            x = problem.energy.space.sample(torch.Generator().manual_seed(1))
            apart = [part(y) for part, y in zip(problem.parts, problem.split(x), strict=True)]
            torch.testing.assert_close(problem.energy(x), torch.stack(apart))


def test_needs_select_problems_by_view() -> None:
    assert {p.name for p in fitting(["SparseMatrix"])} >= {"system", "batch of systems"}
    assert all(p.discrete for p in fitting(["FactorGraph"]))
    assert fitting(["NoSuchView"]) == []
