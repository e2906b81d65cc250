"""One sweep of cluster moves on a Potts problem, in compiled code."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(cache=True, nogil=True)
@typing.no_type_check
def _root(each: int, parent: Array) -> int:
    while parent[each] != each:
        parent[each] = parent[parent[each]]
        each = parent[each]
    return each


@njit(cache=True, nogil=True)
@typing.no_type_check
def redraw_clusters(
    labels: Array,
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    uniform: Array,
    noise: Array,
) -> None:
    """Bind equal neighbours with 1 - exp(-weight), and draw a label for all that hang together.

    Args:
        labels: written to.
        counts: labels of each variable.
        offsets: first entry of each variable.
        costs: of each entry, over the temperature.
        edges: pairs of variables with equally many labels.
        weights: price of unlike labels over the temperature, not negative.
        uniform: a number in [0, 1) for each edge.
        noise: Gumbel noise for each entry; that of a cluster's first variable is used.
    """
    variables = counts.shape[0]
    parent = np.arange(variables)
    for e in range(edges.shape[0]):
        i, j = edges[e, 0], edges[e, 1]
        if labels[i] == labels[j] and uniform[e] < -np.expm1(-weights[e]):
            a, b = _root(i, parent), _root(j, parent)
            parent[max(a, b)] = min(a, b)
    total = np.zeros(costs.shape[0])
    for i in range(variables):
        root = _root(i, parent)
        for label in range(counts[i]):
            total[offsets[root] + label] += costs[offsets[i] + label]
    drawn = np.empty(variables, np.int64)
    for i in range(variables):
        root = _root(i, parent)
        if root == i:
            drawn[i] = _lowest(total, noise, offsets[i], counts[i])
        labels[i] = drawn[root]


@njit(cache=True, nogil=True)
@typing.no_type_check
def _lowest(total: Array, noise: Array, begin: int, count: int) -> int:
    """The label of the lowest cost after noise; of the noise alone where all are forbidden."""
    best, least, stuck = 0, np.inf, True
    for label in range(count):
        stuck = stuck and total[begin + label] == np.inf
    for label in range(count):
        cost = -noise[begin + label] + (0.0 if stuck else total[begin + label])
        if cost < least:
            best, least = label, cost
    return best
