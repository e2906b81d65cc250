"""Linear and integer programs against enumeration and dynamic programming."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.exact.tests.oracle import answer, complete, counting, grid, problems
from plugins.mrf.tests.random_problems import random_tree

import groundstate as gs
from groundstate.energy import view
from groundstate.errors import InputError
from groundstate.factors import FactorGraph
from groundstate_exact.blocks import blocks_of
from groundstate_exact.ilp import ILP
from groundstate_exact.lp import LP
from groundstate_exact.parts import energy_of, parts_of
from groundstate_exact.polytope import polytope_of
from groundstate_exact.tree_dp import TreeDP
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph
from groundstate_mrf.uai import UAIReader

OPTIMAL, INFEASIBLE = int(gs.Status.OPTIMAL), int(gs.Status.INFEASIBLE)


def same(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def test_bounds_and_energies_lie_on_their_sides_of_enumeration() -> None:
    tight = 0
    for energy in problems():
        true = answer(energy).minimum
        relaxed = gs.solve(energy, LP(), throw=False)
        assert relaxed.bound is not None
        slack = 1e-9 * (1 + torch.where(true.isfinite(), true.abs(), 0.0))
        assert bool((relaxed.bound <= true + slack).all())
        assert bool((relaxed.energy >= true - slack).all())
        tight += int((relaxed.status == OPTIMAL).all())
        whole = gs.solve(energy, ILP(), throw=False)
        same(whole.energy, true)
        assert torch.equal(whole.status, torch.where(true.isfinite(), OPTIMAL, INFEASIBLE))
        assert whole.bound is not None
        feasible = true.isfinite()
        assert bool((whole.bound >= true - 1e4 * slack)[feasible].all())
        assert bool((whole.bound <= true + slack).all())
    assert tight > 20


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([0.0, 0.3]))
@settings(max_examples=30, deadline=None)
def test_the_relaxation_is_exact_on_trees(seed: int, variables: int, hard: float) -> None:
    energy = random_tree(seed, variables, hard)
    relaxed = gs.solve(energy, LP(), throw=False)
    tree = gs.solve(energy, TreeDP(), throw=False)
    assert relaxed.bound is not None and tree.bound is not None
    same(relaxed.energy, tree.energy)
    same(relaxed.bound, tree.bound)
    assert torch.equal(relaxed.status, tree.status)


def test_any_prices_give_a_bound() -> None:
    """The bound does not rest on the linear program having been solved well."""
    rng = np.random.default_rng(0)
    for energy in (complete(0), grid(1, infinite=0.2), counting(2)):
        part = next(iter(parts_of(blocks_of(view(energy, FactorGraph), (), 1 << 20))))
        polytope = polytope_of(part)
        for scale in (0.0, 0.1, 1.0, 10.0):
            prices = scale * rng.standard_normal(len(polytope.right))
            assert polytope.bound(prices) <= float(answer(energy).minimum)


def test_energy_of_a_part_is_the_energy() -> None:
    for energy in problems()[:12]:
        lead = energy.space.layout.batch_shape
        graph = view(energy, FactorGraph)
        rng = torch.Generator().manual_seed(0)
        x = energy.space.sample(rng)
        for number, part in enumerate(parts_of(blocks_of(graph, lead, 1 << 20))):
            own = x.reshape(-1, len(graph.counts))[number]
            if len(part.counts) == len(own):
                expected = float(energy(x).flatten()[number])
                found = energy_of(part, own.numpy())
                assert found == expected or abs(found - expected) < 1e-9


def test_union_and_samples() -> None:
    parts = [counting(0), grid(1), complete(2)]
    true = torch.stack([answer(part).minimum for part in parts])
    solution = gs.solve(gs.union(parts), ILP())
    same(solution.energy, true)
    x0 = torch.zeros((2, len(parts[2].counts)), dtype=torch.int64)
    same(gs.solve(parts[2], ILP(), x0).energy, true[2].expand(2))
    relaxed = gs.solve(gs.union(parts), LP(), throw=False)
    assert relaxed.bound is not None
    assert bool((relaxed.bound <= true + 1e-9).all())


def test_whole_number_energies_get_a_whole_bound() -> None:
    rng = torch.Generator().manual_seed(0)
    pairs = [(i, j) for i in range(7) for j in range(i)]
    factors = [(p, torch.randint(-9, 9, (2, 2), generator=rng).double()) for p in pairs]
    energy = factor_graph([2] * 7, factors)
    solution = gs.solve(energy, ILP())
    assert solution.bound is not None and int(solution.status) == OPTIMAL
    assert float(solution.bound) == float(solution.energy) == float(answer(energy).minimum)


def _parity() -> FactorGraphEnergy:
    """Shares of one half everywhere: labels must differ along odd cycles but for one edge each."""
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    return factor_graph([2] * 5, [((i, (i + 1) % 5), table) for i in range(5)])


def test_a_gap_is_told() -> None:
    energy = _parity()
    relaxed = gs.solve(energy, LP(), throw=False)
    assert relaxed.bound is not None
    assert abs(float(relaxed.bound)) < 1e-9
    assert float(relaxed.energy) == 1.0
    assert int(relaxed.status) == gs.Status.CONVERGED
    assert int(gs.solve(energy, ILP()).status) == OPTIMAL


def test_rounding_keeps_hard_constraints() -> None:
    """Largest shares are all one half, and the first labels together are forbidden."""
    exactly = torch.full((9,), float("inf"), dtype=torch.float64)
    exactly[4] = 0.0
    counts = torch.full((8,), 2)
    energy = factor_graph(counts, [], cardinality(counts, [[*range(8)]], [exactly]))
    solution = gs.solve(energy, LP())
    assert float(solution.energy) == 0.0
    assert int(solution.status) == OPTIMAL


def test_a_large_cardinality_factor() -> None:
    rng = torch.Generator().manual_seed(1)
    counts = torch.full((60,), 2)
    costs = torch.randn(60, generator=rng, dtype=torch.float64)
    values = torch.full((61,), float("inf"), dtype=torch.float64)
    values[17] = 2.0
    unary = [((i,), torch.stack([costs[i] * 0, costs[i]])) for i in range(60)]
    energy = factor_graph(counts, unary, cardinality(counts, [[*range(60)]], [values]))
    expected = costs.sort().values[:17].sum() + 2.0
    for solver in (LP(), ILP()):
        solution = gs.solve(energy, solver)
        same(solution.energy, expected)
        assert int(solution.status) == OPTIMAL


def test_time_over_keeps_a_bound_and_the_start() -> None:
    energy = grid(0, 40, 40)
    solution = gs.solve(energy, ILP(), seconds=0.0, throw=False)
    assert int(solution.status) == gs.Status.OUT_OF_TIME
    assert solution.bound is not None
    assert bool((solution.bound <= solution.energy).all())


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(InputError, match="`largest` = 50 labels and joint labels"):
        gs.solve(grid(0, 5, 5), LP(largest=50))


def test_water_network() -> None:
    path = Path(os.environ.get("GROUNDSTATE_DATA", "/nowhere"), "map", "water.uai")
    if not path.exists():
        pytest.skip("GROUNDSTATE_DATA has no map/water.uai")
    energy = UAIReader().read(path)
    solution = gs.solve(energy, ILP())
    assert int(solution.status) == OPTIMAL
    assert abs(float(solution.energy) - 7.9587631502) < 1e-9
    relaxed = gs.solve(energy, LP(), throw=False)
    assert relaxed.bound is not None
    assert 7.9 < float(relaxed.bound) <= float(solution.energy)
    assert bool(relaxed.energy.isfinite())
