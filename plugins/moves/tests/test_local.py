"""The lazy flipper and annealing against enumeration, and on large factors."""

from typing import Any

import pytest
import torch
from plugins.mrf.tests.random_problems import every_labelling, random_problem

from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.typed import ints
from groundstate.unions import union
from groundstate_moves.annealing import Annealing
from groundstate_moves.flip_any import flip_any, neighbours
from groundstate_moves.gibbs import Gibbs
from groundstate_moves.graph_cut import GraphCut
from groundstate_moves.lazy_flipper import LazyFlipper
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.problem import open_problem
from groundstate_mrf.structured import count_threshold


def scopes_of(energy: FactorGraphEnergy) -> list[set[int]]:
    scopes: list[set[int]] = []
    for group in energy.groups:
        for factor in range(group.count):
            scopes.append(set(ints(group.slots[group.owners == factor])))
    return scopes


def connected(changed: list[int], scopes: list[set[int]]) -> bool:
    reached, rest = set(changed[:1]), set(changed[1:])
    while True:
        near = {v for v in rest if any(v in scope and scope & reached for scope in scopes)}
        if not near:
            return not rest
        reached, rest = reached | near, rest - near


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("order", [2, 3])
def test_no_connected_set_helps_in_the_end(seed: int, depth: int, order: int) -> None:
    energy = random_problem(seed, order=order, counting=order == 3, infinite=0.05)
    every, values = every_labelling(energy)
    start = energy.space.sample(torch.Generator().manual_seed(seed))
    solution = solve(energy, LazyFlipper(depth=depth), start, throw=False)
    assert float(solution.energy) <= float(energy(start))
    if not bool(solution.energy.isfinite()):
        assert int(solution.status) == Status.VIOLATING
        return
    assert int(solution.status) == Status.CONVERGED
    scopes = scopes_of(energy)
    better = every[values < solution.energy - 1e-9]
    for labels in better:
        changed = ints((labels != solution.x).nonzero().flatten())
        assert len(changed) > depth or not connected(changed, scopes)


@pytest.mark.parametrize("seed", range(6))
def test_both_ways_to_flip_end_where_no_pair_helps(seed: int) -> None:
    """Pairs through the moves of any factors, as through compiled code."""
    energy = random_problem(seed, order=2, counting=False)
    problem = open_problem(energy)
    labels = energy.space.sample(torch.Generator().manual_seed(seed))
    near, quiet, root = neighbours(problem.graph), 0, 0
    while quiet < len(labels):
        labels, helped = flip_any(problem, near, labels, root, 2)
        quiet, root = (0 if bool(helped) else quiet + 1), (root + 1) % len(labels)
    compiled = solve(energy, LazyFlipper(), labels)
    assert torch.equal(compiled.x, labels)


def test_unions_of_unequal_problems_are_flipped_one_by_one() -> None:
    parts = [random_problem(1, order=2, counting=False), random_problem(2, variables=7)]
    for pieces in (parts, [parts[0], random_problem(3, variables=4, order=2, counting=False)]):
        whole = union(pieces)
        start = whole.space.sample(torch.Generator().manual_seed(0))
        first = len(pieces[0].counts)
        starts = [start[:first], start[first:]]
        together = solve(whole, LazyFlipper(), start)
        apart = [solve(each, LazyFlipper(), x) for each, x in zip(pieces, starts, strict=True)]
        assert torch.equal(together.x, torch.cat([each.x for each in apart]))


@pytest.mark.parametrize("seed", range(5))
def test_annealing_finds_small_minima(seed: int) -> None:
    energy = random_problem(seed, infinite=0.05)
    _, values = every_labelling(energy)
    solution = solve(energy, Annealing(sweeps=60), throw=False, seed=seed)
    assert float(solution.energy) == pytest.approx(float(values.min()))
    assert int(solution.status) == Status.CONVERGED


def test_annealing_repeats_under_a_seed() -> None:
    energy = random_problem(0)
    runs = [solve(energy, Annealing(sweeps=5), steps=5, seed=4).state.chain for _ in range(2)]
    assert torch.equal(*runs)


@pytest.mark.parametrize(
    ("solver", "steps"),
    [(LazyFlipper(), 1), (LazyFlipper(depth=1), 4), (Annealing(sweeps=3), 5), (Gibbs(), 4)],
    ids=repr,
)
def test_wide_factors_are_taken(solver: Solver[Any], steps: int) -> None:
    """300 variables under one function of their number."""
    rng = torch.Generator().manual_seed(0)
    counts = torch.full((300,), 2)
    values = 0.01 * (torch.arange(301) - 100.0).square().double()
    costs = torch.randn(300, 2, generator=rng, dtype=torch.float64)
    factors = [((i,), cost) for i, cost in enumerate(costs)]
    energy = factor_graph(counts, factors, cardinality(counts, [list(range(300))], [values]))
    start = torch.zeros(300, dtype=torch.int64)
    solution = solve(energy, solver, start, steps=steps, throw=False)
    assert float(solution.energy) < float(energy(start))


@pytest.mark.parametrize(
    "solver",
    [GraphCut(), LazyFlipper(), LazyFlipper(depth=1), Annealing(), Gibbs()],
    ids=repr,
)
def test_ten_thousand_variables_under_one_factor(solver: Solver[Any]) -> None:
    """It runs until the time is over, and keeps its head."""
    rng = torch.Generator().manual_seed(0)
    counts = torch.full((10_000,), 2)
    costs = torch.randn(10_000, 2, generator=rng, dtype=torch.float64)
    places = torch.arange(10_000)[:, None]
    single = TableGroup(scope=places, first=2 * places, tables=costs, total=20_000)
    weight = torch.tensor([500.0], dtype=torch.float64)
    wide = count_threshold(counts, [list(range(10_000))], weight, label=1, share=1.5)
    constant = torch.zeros((), dtype=torch.float64)
    energy = FactorGraphEnergy(counts=counts, groups=(single, wide), constant=constant)
    start = torch.zeros(10_000, dtype=torch.int64)
    solution = solve(energy, solver, start, steps=1, seconds=0.5, throw=False)
    assert float(solution.energy) <= float(energy(start))
