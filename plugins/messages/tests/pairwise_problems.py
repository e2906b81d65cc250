"""Random pairwise problems of several shapes, in float64."""

import itertools

import torch
from torch import Tensor

from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph, potts_edges

INFINITY = float("inf")
SHAPES = ("tree", "grid", "complete", "mixed")


def edges_of(shape: str, rng: torch.Generator) -> tuple[int, list[tuple[int, int]]]:
    """How many variables, and the edges between them."""
    if shape == "tree":
        return 7, [(int(torch.randint(0, i, (1,), generator=rng)), i) for i in range(1, 7)]
    if shape == "grid":
        right = [(v, v + 1) for v in range(9) if v % 3 < 2]
        return 9, right + [(v, v + 3) for v in range(6)]
    if shape == "complete":
        return 6, list(itertools.combinations(range(6), 2))
    pairs = list(itertools.combinations(range(7), 2))
    chosen = torch.randperm(len(pairs), generator=rng)[:9]
    both = [pairs[int(k)] if k % 2 else (pairs[int(k)][1], pairs[int(k)][0]) for k in chosen]
    return 7, both


def pairwise(
    seed: int, *, infinite: float = 0.0, strength: float = 1.0, batch: tuple[int, ...] = ()
) -> FactorGraphEnergy:
    """Tables on a tree, a grid, a complete or a sparse graph; Potts edges where counts agree."""
    rng = torch.Generator().manual_seed(seed)
    shape = SHAPES[seed % len(SHAPES)]
    variables, edges = edges_of(shape, rng)
    most = 3 if variables > 7 else 4
    counts = [int(n) for n in torch.randint(1, most, (variables,), generator=rng)]
    if seed % 3 == 0:
        counts = [2 + seed % 2] * variables

    def normal(*size: int) -> Tensor:
        values = torch.randn(*batch, *size, generator=rng, dtype=torch.float64)
        hard = torch.rand(values.shape, generator=rng) < infinite
        return torch.where(hard, INFINITY, values)

    factors = [((i,), normal(n)) for i, n in enumerate(counts)]
    constant = torch.randn(batch, generator=rng, dtype=torch.float64)
    if seed % 3 == 0:
        tensor = torch.tensor(counts)
        weights = strength * torch.randn(*batch, len(edges), generator=rng, dtype=torch.float64)
        group = potts_edges(tensor, torch.tensor(edges), weights)
        return factor_graph(counts, factors, group, constant=constant)
    tables = [((i, j), strength * normal(counts[i], counts[j])) for i, j in edges]
    return factor_graph(counts, [*factors, *tables], constant=constant)
