"""Expansions, swaps and fusion against enumeration."""

from typing import Any

import numpy as np
import pytest
import torch
from plugins.moves.tests.problems import INFINITY, grid_edges, normal
from plugins.mrf.tests.random_problems import every_labelling, random_problem

from groundstate.errors import ViewError
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.status import Status
from groundstate_moves.alpha_beta_swap import AlphaBetaSwap
from groundstate_moves.alpha_expansion import AlphaExpansion
from groundstate_moves.fusion import Fusion
from groundstate_moves.mixing import mixer
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.flat import flat_problems
from groundstate_mrf.groups.distance import (
    distance_edges,
    truncated_linear,
    truncated_quadratic,
)

SOLVERS: list[Solver[Any]] = [
    AlphaExpansion(),
    AlphaExpansion(order="random"),
    AlphaBetaSwap(),
    AlphaBetaSwap(order="random"),
    Fusion(),
    Fusion(proposals=("random",)),
]


def metric_grid(seed: int, table: torch.Tensor, scale: float = 1.5) -> FactorGraphEnergy:
    """A grid of 2 x 4 variables with non-negative costs and weights."""
    rng = torch.Generator().manual_seed(seed)
    labels = len(table)
    counts = torch.full((8,), labels)
    edges = torch.tensor(grid_edges(2, 4))
    weights = scale * torch.rand(len(edges), generator=rng, dtype=torch.float64)
    factors = [((i,), 3 * torch.rand(labels, generator=rng).double()) for i in range(8)]
    return factor_graph(counts, factors, distance_edges(counts, edges, weights, table.double()))


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_any_pairwise_problem_ends_between_bound_and_start(seed: int, solver: Solver[Any]) -> None:
    energy = random_problem(seed, order=2, counting=False, infinite=0.1 * (seed % 3))
    _, values = every_labelling(energy)
    start = energy.space.sample(torch.Generator().manual_seed(seed))
    solution = solve(energy, solver, start, throw=False, seed=seed)
    assert float(solution.energy) <= float(energy(start))
    assert float(solution.energy) >= float(values.min()) - 1e-9
    assert solution.bound is not None
    assert float(solution.bound) <= float(values.min()) + 1e-9
    again = solve(energy, solver, start, throw=False, seed=seed)
    assert torch.equal(again.x, solution.x)


@pytest.mark.parametrize("seed", range(25))
def test_expansion_stays_within_its_factor(seed: int) -> None:
    potts = 1 - torch.eye(4)
    for table, factor in ((potts, 2.0), (truncated_linear(4, 2.0), 4.0)):
        energy = metric_grid(seed, table)
        _, values = every_labelling(energy)
        for solver in (AlphaExpansion(violations="refuse"), AlphaExpansion(order="random")):
            start = energy.space.sample(torch.Generator().manual_seed(seed))
            solution = solve(energy, solver, start, seed=seed)
            assert float(solution.energy) <= factor * float(values.min()) + 1e-9
            assert int(solution.status) in (Status.CONVERGED, Status.OPTIMAL)


def expansions(labels: torch.Tensor, count: int, every: torch.Tensor) -> torch.Tensor:
    """Which of all labellings one expansion of some label reaches."""
    return torch.stack(
        [((every == labels) | (every == label)).all(-1) for label in range(count)]
    ).any(0)


def swaps(labels: torch.Tensor, count: int, every: torch.Tensor) -> torch.Tensor:
    """Which of all labellings one swap reaches."""
    reached = [
        torch.where((labels == a) | (labels == b), (every == a) | (every == b), every == labels)
        for a in range(count)
        for b in range(a)
    ]
    return torch.stack([each.all(-1) for each in reached]).any(0)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    ("solver", "reach", "table"),
    [
        (AlphaExpansion(violations="refuse"), expansions, truncated_linear(3, 1.5)),
        (AlphaBetaSwap(violations="refuse"), swaps, truncated_quadratic(3, 3.0)),
    ],
    ids=["expansion", "swap"],
)
def test_no_move_helps_in_the_end(
    seed: int, solver: Solver[Any], reach: Any, table: torch.Tensor
) -> None:
    energy = metric_grid(seed, table)
    every, values = every_labelling(energy)
    start = energy.space.sample(torch.Generator().manual_seed(seed))
    solution = solve(energy, solver, start)
    reached = values[reach(solution.x, 3, every)]
    assert float(reached.min()) >= float(solution.energy) - 1e-9


def test_violated_conditions_are_explained() -> None:
    table = torch.tensor([[0.0, 1.0, 5.0], [1.0, 0.0, 1.0], [5.0, 1.0, 0.0]])
    energy = factor_graph([3, 3], [((0, 1), table)])
    with pytest.raises(ViewError, match=r"variables 0 and 1 .* 3 nats for a = 1, b = 0, c = 2"):
        solve(energy, AlphaExpansion(violations="refuse"))
    solve(energy, AlphaBetaSwap(violations="refuse"))
    attracting = factor_graph([2, 2], [((0, 1), torch.eye(2))])
    with pytest.raises(ViewError, match=r"larger by 2 nats for a = 0, b = 1"):
        solve(attracting, AlphaBetaSwap(violations="refuse"))


@pytest.mark.parametrize("seed", range(20))
def test_submodular_mixtures_are_the_best_of_all(seed: int) -> None:
    """Two labels, attraction: the mixture of all 0 with all 1 is the minimum."""
    rng = torch.Generator().manual_seed(seed)
    potts = torch.rand(10, generator=rng).double()[:, None, None] * (1 - torch.eye(2))
    factors = [((i,), normal(rng, 2)) for i in range(8)]
    factors += [(edge, table) for edge, table in zip(grid_edges(2, 4), potts, strict=True)]
    energy = factor_graph([2] * 8, factors)
    (flat,) = flat_problems(energy.graph, ())
    labels = np.zeros(8, np.int64)
    mixer(flat).mix(labels, np.zeros(8, np.int64), np.ones(8, np.int64))
    _, values = every_labelling(energy)
    assert float(energy(torch.from_numpy(labels))) == pytest.approx(float(values.min()))


def test_forbidden_start_is_left() -> None:
    differ = torch.diag(torch.full((3,), INFINITY))
    energy = factor_graph([3, 3, 3], [((0, 1), differ), ((1, 2), differ)])
    start = torch.zeros(3, dtype=torch.int64)
    solution = solve(energy, AlphaExpansion(), start, throw=False)
    assert bool(solution.energy.isfinite())


def test_an_own_proposal_is_offered() -> None:
    energy = metric_grid(3, 1 - torch.eye(4))
    every, values = every_labelling(energy)
    best = every[values.argmin()].numpy()
    solver = Fusion(proposals=(), own=lambda flat, labels, turn, rng: best)
    solution = solve(energy, solver, torch.zeros(8, dtype=torch.int64))
    assert float(solution.energy) == pytest.approx(float(values.min()))
