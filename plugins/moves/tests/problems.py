"""Random problems with the structure that cuts and moves ask for, in float64."""

import torch
from torch import Tensor

from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph

INFINITY = float("inf")


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def grid_edges(height: int, width: int) -> list[tuple[int, int]]:
    index = torch.arange(height * width).reshape(height, width)
    right = torch.stack([index[:, :-1].flatten(), index[:, 1:].flatten()], -1)
    down = torch.stack([index[:-1].flatten(), index[1:].flatten()], -1)
    return [(int(i), int(j)) for i, j in torch.cat([right, down])]


def monge(rng: torch.Generator, rows: int, columns: int) -> Tensor:
    """A random table with V(a, b) + V(a+1, b+1) <= V(a, b+1) + V(a+1, b)."""
    steps = torch.rand(rows, columns, generator=rng, dtype=torch.float64)
    table = -steps.cumsum(0).cumsum(1)
    return table + normal(rng, rows, 1) + normal(rng, 1, columns)


def ordered_problem(
    seed: int, *, labels: int = 2, variables: int = 7, infinite: float = 0.0
) -> FactorGraphEnergy:
    """Random Monge tables on random edges, with label counts from 1 to `labels`."""
    rng = torch.Generator().manual_seed(seed)
    counts = [int(torch.randint(1, labels + 1, (1,), generator=rng)) for _ in range(variables)]
    factors: list[tuple[tuple[int, ...], Tensor]] = []
    for i, count in enumerate(counts):
        costs = normal(rng, count)
        hard = torch.rand(count, generator=rng) < infinite
        factors.append(((i,), torch.where(hard, INFINITY, costs)))
    for _ in range(2 * variables):
        i, j = (int(each) for each in torch.randperm(variables, generator=rng)[:2])
        table = monge(rng, counts[i], counts[j])
        if table.shape == (2, 2) and float(torch.rand(1, generator=rng)) < infinite:
            table[0, 1] = INFINITY
        factors.append(((i, j), table))
    return factor_graph(counts, factors, constant=0.5)
