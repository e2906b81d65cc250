"""Dual decomposition: its parts, its bound and its labellings, against enumeration."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
import torch
from plugins.messages.tests.pairwise_problems import pairwise
from plugins.mrf.tests.random_problems import every_labelling, random_problem, random_tree

import groundstate as gs
from groundstate.energy import view
from groundstate.factors import FactorGraph
from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_messages import forests as kernels
from groundstate_messages.dual_decomposition import DualDecomposition
from groundstate_messages.forests import forests
from groundstate_messages.ordered import Ordered, Whole
from groundstate_messages.parts import total
from groundstate_messages.trws import TRWS
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph
from groundstate_mrf.flat import flat_problems
from groundstate_mrf.problem import open_problem

INFINITY = float("inf")
lowest_of_forest = cast(Callable[..., tuple[float, float]], kernels.lowest_of_forest)


def held(energy: FactorGraphEnergy, solver: DualDecomposition, steps: int = 50) -> int:
    """Solve, hold bound and energy to the minimum, and give the status."""
    _, energies = every_labelling(energy)
    least = float(energies.min())
    solution = gs.solve(energy, solver, steps=steps, throw=False)
    status = int(solution.status)
    if least == INFINITY:
        assert status != Status.OPTIMAL
        return status
    assert solution.bound is not None
    assert float(solution.bound) <= least + 1e-9 * (1 + abs(least))
    assert float(solution.energy) >= least - 1e-9 * (1 + abs(least))
    assert status != Status.INFEASIBLE
    if status == Status.OPTIMAL:
        assert float(solution.energy) == pytest.approx(least, abs=1e-8)
    return status


@pytest.mark.parametrize("seed", range(24))
def test_pairwise_problems(seed: int) -> None:
    held(pairwise(seed, infinite=0.1 * (seed % 2), strength=0.5 + seed % 3), DualDecomposition())


@pytest.mark.parametrize("seed", range(24))
def test_factors_of_higher_order(seed: int) -> None:
    rule = "polyak" if seed % 2 else "decaying"
    energy = random_problem(seed, infinite=0.1 * (seed % 3), order=4)
    held(energy, DualDecomposition(rule=rule))


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 6, 7])
def test_bound_of_forests_comes_to_that_of_trws(seed: int) -> None:
    """Both maximise the same dual; that of TRW-S may stop short of it."""
    energy = pairwise(seed, strength=0.7)
    slow = gs.solve(energy, DualDecomposition(), steps=150, throw=False)
    fast = gs.solve(energy, TRWS(), steps=150, throw=False)
    assert slow.bound is not None and fast.bound is not None
    assert float(slow.bound) >= float(fast.bound) - 0.02 * (1 + abs(float(fast.bound)))


@pytest.mark.parametrize("seed", range(12))
def test_trees_of_pairs_are_one_part_and_exact_at_once(seed: int) -> None:
    energy = pairwise(4 * seed, infinite=0.1)  # trees
    _, energies = every_labelling(energy)
    solution = gs.solve(energy, DualDecomposition(), steps=1, throw=False)
    if float(energies.min()) == INFINITY:
        assert int(solution.status) == Status.INFEASIBLE
    else:
        assert int(solution.status) == Status.OPTIMAL


@pytest.mark.parametrize("seed", range(8))
def test_trees_with_a_wide_factor_end_optimal(seed: int) -> None:
    assert held(random_tree(seed), DualDecomposition(), steps=300) == Status.OPTIMAL


@pytest.mark.parametrize("seed", range(20))
def test_lowest_of_forest_and_every_edge_in_one(seed: int) -> None:
    energy = pairwise(seed, infinite=0.1)
    flat = flat_problems(view(energy, FactorGraph), ())[0]
    found = forests(flat)
    assert sum(len(each.problem.arrays.weights) for each in found) == len(flat.edges)
    labels = np.zeros(len(flat.counts), dtype=np.int64)
    for each in found:
        arrays = each.problem.arrays
        assert each.problem.forest
        least, noise = lowest_of_forest(arrays, arrays.costs, labels)
        tables = [
            (tuple(int(v) for v in flat.edges[e]), torch.from_numpy(flat.table(int(e)).copy()))
            for e in range(len(flat.edges))
            if any((flat.edges[e] == pair).all() for pair in _pairs(each.problem))
        ]
        unary = [
            ((i,), torch.from_numpy(flat.costs[flat.offsets[i] : flat.offsets[i + 1]].copy()))
            for i in range(len(flat.counts))
        ]
        part = factor_graph(energy.counts, [*unary, *tables])
        _, energies = every_labelling(part)
        assert least == pytest.approx(float(energies.min()))
        if least < INFINITY:
            assert float(part(torch.from_numpy(labels))) == pytest.approx(least)
            assert 0 <= noise < 1e-10


def _pairs(problem: Ordered) -> list[Whole]:
    arrays = problem.arrays
    owner = np.repeat(np.arange(len(arrays.order)), np.diff(arrays.begin))
    rows = np.stack([owner, arrays.other], -1)[arrays.first]
    return list(rows)


@pytest.mark.parametrize("rule", ["polyak", "decaying"])
def test_costs_of_copies_always_add_up(rule: str) -> None:
    energy = random_problem(3)
    problem = open_problem(energy)
    solver = DualDecomposition(rule=rule)  # type: ignore
    state = solver.init(energy, None, torch.Generator().manual_seed(0))
    for _ in range(30):
        added = total(problem, state.parts, state.costs)
        copied = state.parts.copies > 0
        torch.testing.assert_close(added[copied], state.parts.costs[copied], rtol=1e-12, atol=1e-12)
        state = solver.step(energy, state, Deadline())


def test_bound_rises_to_the_minimum_with_a_wide_cardinality_factor() -> None:
    rng = torch.Generator().manual_seed(0)
    counts = torch.full((60,), 2)
    values = (torch.arange(61, dtype=torch.float64) - 20).abs()
    unary = [((i,), torch.randn(2, generator=rng, dtype=torch.float64)) for i in range(60)]
    energy = factor_graph(counts, unary, cardinality(counts, [list(range(60))], [values]))
    assert int(gs.solve(energy, DualDecomposition(), steps=20).status) == Status.OPTIMAL
    chain = [((i, i + 1), 0.3 * (1 - torch.eye(2, dtype=torch.float64))) for i in range(59)]
    both = factor_graph(counts, [*unary, *chain], cardinality(counts, [list(range(60))], [values]))
    solution = gs.solve(both, DualDecomposition(), steps=150, throw=False)
    assert solution.bound is not None
    assert float(solution.energy - solution.bound) < 0.02 * abs(float(solution.energy))


def test_same_generator_same_run_and_unions_apart() -> None:
    energies = [random_problem(seed) for seed in (1, 2)]
    together = gs.solve(gs.union(energies), DualDecomposition(), steps=60, throw=False)
    for k, each in enumerate(energies):
        alone = gs.solve(each, DualDecomposition(), steps=60, throw=False)
        assert float(together.energy[k]) == pytest.approx(float(alone.energy), abs=0.3)
        assert alone.bound is not None and together.bound is not None
        assert float(together.bound[k]) == pytest.approx(float(alone.bound), abs=0.3)
