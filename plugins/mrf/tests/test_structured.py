"""The structured factors by name: their definitions, and that they need no table."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from plugins.mrf.tests.random_groups import rows, structured_problems
from plugins.mrf.tests.random_problems import every_labelling
from torch import Tensor

import groundstate as gs
from groundstate.errors import GroundstateError, ViewError
from groundstate.factors import FactorGroup
from groundstate.solver import Solver
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.factor_graph import (
    FactorGraphEnergy,
    cardinality,
    factor_graph,
    potts_edges,
)
from groundstate_mrf.icm import ICM
from groundstate_mrf.max_product import MaxProduct
from groundstate_mrf.mean_field import MeanField
from groundstate_mrf.npz import NPZReader
from groundstate_mrf.structured import (
    band,
    callable_factors,
    count_threshold,
    detection,
    detection_pairs,
    linear,
    linear_values,
    parity,
    patterns,
)

INFINITY = float("inf")
COUNTS = torch.tensor([3, 2, 4, 3])
CLIQUES = [[0, 1, 2, 3], [2, 0]]


def energy_of(*groups: FactorGroup, counts: Tensor = COUNTS) -> FactorGraphEnergy:
    return factor_graph(counts, [], *groups, dtype=torch.float64)


def expected(group: FactorGroup, definition: Callable[[int, list[int]], float]) -> None:
    """Hold each factor's energies to a function of (factor, its labels)."""
    labels, _ = every_labelling(energy_of(group))
    found = group.energies(labels)
    for factor in range(group.count):
        members = group.slots[group.owners == factor]
        for row, energy in zip(rows(labels[:, members]), found[:, factor], strict=True):
            assert float(energy) == definition(factor, row)


def test_band_allows_counts_from_a_to_b() -> None:
    group = band(COUNTS, CLIQUES, [(1, 2), (2, 2)], label=1, penalty=3.0, dtype=torch.float64)
    bounds = [(1, 2), (2, 2)]
    expected(group, lambda f, y: 0.0 if bounds[f][0] <= y.count(1) <= bounds[f][1] else 3.0)
    hard = band(COUNTS, CLIQUES, bounds, label=0)
    assert hard.values.tolist() == [INFINITY, 0, 0, INFINITY, INFINITY, INFINITY, INFINITY, 0]


@pytest.mark.parametrize("odd", [False, True])
def test_parity_wants_even_or_odd_counts(odd: bool) -> None:
    group = parity(COUNTS, CLIQUES, odd=odd, label=1, dtype=torch.float64)
    expected(group, lambda f, y: 0.0 if y.count(1) % 2 == odd else INFINITY)


@pytest.mark.parametrize("share", [1.0, 1.5, 2.0, 3.0, 100.0])
def test_count_threshold_is_strict(share: float) -> None:
    weights = torch.tensor([2.0, -1.0], dtype=torch.float64)
    group = count_threshold(COUNTS, CLIQUES, weights, label=[1, 2], share=share)

    def definition(factor: int, y: list[int]) -> float:
        few = y.count([1, 2][factor]) < len(CLIQUES[factor]) / share
        return [2.0, -1.0][factor] if few else 0.0

    expected(group, definition)


def test_detection_is_the_minimum_over_its_auxiliary_variable() -> None:
    weights = torch.tensor([0.7, 1.9], dtype=torch.float64)
    group = detection(COUNTS, CLIQUES, weights, label=[1, 2])

    def definition(factor: int, y: list[int]) -> float:
        n = y.count([1, 2][factor])
        return float(weights[factor] * min(n, len(y) - n))

    expected(group, definition)
    more, pairs = detection_pairs(COUNTS, CLIQUES, weights, label=[1, 2])
    assert more.tolist() == [3, 2, 4, 3, 2, 2]
    _, whole = every_labelling(energy_of(group))
    _, split = every_labelling(energy_of(*pairs, counts=more))
    torch.testing.assert_close(split.reshape(-1, 4).amin(-1), whole)


