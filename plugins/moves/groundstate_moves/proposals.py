"""Labellings that fusion moves are offered."""

from collections.abc import Callable
from typing import Literal, cast

import numpy as np

from groundstate_moves import local_kernel
from groundstate_mrf.flat import FlatPairwise, Reals, Whole

Proposal = Callable[[FlatPairwise, Whole, int, np.random.Generator], Whole]
"""A labelling, from the problem, the labelling so far, the number of the round and a generator."""
ProposalName = Literal["constant", "descent", "smoothed", "random"]

_descend = cast(Callable[..., int], local_kernel.descend)
_ROUNDS = 4
_SWEEPS = 8


def constant(flat: FlatPairwise, labels: Whole, turn: int, rng: np.random.Generator) -> Whole:
    """One label wherever there is such a label: each in turn."""
    label = turn % int(flat.counts.max(initial=1))
    return np.where(flat.counts > label, label, labels)


def descent(flat: FlatPairwise, labels: Whole, turn: int, rng: np.random.Generator) -> Whole:
    """A local minimum of ICM from random labels."""
    found = rng.integers(0, flat.counts)
    begin, touching = flat.incident
    _descend(found, *pairwise_arrays(flat), begin, touching, _SWEEPS)
    return found


def smoothed(flat: FlatPairwise, labels: Whole, turn: int, rng: np.random.Generator) -> Whole:
    """The cheapest labels by costs that are averaged with those of the neighbours, a few times.

    Variables with other numbers of labels keep their own costs.
    """
    width = int(flat.counts.max(initial=1))
    alike = flat.counts == width
    costs = np.full((len(flat.counts), width), np.inf)
    rows = np.repeat(np.arange(len(flat.counts)), flat.counts)
    costs[rows, np.arange(flat.offsets[-1]) - flat.offsets[rows]] = flat.costs
    pairs = flat.edges[alike[flat.edges].all(-1)]
    for _ in range(1 + turn % _ROUNDS):
        costs = _averaged(costs, pairs)
    noise = rng.random(costs.shape) * 1e-9
    return np.minimum(np.argmin(costs + noise, -1), flat.counts - 1)


def _averaged(costs: Reals, pairs: Whole) -> Reals:
    total, number = costs.copy(), np.ones(len(costs))
    for here, there in (pairs.T, pairs.T[::-1]):
        np.add.at(total, here, costs[there])
        np.add.at(number, here, 1.0)
    return total / number[:, None]


def random(flat: FlatPairwise, labels: Whole, turn: int, rng: np.random.Generator) -> Whole:
    """Any labels."""
    return rng.integers(0, flat.counts)


PROPOSALS: dict[ProposalName, Proposal] = {
    "constant": constant,
    "descent": descent,
    "smoothed": smoothed,
    "random": random,
}


def pairwise_arrays(
    flat: FlatPairwise,
) -> tuple[Whole, Whole, Reals, Whole, Reals, Whole, Whole, Reals]:
    """The arrays of a problem in the order in which compiled code takes them."""
    return (
        flat.counts,
        flat.offsets,
        flat.costs,
        flat.edges,
        flat.weights,
        flat.table_of,
        flat.starts,
        flat.tables,
    )
