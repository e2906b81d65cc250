"""Solvers against brute force: bounds, optima, local optima, log Z, batches and unions."""

from typing import Any, TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.mrf.tests.random_problems import every_labelling, random_problem, random_tree
from torch import Tensor

import groundstate as gs
from groundstate.solver import Solver
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.contrast_potts import ContrastPotts
from groundstate_mrf.factor_graph import cardinality, factor_graph
from groundstate_mrf.icm import ICM
from groundstate_mrf.max_product import MaxProduct
from groundstate_mrf.mean_field import MeanField

T = TypeVar("T")
SOLVERS: list[Solver[Any]] = [ICM(), MeanField(), MeanField(schedule="parallel"), MaxProduct()]
INFINITY = float("inf")
names = pytest.mark.parametrize("solver", SOLVERS, ids=[type(s).__name__ for s in SOLVERS])


def same(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-9)


def there(value: T | None) -> T:
    """What a solver that gives it has given."""
    assert value is not None
    return value


@pytest.mark.parametrize("infinite", [0.0, 0.15])
@pytest.mark.parametrize("seed", range(6))
def test_brute_force_is_the_minimum_and_the_exact_log_z(seed: int, infinite: float) -> None:
    energy = random_problem(seed, batch=(2,), infinite=infinite)
    _, values = every_labelling(energy)
    solution = gs.solve(energy, BruteForce(marginals=True), throw=False)
    same(solution.energy, values.amin(0))
    assert solution.beliefs is not None
    assert solution.beliefs.log_partition is not None
    possible = values.amin(0) < INFINITY
    same(solution.beliefs.log_partition[possible], (-values).logsumexp(0)[possible])
    optimal = torch.where(possible, int(gs.Status.OPTIMAL), int(gs.Status.INFEASIBLE))
    assert torch.equal(solution.status, optimal)


@names
@pytest.mark.parametrize("infinite", [0.0, 0.15])
@pytest.mark.parametrize("seed", range(6))
def test_bound_is_below_and_energy_above_the_minimum(
    seed: int, infinite: float, solver: Solver[Any]
) -> None:
    energy = random_problem(seed, batch=(2,), infinite=infinite)
    _, values = every_labelling(energy)
    least = values.amin(0)
    solution = gs.solve(energy, solver, steps=60, throw=False)
    assert solution.bound is not None
    slack = 1e-9 * torch.where(least.isfinite(), 1 + least.abs(), 0.0)
    assert bool((energy.graph.bound() <= least + slack).all())
    assert bool((solution.bound <= least + slack).all())
    assert bool((energy.graph.bound() <= solution.bound + slack).all())
    assert bool((solution.energy >= least - slack).all())
    optimal = solution.status == gs.Status.OPTIMAL
    same(solution.energy[optimal], least[optimal])
    assert bool((least[solution.status == gs.Status.INFEASIBLE] == INFINITY).all())
    if solution.beliefs is not None:
        log_z = (-values).logsumexp(0)
        assert bool((there(solution.beliefs.lower) <= log_z + 1e-9).all())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), infinite=st.sampled_from([0.0, 0.2]))
def test_max_product_is_exact_on_trees(seed: int, infinite: float) -> None:
    energy = random_tree(seed, infinite=infinite)
    _, values = every_labelling(energy)
    solution = gs.solve(energy, MaxProduct(), throw=False)
    same(solution.energy, values.amin())
    possible = bool(values.amin() < INFINITY)
    expected = gs.Status.OPTIMAL if possible else gs.Status.INFEASIBLE
    assert int(solution.status) == expected


def test_max_product_decodes_ties_on_trees() -> None:
    # two labels, all pairs want to differ, nothing else: beliefs are flat everywhere
    pair = torch.eye(2, dtype=torch.float64)
    scopes = [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5)]
    energy = factor_graph([2] * 6, [(scope, pair) for scope in scopes])
    solution = gs.solve(energy, MaxProduct(), x0=torch.zeros(6, dtype=torch.int64))
    assert float(solution.energy) == 0
    assert int(solution.status) == gs.Status.OPTIMAL


