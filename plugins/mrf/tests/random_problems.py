"""Brute force on random small problems, written without the code under test."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from groundstate.factors import FactorGroup
from groundstate.testing.typed import ints
from groundstate_mrf.factor_graph import FactorGraphEnergy, cardinality, factor_graph, potts_edges

INFINITY = float("inf")


def labellings(counts: Sequence[int]) -> Tensor:
    return torch.tensor(list(itertools.product(*map(range, counts))), dtype=torch.int64)


def every_labelling(energy: FactorGraphEnergy) -> tuple[Tensor, Tensor]:
    """All labellings, [n, *batch, variables], and their energies [n, *batch]."""
    labels = labellings(ints(energy.counts))
    batch = energy.space.batch_shape
    labels = labels.reshape(len(labels), *[1] * len(batch), -1)
    labels = labels.expand(len(labels), *batch, len(energy.counts))
    return labels, energy(labels)


def random_problem(
    seed: int,
    *,
    variables: int = 5,
    batch: tuple[int, ...] = (),
    infinite: float = 0.0,
    order: int = 3,
    counting: bool = True,
    same: int = 0,
) -> FactorGraphEnergy:
    """Tables of orders 1 to `order`, Potts edges of both signs, two cardinality factors."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        values = torch.randn(*batch, *shape, generator=rng, dtype=torch.float64)
        hard = torch.rand(values.shape, generator=rng) < infinite
        return torch.where(hard, INFINITY, values)

    counts = ints(torch.randint(1, 4, (variables,), generator=rng))
    counts = [same] * variables if same else [*counts[: variables - 3], 2, 2, 2]
    factors: list[tuple[tuple[int, ...], Tensor]] = [
        ((i,), torch.randn(*batch, n, generator=rng, dtype=torch.float64))
        for i, n in enumerate(counts)
    ]
    for size in range(2, order + 1):
        for _ in range(3):
            scope = ints(torch.randperm(variables, generator=rng)[:size])
            factors.append((tuple(scope), normal(*(counts[i] for i in scope))))
    tensor = torch.tensor(counts)
    last = range(variables - 3, variables)
    edges = torch.tensor(list(itertools.combinations(last, 2)))
    groups: list[FactorGroup] = [potts_edges(tensor, edges, normal(3))]
    if counting and not same:
        cliques = [list(last), [variables - 1, variables - 2]]
        groups.append(cardinality(tensor, cliques, [normal(len(c) + 1) for c in cliques]))
        # a label of each variable, however many it has
        cliques = [list(range(variables)), [0, variables - 1]]
        counted = [[int(torch.randint(counts[v], (), generator=rng)) for v in c] for c in cliques]
        values = [normal(len(c) + 1) for c in cliques]
        groups.append(cardinality(tensor, cliques, values, counted))
    constant = torch.randn(batch, generator=rng, dtype=torch.float64)
    return factor_graph(counts, factors, *groups, constant=constant)


def random_tree(seed: int, variables: int = 7, infinite: float = 0.0) -> FactorGraphEnergy:
    """A tree of pairs and one factor of order 3, with label counts of 1 to 3."""
    rng = torch.Generator().manual_seed(seed)
    counts = ints(torch.randint(1, 4, (variables + 2,), generator=rng))
    parents = [int(torch.randint(0, i, (1,), generator=rng)) for i in range(1, variables)]
    scopes: list[tuple[int, ...]] = [(parent, child) for child, parent in enumerate(parents, 1)]
    scopes += [(variables - 1, variables, variables + 1), *((i,) for i in range(0, variables, 2))]
    factors: list[tuple[tuple[int, ...], Tensor]] = []
    for scope in scopes:
        table = torch.randn([counts[i] for i in scope], generator=rng, dtype=torch.float64)
        hard = (torch.rand(table.shape, generator=rng) < infinite) & (table > -1)
        factors.append((scope, torch.where(hard, INFINITY, table)))
    return factor_graph(counts, factors)


def parts(energy: FactorGraphEnergy) -> list[FactorGraphEnergy]:
    """The energy with one group alone, for each."""
    return [
        FactorGraphEnergy(counts=energy.counts, groups=(group,), constant=energy.constant * 0)
        for group in energy.groups
    ]
