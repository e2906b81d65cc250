"""Every solver of factor graphs on 300 random problems, held against enumeration.

Fifty problems of a family are solved as one union: trees, grids, complete graphs, factors of higher
order, and the last two with combinations that are forbidden. Label counts differ within a problem.
"""

import itertools
from collections.abc import Sequence
from functools import cache

import pytest
import torch
from plugins.mrf.tests.random_problems import every_labelling
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy
from groundstate.errors import GroundstateError
from groundstate.status import Status
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph

FAMILIES = ("trees", "grids", "complete", "higher", "grids-forbidding", "higher-forbidding")
EACH = 50
EXACT = {"brute-force": FAMILIES, "junction-tree": FAMILIES, "ilp": FAMILIES, "tree-dp": ("trees",)}
TREES = ("max-product", "lp")
ELSEWHERE = {"toulbar2", "cached", "auto-discrete"}
"""One process a problem; a solver of solvers; the same. Their own plugins try them."""


def problem(family: str, seed: int) -> FactorGraphEnergy:
    rng = torch.Generator().manual_seed(seed)
    count = 6
    sizes = torch.randint(2, 4, (count,), generator=rng)
    if family.startswith("higher"):
        sizes[:3] = 2
    forbidding = 0.15 if family.endswith("forbidding") else 0.0

    def table(*scope: int) -> Tensor:
        shape = [int(sizes[i]) for i in scope]
        values = torch.randn(shape, generator=rng, dtype=torch.float64)
        forbidden = torch.rand(shape, generator=rng) < forbidding
        return torch.where(forbidden, float("inf"), values)

    scopes: list[tuple[int, ...]] = [(i,) for i in range(count)]
    if family == "trees":
        scopes += [(int(torch.randint(0, i, (1,), generator=rng)), i) for i in range(1, count)]
    elif family.startswith("grids"):
        scopes += [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]
    elif family == "complete":
        scopes += list(itertools.combinations(range(count), 2))
    else:
        scopes += [(0, 1, 3), (2, 3, 4), (1, 2, 4, 5)]
    factors = [(scope, table(*scope)) for scope in scopes]
    if not family.startswith("higher"):
        return factor_graph(sizes, factors)
    values = torch.randn(4, generator=rng, dtype=torch.float64)
    return factor_graph(sizes, factors, cardinality(sizes, [[0, 1, 2]], [values]))


@cache
def family(name: str) -> tuple[Energy, Tensor, Tensor, Sequence[FactorGraphEnergy]]:
    """The union, the least energy of each problem, its log Z, and the problems."""
    problems = [problem(name, seed) for seed in range(EACH)]
    energies = [every_labelling(each)[1] for each in problems]
    least = torch.stack([each.amin() for each in energies])
    log_z = torch.stack([(-each).logsumexp(0) for each in energies])
    return gs.union(problems), least, log_z, problems


@cache
def registry() -> gs.Registry:
    return gs.load(warn=False)


def solvers() -> list[str]:
    found = [record.component.name for record in registry().matching({"FactorGraph"})]
    return sorted(set(found) - ELSEWHERE)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("name", solvers())
def test_bound_and_energy_lie_on_their_sides(name: str, kind: str) -> None:
    union, least, _, _ = family(kind)
    solver = registry().build(f"solver/{name}")
    try:
        solution = gs.solve(union, solver, steps=60, seconds=2, seed=1, throw=False)
    except (GroundstateError, ValueError) as refusal:
        assert name not in EXACT or kind not in EXACT[name], refusal
        pytest.skip(f"it does not take these: {refusal}")
    slack = 1e-9 * (1 + torch.where(least.isfinite(), least.abs(), 0.0))
    assert bool((solution.energy >= least - slack).all())
    if solution.bound is not None:
        assert bool((solution.bound <= least + slack).all())
    optimal = solution.status == Status.OPTIMAL
    # a certificate may round at 1e-6, as that of an integer program does
    torch.testing.assert_close(solution.energy[optimal], least[optimal], rtol=1e-6, atol=1e-6)
    assert bool(least[solution.status == Status.INFEASIBLE].isinf().all())
    if kind in EXACT.get(name, ()):
        assert bool((optimal == least.isfinite()).all())
    if name in TREES and kind == "trees":
        torch.testing.assert_close(solution.energy, least)


@pytest.mark.parametrize("name", solvers())
def test_a_seed_repeats_it(name: str) -> None:
    union, _, _, _ = family("trees")
    solver = registry().build(f"solver/{name}")
    try:
        first, second = (gs.solve(union, solver, steps=10, seed=7, throw=False) for _ in range(2))
    except (GroundstateError, ValueError) as refusal:
        pytest.skip(f"it does not take these: {refusal}")
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.status, second.status)


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("name", ["brute-force", "junction-tree"])
def test_exact_beliefs_are_those_of_enumeration(name: str, kind: str) -> None:
    union, least, log_z, problems = family(kind)
    solver = registry().build(f"solver/{name}", marginals=True)
    beliefs = gs.solve(union, solver, throw=False).state.beliefs
    assert beliefs is not None and beliefs.log_partition is not None
    there = least.isfinite()
    torch.testing.assert_close(beliefs.log_partition[there], log_z[there], rtol=1e-9, atol=1e-9)
    begin = 0
    for k, each in enumerate(problems):
        entries = int(each.counts.sum())
        found = beliefs.marginals[begin : begin + entries]
        begin += entries
        if bool(there[k]):
            torch.testing.assert_close(found, _marginals(each), rtol=1e-9, atol=1e-9)


def _marginals(energy: FactorGraphEnergy) -> Tensor:
    labels, energies = every_labelling(energy)
    weights = (-energies).softmax(0)
    chosen = energy.graph.one_hot(labels, torch.float64)
    return (weights[:, None] * chosen).sum(0)


@pytest.mark.parametrize("kind", FAMILIES)
def test_bounds_on_log_z_lie_on_their_sides(kind: str) -> None:
    union, least, log_z, _ = family(kind)
    there = least.isfinite()
    for name in ("mean-field", "trw-bp"):
        try:
            solution = gs.solve(union, registry().build(f"solver/{name}"), steps=20, throw=False)
        except (GroundstateError, ValueError):
            assert name == "trw-bp" and kind.startswith("higher")
            continue
        beliefs = solution.state.beliefs
        assert beliefs is not None
        if beliefs.lower is not None:
            assert bool((beliefs.lower <= log_z + 1e-9)[there].all())
        if beliefs.upper is not None:
            assert bool((beliefs.upper >= log_z - 1e-9)[there].all())
        assert (beliefs.upper if name == "trw-bp" else beliefs.lower) is not None


def test_expansions_stay_within_their_factor_of_potts() -> None:
    for seed in range(40):
        rng = torch.Generator().manual_seed(seed)
        counts = torch.full((6,), 3)
        costs = torch.rand(6, 3, generator=rng, dtype=torch.float64)
        edges = [(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)]
        weights = torch.rand(len(edges), generator=rng, dtype=torch.float64)
        unlike = 1 - torch.eye(3, dtype=torch.float64)
        energy = factor_graph(
            counts,
            [((i,), costs[i]) for i in range(6)]
            + [(edge, weights[e] * unlike) for e, edge in enumerate(edges)],
        )
        found = gs.solve(energy, registry().build("solver/alpha-expansion"), throw=False)
        assert float(found.energy) <= 2 * float(every_labelling(energy)[1].amin()) + 1e-9