@pytest.mark.parametrize("seed", range(6))
def test_icm_ends_where_no_move_helps_and_never_rises(seed: int) -> None:
    energy = random_problem(seed, batch=(2,))
    solution = gs.solve(energy, ICM(), x0=energy.space.sample(torch.Generator().manual_seed(seed)))
    moves = energy.graph.moves(solution.x)
    here = moves.gather(-1, energy.graph.offsets + solution.x)
    best = energy.graph.best_labels(moves)
    assert bool((here <= moves.gather(-1, energy.graph.offsets + best) + 1e-12).all())
    energies = torch.stack([record.energy for record in solution.trace])
    assert bool((energies.diff(dim=0) <= 1e-12).all())
    assert bool((solution.status == gs.Status.CONVERGED).all())


@pytest.mark.parametrize("seed", range(4))
def test_sequential_mean_field_is_monotone(seed: int) -> None:
    energy = random_problem(seed)
    solver, rng = MeanField(), torch.Generator().manual_seed(0)
    state = solver.init(energy, None, rng)
    for _ in range(10):
        after = solver.step(energy, state, gs.Deadline())
        lower, before = there(after.beliefs).lower, there(state.beliefs).lower
        assert float(there(lower)) >= float(there(before)) - 1e-10
        state = after


def test_mean_field_is_exact_without_couplings() -> None:
    tables = [torch.tensor([0.0, 1.0, -0.5], dtype=torch.float64), torch.zeros(2).double()]
    energy = factor_graph([3, 2], [((i,), table) for i, table in enumerate(tables)])
    beliefs = there(gs.solve(energy, MeanField()).beliefs)
    same(there(beliefs.lower), torch.stack([(-t).logsumexp(0) for t in tables]).sum())
    same(beliefs.marginals, torch.cat([(-table).softmax(0) for table in tables]))


def test_mean_field_gets_out_of_the_way_of_hard_constraints() -> None:
    differ = torch.full((2, 2), 0.0, dtype=torch.float64).fill_diagonal_(INFINITY)
    energy = factor_graph([2] * 4, [((i, i + 1), differ) for i in range(3)])
    solution = gs.solve(energy, MeanField())
    assert float(solution.energy) == 0


@names
def test_batch_union_and_samples_equal_a_loop(solver: Solver[Any]) -> None:
    singles = [random_problem(seed) for seed in (0, 1, 2)]
    starts = [each.space.sample(torch.Generator().manual_seed(5)) for each in singles]
    alone = [gs.solve(e, solver, x, steps=30) for e, x in zip(singles, starts, strict=True)]
    union = gs.union(singles)
    together = gs.solve(union, solver, torch.cat(starts), steps=30)
    same(together.energy, torch.stack([each.energy for each in alone]))
    same(there(together.bound), torch.stack([there(each.bound) for each in alone]))
    assert torch.equal(together.status, torch.stack([each.status for each in alone]))
    batch = random_problem(3, batch=(2,))
    start = batch.space.sample(torch.Generator().manual_seed(5), (3,))
    sampled = gs.solve(batch, solver, start, steps=30)
    assert sampled.energy.shape == (3, 2)
    one = gs.solve(batch, solver, start[1], steps=30)
    same(there(sampled.bound)[1], there(one.bound))
    if isinstance(solver, ICM | MeanField):
        same(sampled.energy[1], one.energy)


def test_brute_force_counts_the_parts_of_a_union_once() -> None:
    singles = [random_problem(0), random_tree(1, variables=3)]
    together = gs.solve(gs.union(singles), BruteForce(marginals=True))
    alone = [gs.solve(each, BruteForce(marginals=True)) for each in singles]
    same(together.energy, torch.stack([each.energy for each in alone]))
    beliefs, each = there(together.beliefs), [there(one.beliefs) for one in alone]
    logs = torch.stack([there(one.log_partition) for one in each])
    same(there(beliefs.log_partition), logs)
    same(beliefs.marginals, torch.cat([one.marginals for one in each]))


