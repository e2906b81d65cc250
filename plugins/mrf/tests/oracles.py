"""Brute force on random small problems, written without the code under test."""

import itertools
from math import prod

import torch

from groundstate_mrf.factor_graph import cardinality, factor_graph, potts_edges


def labellings(counts):
    return torch.tensor(list(itertools.product(*map(range, counts))), dtype=torch.int64)


def all_entries(counts, labels):
    """One-hot rows, flat."""
    hot = [torch.nn.functional.one_hot(labels[..., i], n) for i, n in enumerate(counts)]
    return torch.cat(hot, -1)


def random_problem(
    seed, *, variables=5, batch=(), infinite=0.0, order=3, dtype=torch.float64, same=0
):
    """Tables of orders 1 to `order`, Potts edges of both signs, two cardinality factors."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        values = torch.randn(*batch, *shape, generator=rng, dtype=dtype)
        if infinite:
            hard = torch.rand(values.shape, generator=rng) < infinite
            values = torch.where(hard, float("inf"), values)
        return values

    counts = [same or int(n) for n in torch.randint(1, 4, (variables,), generator=rng)]
    if not same:
        counts = [*counts[: variables - 3], 2, 2, 2]
    listed = [
        ((i,), torch.randn(*batch, n, generator=rng, dtype=dtype)) for i, n in enumerate(counts)
    ]
    for size in range(2, order + 1):
        for _ in range(3):
            scope = torch.randperm(variables, generator=rng)[:size].tolist()
            listed.append((tuple(scope), normal(*(counts[i] for i in scope))))
    tensor = torch.tensor(counts)
    binary = [i for i, n in enumerate(counts) if n == 2]
    pairs = (
        torch.combinations(torch.tensor(binary))[:4]
        if len(binary) > 1
        else torch.zeros(0, 2).long()
    )
    groups = [potts_edges(tensor, pairs, normal(len(pairs)))] if len(pairs) else []
    if len(binary) >= 2:
        cliques = [binary, binary[-2:]]
        groups.append(cardinality(tensor, cliques, [normal(len(c) + 1) for c in cliques]))
    return factor_graph(
        counts, listed, *groups, constant=torch.randn(batch, generator=rng, dtype=dtype)
    )


def table_energy(counts, listed, labels):
    """Energy by looking cell after cell up."""
    return torch.stack([sum(t[tuple(y[i] for i in scope)] for scope, t in listed) for y in labels])


def size(counts):
    return prod(counts)
