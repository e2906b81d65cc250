"""Cuts with functions of counts against enumeration."""

import pytest
import torch
from plugins.moves.tests.problems import INFINITY, normal
from plugins.mrf.tests.random_problems import every_labelling
from torch import Tensor

from groundstate.errors import ViewError
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.unions import union
from groundstate_moves.graph_cut import GraphCut
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph


def concave(rng: torch.Generator, size: int, *batch: int) -> Tensor:
    steps = normal(rng, *batch, size).sort(-1, descending=True).values
    return torch.cat([normal(rng, *batch, 1), steps], -1).cumsum(-1)


def overlapping(seed: int, counted: int, *batch: int) -> FactorGraphEnergy:
    """Two concave functions on 7 variables that share some, and a few attracting pairs."""
    rng = torch.Generator().manual_seed(seed)
    counts = torch.full((7,), 2)
    potts = torch.rand(3, generator=rng).double()[:, None, None] * (1 - torch.eye(2))
    factors = [((i,), normal(rng, *batch, 2)) for i in range(7)]
    factors += list(zip([(0, 1), (1, 6), (5, 2)], potts, strict=True))
    cliques = [[0, 1, 2, 3], [2, 3, 4, 5, 6]]
    values = [concave(rng, len(clique), *batch) for clique in cliques]
    return factor_graph(counts, factors, cardinality(counts, cliques, values, counted))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("counted", [0, 1])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_concave_functions_of_counts(seed: int, counted: int, batch: tuple[int, ...]) -> None:
    energy = overlapping(seed, counted, *batch)
    solution = solve(energy, GraphCut())
    _, values = every_labelling(energy)
    assert bool((solution.status == Status.OPTIMAL).all())
    torch.testing.assert_close(solution.energy, values.amin(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_any_function_of_variables_of_its_own_is_sorted(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    counts = torch.tensor([2, 3, 1, 2, 2, 3])
    factors: list[tuple[tuple[int, ...], Tensor]] = [
        ((i,), normal(rng, int(n))) for i, n in enumerate(counts)
    ]
    factors.append(((4, 5), -torch.cumsum(torch.rand(2, 3, generator=rng).double(), 1).cumsum(0)))
    values = normal(rng, 5)
    values[torch.rand(5, generator=rng) < 0.3] = INFINITY
    group = cardinality(counts, [[0, 1, 2, 3]], [values], [[1, 2, 0, 0]])
    energy = factor_graph(counts, factors, group)
    solution = solve(energy, GraphCut(), throw=False)
    _, every = every_labelling(energy)
    if not bool(every.min().isfinite()):
        assert int(solution.status) == Status.INFEASIBLE
        return
    assert int(solution.status) == Status.OPTIMAL
    torch.testing.assert_close(solution.energy, every.min(), rtol=1e-9, atol=1e-9)


def test_unions_keep_their_counts_apart() -> None:
    parts = [overlapping(1, 1), overlapping(2, 0)]
    apart = torch.stack([solve(part, GraphCut()).energy for part in parts])
    torch.testing.assert_close(solve(union(parts), GraphCut()).energy, apart)


def test_convex_functions_with_pairs_are_refused() -> None:
    counts = torch.tensor([2, 2, 2])
    group = cardinality(counts, [[0, 1, 2]], [torch.tensor([0.0, 0.0, 1.0, 4.0])])
    energy = factor_graph(counts, [((0, 1), torch.zeros(2, 2))], group)
    with pytest.raises(ViewError, match="must be finite and concave"):
        solve(energy, GraphCut())