def test_patterns_and_linear_sums_by_hand() -> None:
    listed = patterns(COUNTS, [1, 2], [[0, 3], [1, 1]], torch.tensor([-1.0, 4.0]), default=0.5)
    expected(listed, lambda f, y: {(0, 3): -1.0, (1, 1): 4.0}.get((y[0], y[1]), 0.5))
    weights = [[-2, 0, 5], [1, 3, -1, 0]]
    group = linear(COUNTS, [0, 2], weights, low=0, high=4, penalty=2.0, slope=0.5)

    def definition(factor: int, y: list[int]) -> float:
        total = weights[0][y[0]] + weights[1][y[1]]
        excess = max(-total, total - 4, 0)
        return 2.0 + 0.5 * excess if excess else 0.0

    expected(group, definition)
    hard = linear(COUNTS, [0, 2], weights, high=4)
    expected(hard, lambda f, y: 0.0 if weights[0][y[0]] + weights[1][y[1]] <= 4 else INFINITY)
    with pytest.raises(ValueError, match="a weight for each label"):
        linear(COUNTS, [0, 1], weights)
    with pytest.raises(ValueError, match="all be different"):
        patterns(COUNTS, [1, 2], [[0, 3], [0, 3]], torch.zeros(2))
    with pytest.raises(ValueError, match="labels of their variables"):
        patterns(COUNTS, [1, 2], [[0, 4]], torch.zeros(1))


def test_dear_patterns_have_no_messages_and_say_so() -> None:
    forbidden = patterns(COUNTS, [0, 1], [[0, 0]], torch.tensor([INFINITY]))
    with pytest.raises(ViewError, match="PatternGroup"):
        gs.solve(energy_of(forbidden), MaxProduct())
    assert float(gs.solve(energy_of(forbidden), ICM()).energy) == 0


def test_linear_with_ones_is_a_count() -> None:
    counts = torch.full((6,), 2)
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(7, generator=rng, dtype=torch.float64)
    scope = list(range(6))
    one = linear_values(counts, scope, [[0, 1]] * 6, values)
    other = cardinality(counts, [scope], [values])
    incoming = torch.randn(12, generator=rng, dtype=torch.float64)
    for temperature in (0.0, 0.4):
        torch.testing.assert_close(
            one.messages(incoming, temperature), other.messages(incoming, temperature)
        )


def _unaries(counts: Tensor, seed: int = 0) -> list[tuple[tuple[int, ...], Tensor]]:
    rng = torch.Generator().manual_seed(seed)
    sizes = [int(count) for count in counts]
    return [((i,), torch.randn(n, generator=rng, dtype=torch.float64)) for i, n in enumerate(sizes)]


def test_a_cardinality_factor_of_300_variables_is_solved_exactly() -> None:
    counts = torch.full((300,), 3)
    factors = _unaries(counts)
    values = (torch.arange(301, dtype=torch.float64) - 100).abs()
    group = cardinality(counts, [range(300)], [values], 2)
    energy = factor_graph(counts, factors, group)
    # the best labelling by sorting what it costs to take the label, spec §1.2
    tables = torch.stack([table for _, table in factors])
    off, on = tables[:, :2].amin(-1), tables[:, 2]
    sums = torch.cat([torch.zeros(1, dtype=torch.float64), (on - off).sort().values.cumsum(0)])
    best = (off.sum() + sums + values).amin()
    solution = gs.solve(energy, MaxProduct())
    torch.testing.assert_close(solution.energy, best)
    assert gs.Status(int(solution.status)) is gs.Status.OPTIMAL
    solvers: list[Solver[Any]] = [ICM(), MeanField(schedule="parallel")]
    for solver in solvers:
        assert float(gs.solve(energy, solver, steps=20).energy) >= float(best) - 1e-9
    with pytest.raises(GroundstateError, match="labellings"):
        gs.solve(energy, BruteForce())


