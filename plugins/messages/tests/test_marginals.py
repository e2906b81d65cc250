"""Sum-product and TRW-BP: marginals and log Z against enumeration."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from plugins.messages.tests.pairwise_problems import SHAPES, pairwise
from plugins.mrf.tests.random_problems import every_labelling, random_problem, random_tree
from torch import Tensor

import groundstate as gs
from groundstate.energy import view
from groundstate.factors import FactorGraph
from groundstate.solver import Solver
from groundstate.status import Status
from groundstate_messages import trw_sweep
from groundstate_messages.ordered import Order, in_order
from groundstate_messages.sum_product import SumProduct
from groundstate_messages.trw import TRWBP, appearances
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.flat import flat_problems
from groundstate_mrf.mean_field import MeanField

soft_send = cast(Callable[..., None], trw_sweep.soft_send)
soft_sweep = cast(Callable[..., tuple[float, float]], trw_sweep.soft_sweep)
ORDERS: tuple[Order, ...] = ("index", "breadth-first", "cuthill-mckee")
INFINITY = float("inf")


def enumerated(energy: FactorGraphEnergy) -> tuple[Tensor, Tensor]:
    """Log Z and marginals, `[*batch]` and `[*batch, entries]`."""
    labels, energies = every_labelling(energy)
    log_z = torch.logsumexp(-energies, 0)
    weights = (-energies - log_z).exp()
    one_hot = energy.graph.one_hot(labels, torch.float64)
    return log_z, (one_hot * weights.unsqueeze(-1)).sum(0)


@pytest.mark.parametrize("schedule", ["parallel", "sequential"])
@pytest.mark.parametrize("seed", range(20))
def test_sum_product_is_exact_on_trees_of_any_order(seed: int, schedule: str) -> None:
    energy = random_tree(seed, infinite=0.2 * (seed % 2))
    log_z, marginals = enumerated(energy)
    solver = SumProduct(schedule=schedule, tolerance=1e-12)  # type: ignore
    solution = gs.solve(energy, solver, steps=60, throw=False)
    told = solution.state.beliefs
    assert told is not None and told.lower is not None and told.upper is not None
    assert told.log_partition is not None
    if float(log_z) == -INFINITY:
        assert int(solution.status) == Status.INFEASIBLE
        return
    assert int(solution.status) == Status.CONVERGED
    for value in (told.lower, told.log_partition, told.upper):
        assert float(value) == pytest.approx(float(log_z), abs=1e-9)
    torch.testing.assert_close(told.marginals, marginals, rtol=0, atol=1e-9)


def test_messages_that_barely_change_are_not_taken_for_settled_ones() -> None:
    """On a chain whose far end decides, with a tolerance above all changes on the way."""
    flip = torch.tensor([[0.0, 30.0], [30.0, 0.0]], dtype=torch.float64)
    ends = torch.tensor([0.0, 9.0], dtype=torch.float64)
    energy = factor_graph([2] * 12, [((0,), ends), *(((i, i + 1), flip) for i in range(11))])
    log_z, marginals = enumerated(energy)
    told = gs.solve(energy, SumProduct(tolerance=100.0)).state.beliefs
    assert told is not None and told.lower is not None
    assert float(told.lower) == pytest.approx(float(log_z), abs=1e-9)
    torch.testing.assert_close(told.marginals, marginals, rtol=0, atol=1e-9)


def ising_cycle(length: int, coupling: float) -> FactorGraphEnergy:
    same = torch.tensor([[0.0, coupling], [coupling, 0.0]], dtype=torch.float64)
    return factor_graph([2] * length, [((i, (i + 1) % length), same) for i in range(length)])


@pytest.mark.parametrize("schedule", ["parallel", "sequential"])
@pytest.mark.parametrize(("length", "coupling"), [(3, 0.7), (4, 2.0), (7, -0.5)])
def test_loopy_fixed_point_of_a_cycle_without_fields(
    length: int, coupling: float, schedule: str
) -> None:
    """At uniform messages Bethe has n log(1 + exp(-J)): the largest eigenvalue to the n-th."""
    solver = SumProduct(schedule=schedule, tolerance=1e-12)  # type: ignore
    told = gs.solve(ising_cycle(length, coupling), solver, steps=300).state.beliefs
    assert told is not None and told.log_partition is not None
    expected = length * np.log1p(np.exp(-coupling))
    assert float(told.log_partition) == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(told.marginals, torch.full((2 * length,), 0.5).double())


@pytest.mark.parametrize("seed", range(12))
def test_fixed_points_do_not_depend_on_the_schedule(seed: int) -> None:
    energy = random_problem(seed, order=3)
    told = [
        gs.solve(energy, solver, steps=2000, throw=False)
        for solver in (
            SumProduct(tolerance=1e-11, damping=0.5),
            SumProduct(schedule="sequential", tolerance=1e-11, damping=0.2),
        )
    ]
    assert all(int(each.status) == Status.CONVERGED for each in told)
    first, second = (each.state.beliefs for each in told)
    assert first is not None and second is not None
    torch.testing.assert_close(first.marginals, second.marginals, rtol=0, atol=1e-7)
    log_z, marginals = enumerated(energy)
    assert float((first.marginals - marginals).abs().max()) < 0.4
    assert first.log_partition is not None
    assert abs(float(first.log_partition - log_z)) < 0.8


@pytest.mark.parametrize("seed", range(100))
def test_mean_field_below_log_z_below_trees(seed: int) -> None:
    strength = 0.2 + seed % 7
    energy = pairwise(seed, strength=strength, infinite=0.1 if seed % 5 == 0 else 0.0)
    log_z, marginals = enumerated(energy)
    if float(log_z) == -INFINITY:
        return
    below = gs.solve(energy, MeanField(), steps=200, throw=False).state.beliefs
    solution = gs.solve(energy, TRWBP(order=ORDERS[seed % 3]), steps=300, throw=False)
    above = solution.state.beliefs
    assert below is not None and below.lower is not None
    assert above is not None and above.upper is not None and above.lower is not None
    assert float(below.lower) <= float(log_z) + 1e-9
    assert float(above.lower) <= float(log_z) + 1e-9
    assert float(above.upper) >= float(log_z) - 1e-10
    if strength < 4:  # beyond, the last digits take thousands of steps
        assert int(solution.status) == Status.CONVERGED
    if SHAPES[seed % 4] == "tree" and ORDERS[seed % 3] == "breadth-first":
        assert float(above.upper - above.lower) < 1e-9
        torch.testing.assert_close(above.marginals, marginals, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_upper_bound_holds_at_any_messages(seed: int) -> None:
    energy = pairwise(seed, strength=3.0)
    log_z, _ = enumerated(energy)
    each = in_order(flat_problems(view(energy, FactorGraph), ())[0], ORDERS[seed % 3])
    rho, marginals = appearances(each), np.zeros(int(energy.counts.sum()))
    rng = np.random.default_rng(seed)
    for scale in (0.0, 1.0, 10.0):
        messages = scale * rng.standard_normal(each.places)
        kept = messages.copy()
        bound, noise = soft_sweep(each.arrays, rho, messages, kept, marginals, False, 0.0)
        assert noise - bound - each.constant >= float(log_z)


@pytest.mark.parametrize("seed", range(8))
def test_fixed_point_is_the_minimum_of_the_bound(seed: int) -> None:
    """No random change of the messages lowers the bound, which is convex in them."""
    energy = pairwise(4 * seed + 1, strength=1.0)
    each = in_order(flat_problems(view(energy, FactorGraph), ())[0], "breadth-first")
    rho, marginals = appearances(each), np.zeros(int(energy.counts.sum()))
    messages, kept = np.zeros(each.places), np.zeros(each.places)
    for k in range(1, 1202):
        soft_sweep(each.arrays, rho, messages, kept, marginals, k % 2 == 1, 0.5)
    reached, _ = soft_sweep(each.arrays, rho, messages.copy(), kept, marginals, False, 0.0)
    rng = np.random.default_rng(seed)
    for scale in (1e-3, 1e-1, 1.0):
        moved = messages + scale * rng.standard_normal(each.places)
        other, _ = soft_sweep(each.arrays, rho, moved, kept, marginals, False, 0.0)
        assert other <= reached + 1e-9


def test_attractive_pairs_of_labels_have_bethe_below_log_z() -> None:
    """Ruozzi 2012: log-supermodular and two labels."""
    for seed in range(10):
        rng = torch.Generator().manual_seed(seed)
        edges = [(i, j) for i in range(5) for j in range(i)]
        pull = torch.rand(len(edges), generator=rng, dtype=torch.float64)
        eye = 1 - torch.eye(2, dtype=torch.float64)
        unary = [((i,), torch.randn(2, generator=rng, dtype=torch.float64)) for i in range(5)]
        pairs = [(edge, w * eye) for edge, w in zip(edges, pull, strict=True)]
        energy = factor_graph([2] * 5, [*unary, *pairs])
        log_z, _ = enumerated(energy)
        told = gs.solve(energy, SumProduct(tolerance=1e-10), steps=500).state.beliefs
        above = gs.solve(energy, TRWBP(), steps=300).state.beliefs
        assert told is not None and told.log_partition is not None
        assert above is not None and above.upper is not None
        assert float(told.log_partition) <= float(log_z) + 1e-9 <= float(above.upper) + 2e-9


@pytest.mark.parametrize("table", ["potts", "repulsive", "linear", "general"])
@pytest.mark.parametrize("rho", [1.0, 0.3])
def test_soft_messages_are_those_of_the_table(table: str, rho: float) -> None:
    rng = torch.Generator().manual_seed(5)
    off = 1 - torch.eye(4, dtype=torch.float64)
    gap = (torch.arange(4)[:, None] - torch.arange(4)).abs().double().clamp(max=2.0)
    random = torch.randn(4, 4, generator=rng, dtype=torch.float64)
    prices = {"potts": 900 * off, "repulsive": -off, "linear": gap, "general": random}[table]
    arrays = in_order(
        flat_problems(view(factor_graph([4, 4], [((0, 1), prices)]), FactorGraph), ())[0], "index"
    ).arrays
    for first in (True, False):
        for _ in range(10):
            cost = torch.randn(4, generator=rng, dtype=torch.float64)
            cost[torch.rand(4, generator=rng) < 0.2] = INFINITY
            out = np.empty(4)
            edge = (arrays.kind[0], arrays.low[0], arrays.high[0], arrays.weights[0])
            soft_send(*edge, arrays.tables, arrays.starts[0], first, rho, cost.numpy(), 4, 4, out)
            both = cost[:, None] + (prices if first else prices.T)
            expected = -rho * torch.logsumexp(-both / rho, 0)
            np.testing.assert_allclose(out, expected.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solver", [SumProduct(tolerance=1e-10), TRWBP(tolerance=1e-10)])
def test_batches_and_unions_come_out_as_one_by_one(solver: Solver[Any]) -> None:
    energies = [pairwise(seed) for seed in (1, 2, 4)]
    apart = [gs.solve(each, solver, steps=500).state.beliefs for each in energies]
    together = gs.solve(gs.union(energies), solver, steps=500).state.beliefs
    assert together is not None and together.log_partition is not None
    ends = np.cumsum([0] + [int(each.counts.sum()) for each in energies])
    for k, alone in enumerate(apart):
        assert alone is not None and alone.log_partition is not None
        assert float(together.log_partition[k]) == pytest.approx(float(alone.log_partition))
        part = together.marginals[ends[k] : ends[k + 1]]
        torch.testing.assert_close(part, alone.marginals, rtol=0, atol=1e-8)
