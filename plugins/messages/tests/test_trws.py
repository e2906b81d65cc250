"""TRW-S: its messages, its bound and its labellings, against enumeration."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import cast

import numpy as np
import pytest
import torch
from plugins.messages.tests.pairwise_problems import pairwise
from plugins.mrf.tests.random_problems import every_labelling

import groundstate as gs
from groundstate.energy import view
from groundstate.factors import FactorGraph, FactorGroup
from groundstate.status import Status
from groundstate_messages import descent, trws_sweep
from groundstate_messages.ordered import GENERAL, POTTS, TRUNCATED, Arrays, Order, Reals, in_order
from groundstate_messages.trws import TRWS
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.flat import FlatPairwise, flat_problems
from groundstate_mrf.groups.distance import distance_edges, truncated_linear
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.icm import ICM

send = cast(Callable[..., None], trws_sweep.send)
sweep = cast(Callable[..., tuple[float, float, float]], trws_sweep.sweep)
evaluate = cast(Callable[..., float], descent.evaluate)
ORDERS: tuple[Order, ...] = ("index", "breadth-first", "cuthill-mckee")
OPTIMAL, INFEASIBLE = int(Status.OPTIMAL), int(Status.INFEASIBLE)


def one(energy: FactorGraphEnergy) -> FlatPairwise:
    return flat_problems(view(energy, FactorGraph), ())[0]


@pytest.mark.parametrize("seed", range(120))
def test_bound_below_minimum_below_energy_on_random_problems(seed: int) -> None:
    energy = pairwise(seed, infinite=0.15 if seed % 2 else 0.0, strength=0.3 + seed % 5)
    _, energies = every_labelling(energy)
    solution = gs.solve(energy, TRWS(order=ORDERS[seed % 3]), steps=300, throw=False)
    least = float(energies.min())
    status = int(solution.status)
    assert solution.bound is not None
    if least == float("inf"):
        assert status != OPTIMAL
        return
    assert float(solution.bound) <= least + 1e-12 * (1 + abs(least))
    assert float(solution.energy) >= least - 1e-12 * (1 + abs(least))
    if status == OPTIMAL:
        assert float(solution.energy) == pytest.approx(least, abs=1e-9)
    assert status != INFEASIBLE
    if seed % 4 == 0:  # trees
        assert status == OPTIMAL


def star_of_triangles(seed: int) -> FactorGraphEnergy:
    """Variables with many edges before them and few behind, or the reverse."""
    rng = torch.Generator().manual_seed(seed)
    hub = 4 if seed % 2 else 0
    rest = [i for i in range(9) if i != hub]
    edges = [(hub, i) for i in rest] + [(rest[k], rest[k + 1]) for k in range(0, 8, 2)]
    tables = [(e, 3 * torch.randn(3, 3, generator=rng, dtype=torch.float64)) for e in edges]
    return factor_graph([3] * 9, tables)


@pytest.mark.parametrize("seed", range(24))
def test_bound_of_the_passes_never_falls(seed: int) -> None:
    energy = star_of_triangles(seed) if seed < 8 else pairwise(seed, strength=2.0)
    each = in_order(one(energy), "index" if seed < 8 else ORDERS[seed % 3])
    messages = np.zeros(each.places)
    labels = np.zeros(len(each.arrays.order), dtype=np.int64)
    bounds = [sweep(each.arrays, messages, labels, k % 2 == 0)[0] for k in range(40)]
    assert np.diff(bounds).min() >= -1e-12 * (1 + abs(bounds[-1]))
    assert bounds[-1] > bounds[0] - 1e-12


@pytest.mark.parametrize("seed", range(12))
def test_energy_of_decoded_labels_is_told(seed: int) -> None:
    energy = pairwise(seed, infinite=0.1)
    each = in_order(one(energy), ORDERS[seed % 3])
    messages = np.zeros(each.places)
    labels = np.zeros(len(each.arrays.order), dtype=np.int64)
    for k in range(4):
        _, _, value = sweep(each.arrays, messages, labels, k % 2 == 0)
        true = float(energy(torch.from_numpy(labels)))
        assert evaluate(each.arrays, labels) + each.constant == pytest.approx(true)
        assert value + each.constant == pytest.approx(true)


def table_energy(table: torch.Tensor, weight: float) -> FactorGraphEnergy:
    counts = torch.tensor([len(table)] * 2)
    group = distance_edges(
        counts, torch.tensor([[0, 1]]), torch.tensor([weight], dtype=torch.float64), table
    )
    return factor_graph(counts, [], group, dtype=torch.float64)


def message(arrays: Arrays, first: bool, cost: Reals) -> Reals:
    """What edge 0 sends."""
    out = np.empty(len(cost))
    edge = (arrays.kind[0], arrays.low[0], arrays.high[0], arrays.weights[0])
    send(*edge, arrays.tables, arrays.starts[0], first, cost, len(cost), len(cost), out)
    return out


class TestMessages:
    @pytest.mark.parametrize("weight", [1.3, 0.0, -0.8])
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("form", [POTTS, TRUNCATED, GENERAL])
    def test_every_form_is_the_minimum_over_the_table(
        self, form: int, first: bool, weight: float
    ) -> None:
        rng = torch.Generator().manual_seed(form)
        table = {
            POTTS: 0.4 + torch.ones(5, 5, dtype=torch.float64).fill_diagonal_(-0.3),
            TRUNCATED: truncated_linear(5, 2.0, torch.float64) * 0.7,
            GENERAL: torch.randn(5, 5, generator=rng, dtype=torch.float64),
        }[form]
        arrays = in_order(one(table_energy(table, weight)), "index").arrays
        turned = form == TRUNCATED and weight < 0
        assert arrays.kind.tolist() == [GENERAL if turned else form]
        for trial in range(20):
            cost = torch.randn(5, generator=rng, dtype=torch.float64)
            cost[torch.rand(5, generator=rng) < 0.1 * (trial % 7)] = float("inf")
            out = message(arrays, first, cost.numpy())
            price = weight * (table if first else table.T)
            expected = (cost[:, None] + price).amin(0)
            np.testing.assert_allclose(out, expected.numpy(), atol=1e-12)

    def test_forbidden_labels_alike_and_hard_equality(self) -> None:
        hard = torch.full((3, 3), float("inf"), dtype=torch.float64).fill_diagonal_(0.0)
        flat = one(factor_graph([3, 3], [((0, 1), hard)]))
        arrays = in_order(flat, "index").arrays
        assert arrays.kind.tolist() == [POTTS]
        out = message(arrays, True, np.array([np.inf, 2.0, 1.0]))
        assert out.tolist() == [np.inf, 2.0, 1.0]


def test_contradiction_that_edges_show_is_infeasible() -> None:
    differ = torch.tensor([[float("inf"), 0.0], [0.0, float("inf")]], dtype=torch.float64)
    same = torch.tensor([[0.0, float("inf")], [float("inf"), 0.0]], dtype=torch.float64)
    fixed = torch.tensor([0.0, float("inf")], dtype=torch.float64)
    energy = factor_graph([2, 2, 2], [((0,), fixed), ((0, 1), same), ((1, 2), same)])
    assert int(gs.solve(energy, TRWS()).status) == OPTIMAL
    wrong = factor_graph(
        [2, 2, 2], [((0,), fixed), ((0, 1), same), ((1, 2), same), ((0, 2), differ)]
    )
    assert int(gs.solve(wrong, TRWS(), throw=False).status) == INFEASIBLE


def exact_minimum(energy: FactorGraphEnergy) -> Fraction:
    """Without any rounding."""
    flat = one(energy)
    values = [Fraction(float(each)) for each in flat.costs]
    tables = [[[Fraction(float(v)) for v in row] for row in flat.table(e)] for e in range(4)]

    def exactly(labels: tuple[int, ...]) -> Fraction:
        alone = sum(values[int(flat.offsets[i]) + y] for i, y in enumerate(labels))
        ends = [(int(i), int(j)) for i, j in flat.edges]
        return Fraction(alone) + sum(
            tables[e][labels[i]][labels[j]] for e, (i, j) in enumerate(ends)
        )

    return min(exactly(labels) for labels in itertools.product(range(3), repeat=4))


@pytest.mark.parametrize("shift", [0.0, 1e6, 1e9])
def test_bound_is_below_the_minimum_without_rounding(shift: float) -> None:
    rng = torch.Generator().manual_seed(3)
    for seed in range(30):
        table = torch.randn(3, 3, generator=rng, dtype=torch.float64) * 10 ** (-seed % 5)
        pairs = [((i, (i + 1) % 4), table.roll(i) + shift / 3) for i in range(4)]
        unary = [
            ((i,), torch.rand(3, generator=rng, dtype=torch.float64) - shift / 7) for i in range(4)
        ]
        energy = factor_graph([3] * 4, [*unary, *pairs])
        solution = gs.solve(energy, TRWS(), steps=20, throw=False)
        assert solution.bound is not None
        assert Fraction(float(solution.bound)) <= exact_minimum(energy)


def test_batches_samples_and_unions_come_out_as_one_by_one() -> None:
    energy = pairwise(2, batch=(3,), strength=2.0)
    alone = [
        factor_graph(
            energy.counts,
            [],
            *[_row(group, k) for group in energy.groups],
            constant=energy.constant[k],
        )
        for k in range(3)
    ]
    together = gs.solve(energy, TRWS(), steps=60, throw=False)
    end_to_end = gs.solve(gs.union([alone[2], alone[0]]), TRWS(), steps=60, throw=False)
    apart = [gs.solve(each, TRWS(), steps=60, throw=False) for each in alone]
    for k in range(3):
        assert float(together.energy[k]) == pytest.approx(float(apart[k].energy))
    assert float(end_to_end.energy[0]) == pytest.approx(float(apart[2].energy))
    assert float(end_to_end.energy[1]) == pytest.approx(float(apart[0].energy))
    x0 = energy.space.sample(torch.Generator().manual_seed(0), (4,))
    samples = gs.solve(energy, TRWS(), x0=x0, steps=60, throw=False)
    assert samples.x.shape == x0.shape
    assert bool((samples.energy <= together.energy + 1e-9).all())


def _row(group: FactorGroup, k: int) -> FactorGroup:
    if isinstance(group, TableGroup):
        return replace(group, tables=group.tables[k])
    assert isinstance(group, PottsGroup)
    return replace(group, weights=group.weights[k])


def test_polished_labels_are_a_local_minimum() -> None:
    rng = torch.Generator().manual_seed(1)
    counts = torch.full((400,), 4)
    index = torch.arange(400).reshape(20, 20)
    right = torch.stack([index[:, :-1], index[:, 1:]], -1).reshape(-1, 2)
    down = torch.stack([index[:-1], index[1:]], -1).reshape(-1, 2)
    edges = torch.cat([right, down])
    weights = torch.rand(len(edges), generator=rng, dtype=torch.float64)
    group = distance_edges(counts, edges, weights, truncated_linear(4, 2.0, torch.float64))
    unary = [((i,), torch.randn(4, generator=rng, dtype=torch.float64)) for i in range(400)]
    energy = factor_graph(counts, unary, group)
    found = gs.solve(energy, TRWS(), steps=30, throw=False)
    descended = gs.solve(energy, ICM(), x0=found.x, steps=100)
    assert float(descended.energy) == pytest.approx(float(found.energy), abs=1e-9)
    rough = gs.solve(energy, TRWS(polish=False), steps=30, throw=False)
    assert float(found.energy) <= float(rough.energy) + 1e-9
    assert found.bound is not None
    assert float(found.energy - found.bound) < 0.01 * abs(float(found.bound))
