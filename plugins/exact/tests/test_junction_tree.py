"""Junction tree against enumeration; what it refuses; real files."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.exact.tests.oracle import answer, complete, counting, grid, problems

import groundstate as gs
from groundstate.energy import view
from groundstate.errors import InputError
from groundstate.factors import FactorGraph
from groundstate.solver import Deadline
from groundstate_exact.blocks import blocks_of
from groundstate_exact.elimination import min_fill
from groundstate_exact.junction_tree import JunctionTree
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph
from groundstate_mrf.structured import (
    band,
    callable_factors,
    detection,
    linear,
    parity,
    patterns,
)
from groundstate_mrf.uai import UAIReader


def same(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def hold(energy: FactorGraphEnergy) -> None:
    """Minimum, status, marginals and log Z are those of the enumeration."""
    true = answer(energy)
    solution = gs.solve(energy, JunctionTree(marginals=True), throw=False)
    same(solution.energy, true.minimum)
    assert solution.bound is not None and solution.beliefs is not None
    same(solution.bound, true.minimum)
    feasible = true.minimum.isfinite()
    expected = torch.where(feasible, int(gs.Status.OPTIMAL), int(gs.Status.INFEASIBLE))
    assert torch.equal(solution.status, expected)
    assert solution.beliefs.log_partition is not None
    same(solution.beliefs.log_partition, true.log_partition)
    same(solution.beliefs.marginals, true.marginals)


def test_equals_enumeration() -> None:
    for energy in problems():
        hold(energy)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3), st.sampled_from([0.0, 0.2]))
@settings(max_examples=30, deadline=None)
def test_equals_enumeration_on_grids(seed: int, rows: int, columns: int, hard: float) -> None:
    hold(grid(seed, rows, columns, hard))


def test_union_is_solved_problem_by_problem() -> None:
    parts = [counting(0), grid(1), complete(2)]
    union = gs.union(parts)
    solution = gs.solve(union, JunctionTree(marginals=True))
    true = [answer(part) for part in parts]
    same(solution.energy, torch.stack([each.minimum for each in true]))
    beliefs = solution.beliefs
    assert beliefs is not None and beliefs.log_partition is not None
    same(beliefs.marginals, torch.cat([each.marginals for each in true]))
    same(beliefs.log_partition, torch.stack([each.log_partition for each in true]))


def test_samples_of_starts_all_get_the_answer() -> None:
    energy = complete(3)
    x0 = torch.zeros((2, 3, len(energy.counts)), dtype=torch.int64)
    solution = gs.solve(energy, JunctionTree(), x0)
    assert solution.x.shape == x0.shape
    same(solution.energy, answer(energy).minimum.expand(2, 3))


def test_stops_between_any_two_cliques_and_goes_on() -> None:
    energy = grid(4)
    solver = JunctionTree(marginals=True)
    state = solver.init(energy, None, torch.Generator())
    steps = 0
    while int(solver.status(state)) == gs.Status.RUNNING:
        state = solver.step(energy, state, Deadline(at=0.0))
        steps += 1
    true = answer(energy)
    assert steps > len(energy.counts)
    assert state.beliefs is not None
    same(energy(state.x), true.minimum)
    same(state.beliefs.marginals, true.marginals)


def test_refuses_before_work_naming_the_width() -> None:
    energy = grid(0, 30, 30)
    with pytest.raises(InputError, match=r"`largest` = 100 table entries .* treewidth of \d+"):
        gs.solve(energy, JunctionTree(largest=100))


def test_cardinality_of_a_hundred_variables() -> None:
    size = 100
    counts = torch.full((size,), 2)
    values = torch.full((size + 1,), float("inf"), dtype=torch.float64)
    values[30] = 0.5
    costs = torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unary = [((i,), torch.stack([torch.zeros(()).double(), costs[i]])) for i in range(size)]
    energy = factor_graph(counts, unary, cardinality(counts, [[*range(size)]], [values]))
    solution = gs.solve(energy, JunctionTree(marginals=True))
    same(solution.energy, costs.sort().values[:30].sum() + 0.5)
    assert solution.beliefs is not None
    ones = solution.beliefs.marginals.reshape(size, 2)[:, 1]
    same(ones.sum(), torch.tensor(30.0).double())


def test_structured_factors() -> None:
    """Counts of any label, weighted sums, sparse patterns, functions: all that has no table."""
    rng = torch.Generator().manual_seed(0)
    counts = torch.tensor([2, 3, 2, 3, 2, 3, 2])
    weights = torch.randn(1, generator=rng, dtype=torch.float64)
    unary = [((i,), torch.randn(int(n), generator=rng).double()) for i, n in enumerate(counts)]
    everything = [[*range(7)]]
    hold(
        factor_graph(
            counts,
            unary,
            band(counts, everything, [(2, 4)], label=1, dtype=torch.float64),
            parity(counts, [[0, 1, 2]], label=0, penalty=0.7, dtype=torch.float64),
            detection(counts, [[1, 3, 5, 0, 2, 4]], weights, label=1),
            linear(counts, [0, 1, 3], [[0, 2], [1, 0, 3], [0, 1, 1]], high=3, dtype=torch.float64),
            patterns(
                counts, [4, 5, 6], [[1, 2, 0], [0, 0, 0]], torch.randn(2, generator=rng).double()
            ),
        )
    )


def test_factors_of_many_variables_are_read_one_by_one() -> None:
    """Sums and patterns of eight variables, in a batch: no table, but chains of states."""
    rng = torch.Generator().manual_seed(1)
    counts = torch.tensor([2, 3, 1, 2, 2, 3, 2, 2])
    unary = [((i,), torch.randn(2, int(n), generator=rng).double()) for i, n in enumerate(counts)]
    weights = [[int(w) for w in torch.randint(0, 4, (int(n),), generator=rng)] for n in counts]
    rows = [[0, 1, 0, 1, 0, 2, 1, 0], [0, 1, 0, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 1]]
    energies = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    energies[0, 1] = float("inf")
    knapsack = linear(
        counts, [*range(8)], weights, low=5, high=9, penalty=0.5, slope=0.3, dtype=torch.float64
    )
    sparse = patterns(counts, [*range(8)], rows, energies, torch.full((2,), 0.3).double())
    counted = band(counts, [[*range(8)]], [(2, 4)], label=0, dtype=torch.float64)
    for group in (knapsack, sparse, counted):
        energy = factor_graph(counts, unary, group)
        blocks = blocks_of(view(energy, FactorGraph), (2,), 1 << 20)
        assert max(block.cells for block in blocks.blocks) < 300
        hold(energy)


def test_a_pattern_of_thirty_variables() -> None:
    counts = torch.full((30,), 2)
    costs = torch.linspace(-1.0, 2.0, 30, dtype=torch.float64)
    unary = [((i,), torch.stack([costs[i] * 0, costs[i]])) for i in range(30)]
    reward = torch.tensor([-50.0], dtype=torch.float64)
    energy = factor_graph(counts, unary, patterns(counts, [*range(30)], [[1] * 30], reward))
    same(gs.solve(energy, JunctionTree()).energy, costs.sum() - 50.0)


def test_a_factor_too_large_for_a_table_is_refused() -> None:
    counts = torch.full((30,), 2)
    group = callable_factors(counts, [[*range(30)]], lambda labels: labels.sum(-1).float())
    with pytest.raises(InputError, match=r"30 variables and 1\.074e\+09 joint labellings"):
        gs.solve(factor_graph(counts, [], group), JunctionTree())


def test_min_fill_finds_the_width_of_what_is_chordal() -> None:
    tree = [(i, (i - 1) // 2) for i in range(1, 200)]
    assert min_fill([3] * 200, tree, 10**9).width == 1
    band = [(i, i + 1, i + 2, i + 3) for i in range(60)]
    order = min_fill([2] * 63, band, 10**9)
    assert order.width == 3
    assert order.entries == 60 * 16 + 8 + 4 + 2
    assert min_fill([2] * 16, [(i, (i + 1) % 16) for i in range(16)], 10**9).width == 2


def test_half_a_hundred_variables_that_have_no_choice() -> None:
    rng = torch.Generator().manual_seed(0)
    table = torch.randn([2] + [1] * 50 + [2], generator=rng, dtype=torch.float64)
    energy = factor_graph([2] + [1] * 50 + [2], [(tuple(range(52)), table)])
    same(gs.solve(energy, JunctionTree()).energy, table.min())


def test_water_network() -> None:
    """Its likeliest labelling has -log p = 7.95876315: a Bayesian network, so log Z is 0."""
    path = Path(os.environ.get("GROUNDSTATE_DATA", "/nowhere"), "map", "water.uai")
    if not path.exists():
        pytest.skip("GROUNDSTATE_DATA has no map/water.uai")
    solution = gs.solve(UAIReader().read(path), JunctionTree(marginals=True))
    assert int(solution.status) == gs.Status.OPTIMAL
    assert abs(float(solution.energy) - 7.9587631502) < 1e-9
    assert solution.beliefs is not None and solution.beliefs.log_partition is not None
    assert abs(float(solution.beliefs.log_partition)) < 1e-9