def test_a_count_threshold_on_10000_nodes_needs_linear_memory() -> None:
    nodes, size = 10000, 50
    counts = torch.full((nodes,), 3)
    rng = torch.Generator().manual_seed(1)
    edges = torch.stack([torch.arange(nodes - 1), torch.arange(1, nodes)], -1)
    boxes = [range(begin, begin + size) for begin in range(0, nodes - size, size // 2)]
    prices = 20 * torch.rand(len(boxes), generator=rng, dtype=torch.float64)
    threshold = count_threshold(counts, boxes, prices, label=0, share=2.0)
    weights = torch.rand(nodes - 1, generator=rng, dtype=torch.float64)
    groups = (potts_edges(counts, edges, weights), threshold)
    energy = factor_graph(counts, _unaries(counts), *groups)
    solvers: list[Solver[Any]] = [ICM(), MaxProduct()]
    for solution in (gs.solve(energy, solver, steps=3) for solver in solvers):
        assert solution.bound is not None
        assert float(solution.energy) >= float(solution.bound)
    for group in (
        threshold,
        count_threshold(counts, [range(nodes)], prices[:1], label=0, share=2.0),
    ):
        tensors = [each for each in vars(group).values() if isinstance(each, Tensor)]
        assert max(each.numel() for each in tensors) <= 6 * len(group.slots)
        incoming = torch.randn(len(group.entries), generator=rng, dtype=torch.float64)
        assert bool(group.messages(incoming, 0.0).isfinite().all())


def test_a_callable_factor_of_30_variables_is_moved_in_memory_linear_in_size() -> None:
    counts = torch.full((30,), 3)

    def different_labels(labels: Tensor) -> Tensor:
        steps = (labels[..., 1:] != labels[..., :-1]).sum(-1)
        return (steps - 7).abs().to(torch.float64)

    group = callable_factors(
        counts, [list(range(30))], different_labels, lowest=0.0, dtype=torch.float64
    )
    energy = factor_graph(counts, _unaries(counts), group)
    tracemalloc.start()
    solution = gs.solve(energy, ICM(), steps=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6
    labels = solution.x
    moves = energy.graph.moves(labels).reshape(30, 3)
    assert bool((moves.gather(-1, labels.unsqueeze(-1)) <= moves.amin(-1, True) + 1e-9).all())
    assert solution.bound is not None
    assert float(solution.bound) <= float(solution.energy)
    with pytest.raises(ViewError, match="CallableGroup"):
        gs.solve(energy, MaxProduct())


def test_callable_factors_are_their_function(tmp_path: Path) -> None:
    counts = torch.tensor([3, 2, 3, 2])
    group = callable_factors(
        counts, [[0, 1], [2, 3]], lambda y: y[..., 0] * 2.0 - y[..., 1], dtype=torch.float64
    )
    labels, values = every_labelling(energy_of(group, counts=counts))
    torch.testing.assert_close(
        values, (labels[:, 0] * 2.0 - labels[:, 1] + labels[:, 2] * 2.0 - labels[:, 3]).double()
    )
    union = gs.union([energy_of(group, counts=counts)] * 2)
    twice = torch.cat([labels[5], labels[7]])
    torch.testing.assert_close(union(twice), values[[5, 7]])
    with pytest.raises(ViewError, match="a function cannot"):
        NPZReader().write(energy_of(group, counts=counts), tmp_path / "a.npz")
    wrong = callable_factors(counts, [[0, 1]], lambda y: y.sum().double())
    with pytest.raises(ValueError, match="one energy for each labelling"):
        wrong.energies(labels)


def test_every_form_of_numbers_is_written_and_read(tmp_path: Path) -> None:
    for seed, energy in enumerate(structured_problems(3, (2,), 0.2)):
        path = tmp_path / f"{seed}.npz"
        NPZReader().write(energy, path)
        labels, values = every_labelling(energy)
        assert torch.equal(NPZReader().read(path)(labels), values)
