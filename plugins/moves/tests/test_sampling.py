"""Samplers against enumeration: chi-square on many chains that start from the distribution."""

from typing import Any

import numpy as np
import pytest
import torch
from plugins.moves.tests.problems import normal
from plugins.mrf.tests.random_problems import every_labelling, random_problem
from scipy.stats import chi2
from torch import Tensor

from groundstate.energy import Energy
from groundstate.errors import ViewError
from groundstate.solver import Deadline, Solver
from groundstate.solving import solve
from groundstate_moves.gibbs import Gibbs
from groundstate_moves.swendsen_wang import SwendsenWang
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph, potts_edges

CHAINS = 20000
INFINITY = float("inf")


def potts_problem(seed: int, labels: int) -> FactorGraphEnergy:
    rng = torch.Generator().manual_seed(seed)
    counts = torch.full((4,), labels)
    edges = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0], [0, 2]])
    weights = 1.5 * torch.rand(5, generator=rng, dtype=torch.float64)
    factors = [((i,), 0.7 * normal(rng, labels)) for i in range(4)]
    return factor_graph(counts, factors, potts_edges(counts, edges, weights))


def moved(
    energy: Energy, solver: Solver[Any], every: Tensor, chances: Tensor, steps: int = 1
) -> tuple[Tensor, Tensor]:
    """The number of the labelling of each chain, before and after a few steps."""
    rng = torch.Generator().manual_seed(5)
    before = torch.multinomial(chances, CHAINS, replacement=True, generator=rng)
    state = solver.init(energy, every[before], rng)
    for _ in range(steps):
        state = solver.step(energy, state, Deadline())
    after = (state.x[:, None] == every).all(-1).double().argmax(-1)
    return before, after


def misfit(found: np.ndarray, expected: np.ndarray) -> float:
    """How likely so large a chi-square is, over cells that are expected to hold enough."""
    kept = expected >= 5
    statistic = ((found - expected)[kept] ** 2 / expected[kept]).sum()
    return float(chi2.sf(statistic, kept.sum() - 1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_gibbs_keeps_the_distribution(seed: int, temperature: float) -> None:
    energy = random_problem(seed, variables=4, infinite=0.1)
    every, values = every_labelling(energy)
    chances = torch.softmax(-values / temperature, 0)
    _, after = moved(energy, Gibbs(temperature=temperature), every, chances)
    found = torch.bincount(after, minlength=len(every)).numpy()
    assert misfit(found, CHAINS * chances.numpy()) > 1e-4


@pytest.mark.parametrize("labels", [2, 3])
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_clusters_are_in_detailed_balance(labels: int, temperature: float) -> None:
    energy = potts_problem(labels, labels)
    every, values = every_labelling(energy)
    chances = torch.softmax(-values / temperature, 0)
    before, after = moved(energy, SwendsenWang(temperature=temperature), every, chances)
    found = torch.bincount(after, minlength=len(every)).numpy()
    assert misfit(found, CHAINS * chances.numpy()) > 1e-4
    flows = torch.zeros(len(every), len(every), dtype=torch.float64)
    flows.index_put_((before, after), torch.ones(CHAINS, dtype=torch.float64), accumulate=True)
    there, back = flows.triu(1).numpy(), flows.tril(-1).T.numpy()
    kept = there + back >= 10
    statistic = ((there - back)[kept] ** 2 / (there + back)[kept]).sum()
    assert kept.sum() > 20
    assert float(chi2.sf(statistic, kept.sum())) > 1e-4


@pytest.mark.parametrize("solver", [Gibbs(), SwendsenWang()], ids=repr)
def test_marginals_approach_the_exact_ones(solver: Solver[Any]) -> None:
    energy = potts_problem(7, 3)
    every, values = every_labelling(energy)
    chances = torch.softmax(-values, 0)
    solution = solve(energy, solver, every[0].expand(50, -1), steps=600)
    assert solution.state.beliefs is not None
    exact = torch.stack([chances[every[:, i] == a].sum() for i in range(4) for a in range(3)])
    found = solution.state.beliefs.marginals.mean(0)
    torch.testing.assert_close(found, exact, atol=0.02, rtol=0)


def test_clusters_respect_forbidden_labels() -> None:
    counts = torch.tensor([3, 3])
    edges, weights = torch.tensor([[0, 1]]), torch.tensor([2.0])
    costs = [((0,), torch.tensor([INFINITY, 0.0, 0.5])), ((1,), torch.tensor([0.0, 0.2, INFINITY]))]
    energy = factor_graph(counts, costs, potts_edges(counts, edges, weights))
    solver = SwendsenWang()
    state = solver.init(energy, torch.tensor([1, 0]), torch.Generator().manual_seed(0))
    for _ in range(200):
        state = solver.step(energy, state, Deadline())
        assert bool(energy(state.x).isfinite())


def test_clusters_need_potts_edges() -> None:
    table = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    energy = factor_graph([2, 2], [((0, 1), table)])
    with pytest.raises(ViewError, match="variables 0 and 1 is"):
        solve(energy, SwendsenWang())
    repelling = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(ViewError, match="not lower and finite"):
        solve(factor_graph([2, 2], [((0, 1), repelling)]), SwendsenWang())
