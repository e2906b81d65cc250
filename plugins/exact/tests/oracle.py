"""Random problems of many structures, and their answers by enumeration."""

from dataclasses import dataclass

import torch
from plugins.mrf.tests.random_problems import every_labelling, random_problem, random_tree
from torch import Tensor

from groundstate.testing.typed import ints
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph

INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What enumeration says.

    Attributes:
        minimum: the lowest energy.
        log_partition: log Z.
        marginals: of each entry.
    """

    minimum: Tensor
    log_partition: Tensor
    marginals: Tensor


def answer(energy: FactorGraphEnergy) -> Answer:
    """Minimum, log Z and marginals by looking at every labelling."""
    labels, energies = every_labelling(energy)
    total = torch.logsumexp(-energies, 0)
    chance = (-energies - total).exp().nan_to_num(0.0)
    parts = [
        (chance * (labels[..., i] == label)).sum(0)
        for i, count in enumerate(ints(energy.counts))
        for label in range(count)
    ]
    return Answer(minimum=energies.amin(0), log_partition=total, marginals=torch.stack(parts, -1))


def grid(seed: int, rows: int = 3, columns: int = 3, infinite: float = 0.0) -> FactorGraphEnergy:
    """A grid with 1 to 3 labels, and forbidden pairs."""
    rng = torch.Generator().manual_seed(seed)
    counts = ints(torch.randint(1, 4, (rows * columns,), generator=rng))
    at = torch.arange(rows * columns).reshape(rows, columns)
    pairs = [*zip(ints(at[:, :-1].flatten()), ints(at[:, 1:].flatten()), strict=True)]
    pairs += [*zip(ints(at[:-1].flatten()), ints(at[1:].flatten()), strict=True)]
    return _tables(rng, counts, [*((i,) for i in range(len(counts))), *pairs], infinite)


def complete(seed: int, variables: int = 6, infinite: float = 0.0) -> FactorGraphEnergy:
    """Every pair has a table."""
    rng = torch.Generator().manual_seed(seed)
    counts = ints(torch.randint(2, 4, (variables,), generator=rng))
    pairs = [(i, j) for i in range(variables) for j in range(i)]
    return _tables(rng, counts, [*((i,) for i in range(variables)), *pairs], infinite)


def counting(seed: int, size: int = 8) -> FactorGraphEnergy:
    """A clique too large for a table in the plugin's eyes, one small one, and a forbidden count."""
    rng = torch.Generator().manual_seed(seed)
    counts = torch.full((size + 1,), 2)
    values = [torch.randn(size + 1, generator=rng).double(), torch.randn(3, generator=rng).double()]
    values[0][size // 2] = INFINITY
    unary = [((i,), torch.randn(2, generator=rng).double()) for i in range(size + 1)]
    pair = ((0, size), torch.randn(2, 2, generator=rng).double())
    return factor_graph(
        counts, [*unary, pair], cardinality(counts, [[*range(size)], [size, 1]], values)
    )


def problems() -> list[FactorGraphEnergy]:
    """Trees, grids, complete graphs, orders up to 4, counts, batches; with infinities and without.

    Of some of them no labelling is allowed.
    """
    made: list[FactorGraphEnergy] = []
    for seed in range(12):
        hard = 0.25 * (seed % 2)
        made += [
            random_tree(seed, infinite=0.5 * hard),
            grid(seed, infinite=0.5 * hard),
            complete(seed, infinite=0.5 * hard),
            random_problem(seed, order=4, infinite=hard),
            random_problem(seed, variables=6, batch=(2,), infinite=0.5 * hard),
            counting(seed),
        ]
    return made


def _tables(
    rng: torch.Generator, counts: list[int], scopes: list[tuple[int, ...]], infinite: float
) -> FactorGraphEnergy:
    factors: list[tuple[tuple[int, ...], Tensor]] = []
    for scope in scopes:
        table = torch.randn([counts[i] for i in scope], generator=rng, dtype=torch.float64)
        hard = torch.rand(table.shape, generator=rng) < infinite * (len(scope) > 1)
        factors.append((scope, torch.where(hard, INFINITY, table)))
    return factor_graph(counts, factors, constant=0.25)