def test_brute_force_refuses_large_problems_and_keeps_the_deadline() -> None:
    large = factor_graph([2] * 30, [((0,), torch.zeros(2))])
    with pytest.raises(ValueError, match=r"no more than 16777216 labellings.*1.074e\+09"):
        gs.solve(large, BruteForce())
    medium = factor_graph([2] * 24, [((0,), torch.zeros(2))])
    solution = gs.solve(medium, BruteForce(), seconds=0.05)
    assert int(solution.status) == gs.Status.OUT_OF_TIME
    assert 0 < solution.state.position < 2**24


@pytest.mark.parametrize("solver", [ICM(), MeanField(schedule="parallel"), MaxProduct()])
def test_order_300_is_solved(solver: Solver[Any]) -> None:
    rng = torch.Generator().manual_seed(0)
    counts = torch.full((300,), 2)
    costs = torch.randn(300, 2, generator=rng, dtype=torch.float64)
    values = 3 * (torch.arange(301, dtype=torch.float64) - 100).abs()
    factors = [((i,), cost) for i, cost in enumerate(costs)]
    energy = factor_graph(counts, factors, cardinality(counts, [range(300)], [values]))
    steps = 100 if isinstance(solver, MaxProduct) else 2
    solution = gs.solve(energy, solver, steps=steps)
    off, on = costs.unbind(-1)
    sums = torch.cat([off.new_zeros(1), (on - off).sort().values.cumsum(0)]) + off.sum()
    least = (values + sums).amin()
    assert float(there(solution.bound)) <= float(least) + 1e-9 <= float(solution.energy) + 2e-9
    if isinstance(solver, MaxProduct):
        same(solution.energy, least)
        assert int(solution.status) == gs.Status.OPTIMAL


@names
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contrast_potts_is_solved_in_its_own_type(solver: Solver[Any], dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(5, 6, 3, generator=rng).to(dtype)
    unary = torch.rand(5, 6, 3, generator=rng).to(dtype)
    energy = ContrastPotts(unary=unary, image=image, smoothness=0.3)
    x = energy.space.sample(rng, (4,))
    torch.testing.assert_close(energy(x), energy.graph.energy(x.flatten(-2)))
    solution = gs.solve(energy, solver, steps=50)
    assert solution.x.shape == (5, 6)
    assert float(solution.energy) <= float(energy(unary.argmin(-1))) + 1e-4


def test_contrast_potts_is_the_formula() -> None:
    image = torch.tensor([[[0.0], [1.0]], [[3.0], [0.0]]], dtype=torch.float64)
    unary = torch.zeros(2, 2, 2, dtype=torch.float64)
    energy = ContrastPotts(unary=unary, image=image, smoothness=2.0, contrast=0.5)
    # squared differences: right 1, 9; down 9, 1; diagonals 0 and 4 at distance √2
    variance = 0.5 * (1 + 9 + 9 + 1 + 0 + 4) / 6
    square = torch.tensor([1.0, 9.0, 0.0], dtype=torch.float64)
    price = 2 * torch.exp(-square / (2 * variance))
    corner = price[0] + price[1] + price[2] / 2**0.5
    same(energy(torch.tensor([[1, 0], [0, 0]])), corner)


def test_contrast_potts_keeps_gradients_after_use_without() -> None:
    unary = torch.rand(3, 4, 2, dtype=torch.float64, requires_grad=True)
    image = torch.rand(3, 4, 1, dtype=torch.float64, requires_grad=True)
    energy = ContrastPotts(unary=unary, image=image)
    gs.solve(energy, ICM())
    x = energy.space.sample(torch.Generator().manual_seed(0))
    energy.graph.energy(x.flatten()).backward()
    assert unary.grad is not None and float(unary.grad.abs().sum()) == 12
    assert image.grad is not None and float(image.grad.abs().sum()) > 0
