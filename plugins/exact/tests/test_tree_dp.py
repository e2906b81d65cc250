"""Dynamic programming on forests against enumeration and junction trees; what it refuses."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.exact.tests.oracle import answer, grid
from plugins.mrf.tests.random_problems import random_tree

import groundstate as gs
from groundstate.errors import ViewError
from groundstate.solver import Deadline
from groundstate_exact.junction_tree import JunctionTree
from groundstate_exact.tree_dp import TreeDP
from groundstate_mrf.factor_graph import (
    FactorGraphEnergy,
    cardinality,
    factor_graph,
    potts_edges,
)
from groundstate_mrf.groups.tables import TableGroup


def same(left: torch.Tensor, right: torch.Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def hold(energy: FactorGraphEnergy) -> None:
    """Minimum, status, marginals and log Z are those of the enumeration."""
    true = answer(energy)
    solution = gs.solve(energy, TreeDP(marginals=True), throw=False)
    same(solution.energy, true.minimum)
    assert solution.bound is not None and solution.beliefs is not None
    same(solution.bound, true.minimum)
    feasible = true.minimum.isfinite()
    expected = torch.where(feasible, int(gs.Status.OPTIMAL), int(gs.Status.INFEASIBLE))
    assert torch.equal(solution.status, expected)
    assert solution.beliefs.log_partition is not None
    same(solution.beliefs.log_partition, true.log_partition)
    same(solution.beliefs.marginals, true.marginals)


def chain(length: int, labels: int, seed: int = 0) -> FactorGraphEnergy:
    """A chain whose tables are made at once."""
    rng = torch.Generator().manual_seed(seed)
    at = torch.arange(length)
    pairs = torch.stack([at[:-1], at[1:]], -1)
    groups = [
        TableGroup(
            scope=scope,
            first=scope * labels,
            tables=torch.randn(
                (len(scope), *(labels,) * scope.shape[1]), generator=rng, dtype=torch.float64
            ),
            total=length * labels,
        )
        for scope in (at.unsqueeze(-1), pairs)
    ]
    return FactorGraphEnergy(
        counts=torch.full((length,), labels),
        groups=tuple(groups),
        constant=torch.zeros((), dtype=torch.float64),
    )


@given(st.integers(0, 10**6), st.integers(2, 6), st.sampled_from([0.0, 0.3, 0.6]))
@settings(max_examples=40, deadline=None)
def test_equals_enumeration(seed: int, variables: int, hard: float) -> None:
    hold(random_tree(seed, variables, hard))


def test_forbidden_labels_and_a_forest_of_which_one_tree_has_no_labelling() -> None:
    forbidden = torch.full((2, 2), float("inf"), dtype=torch.float64)
    single = torch.tensor([0.0, float("inf")], dtype=torch.float64)
    pair = torch.tensor([[float("inf"), 1.0], [0.0, 0.5]], dtype=torch.float64)
    hold(factor_graph([2, 2, 3, 2], [((0, 1), pair), ((0,), single), ((3,), single)]))
    hold(factor_graph([2, 2, 2, 2], [((0, 1), pair), ((2, 3), forbidden)]))
    hold(factor_graph([2, 2], [((0,), forbidden[0])]))


def test_ties_are_settled_from_the_root() -> None:
    differ = torch.eye(2, dtype=torch.float64)
    hold(factor_graph([2] * 6, [((i, i + 1), differ) for i in range(5)]))


def test_factors_on_the_same_variables_make_no_cycle() -> None:
    rng = torch.Generator().manual_seed(1)
    counts = torch.tensor([3, 3, 3, 2])
    tables = [torch.randn(3, 3, generator=rng, dtype=torch.float64) for _ in range(3)]
    triple = torch.randn(3, 3, 2, generator=rng, dtype=torch.float64)
    edges = torch.tensor([[1, 0], [1, 2]])
    weights = torch.tensor([0.7, -0.3], dtype=torch.float64)
    factors = [((0, 1), tables[0]), ((1, 0), tables[1]), ((1, 2), tables[2]), ((2, 1, 3), triple)]
    hold(factor_graph(counts, factors, potts_edges(counts, edges, weights)))


def test_a_cardinality_factor_in_a_tree_is_a_chain_of_counts() -> None:
    rng = torch.Generator().manual_seed(2)
    counts = torch.full((9,), 2)
    unary = [((i,), torch.randn(2, generator=rng, dtype=torch.float64)) for i in range(9)]
    pair = ((7, 8), torch.randn(2, 2, generator=rng, dtype=torch.float64))
    values = [torch.randn(9, generator=rng, dtype=torch.float64)]
    hold(factor_graph(counts, [*unary, pair], cardinality(counts, [[*range(8)]], values)))


def test_variables_with_one_label_close_no_cycle() -> None:
    rng = torch.Generator().manual_seed(3)
    counts = [2, 1, 3]
    factors = [
        ((i, j), torch.randn(counts[i], counts[j], generator=rng, dtype=torch.float64))
        for i, j in [(0, 1), (1, 2), (0, 2)]
    ]
    hold(factor_graph(counts, [*factors, ((1,), torch.tensor([0.3], dtype=torch.float64))]))


def test_batch_and_union() -> None:
    rng = torch.Generator().manual_seed(4)
    factors = [((i, i + 1), torch.randn(3, 2, 2, generator=rng).double()) for i in range(4)]
    hold(factor_graph([2] * 5, [*factors, ((2,), torch.randn(2, generator=rng).double())]))
    parts = [random_tree(5), random_tree(6)]
    solution = gs.solve(gs.union(parts), TreeDP(marginals=True))
    true = [answer(part) for part in parts]
    beliefs = solution.beliefs
    assert beliefs is not None and beliefs.log_partition is not None
    same(solution.energy, torch.stack([each.minimum for each in true]))
    same(beliefs.marginals, torch.cat([each.marginals for each in true]))
    same(beliefs.log_partition, torch.stack([each.log_partition for each in true]))


def test_stops_between_two_problems_and_goes_on() -> None:
    rng = torch.Generator().manual_seed(4)
    table = torch.randn(3, 2, 2, generator=rng, dtype=torch.float64)
    energy = factor_graph([2, 2], [((0, 1), table)])
    solver = TreeDP()
    state = solver.init(energy, None, torch.Generator())
    state = solver.step(energy, state, Deadline(at=0.0))
    optimal, running = int(gs.Status.OPTIMAL), int(gs.Status.RUNNING)
    assert solver.status(state).tolist() == [optimal, running, running]
    for _ in range(2):
        state = solver.step(energy, state, Deadline(at=0.0))
    same(energy(state.x), table.flatten(1).amin(1))


def test_cycles_are_refused_and_named() -> None:
    with pytest.raises(ViewError, match=r"the variables \d+ - \d+ - \d+ - \d+ - \d+ form one"):
        gs.solve(
            factor_graph([2] * 4, [((i, (i + 1) % 4), torch.eye(2)) for i in range(4)]), TreeDP()
        )
    with pytest.raises(ViewError, match="without cycles"):
        gs.solve(grid(0, 20, 20), TreeDP())


@pytest.mark.parametrize("length", [2000, 100_000])
def test_long_chains(length: int) -> None:
    """Against a junction tree, and (far longer) against a recursion in log space by torch."""
    energy = chain(length, 3)
    solution = gs.solve(energy, TreeDP(marginals=True))
    beliefs = solution.beliefs
    assert beliefs is not None and beliefs.log_partition is not None
    unary, pairs = (group.tables for group in energy.groups if isinstance(group, TableGroup))
    forward = -unary[0]
    lowest = unary[0]
    for single, table in zip(unary[1:], pairs, strict=True):
        forward = torch.logsumexp(forward.unsqueeze(-1) - table, 0) - single
        lowest = (lowest.unsqueeze(-1) + table).amin(0) + single
    same(beliefs.log_partition, torch.logsumexp(forward, 0))
    same(beliefs.marginals[-3:], forward.softmax(0))
    same(solution.energy, lowest.min())
    if length == 2000:
        tree = gs.solve(energy, JunctionTree(marginals=True)).beliefs
        assert tree is not None
        same(beliefs.marginals, tree.marginals)
