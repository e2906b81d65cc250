"""Pairwise problems as sums of forests, and the lowest energy of a forest, compiled."""

import typing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_messages import trws_sweep
from groundstate_messages.ordered import Arrays, Ordered, in_order
from groundstate_mrf.flat import FlatPairwise

Array = NDArray[Any]
INFINITY = np.inf
_EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Some of the edges, without a cycle.

    Attributes:
        problem: with these edges only.
        touched: which entries belong to a variable that has an edge here.
    """

    problem: Ordered
    touched: NDArray[np.bool_]


def forests(flat: FlatPairwise) -> tuple[Forest, ...]:
    """All edges, each in one forest: maximal ones, one after another."""
    left = np.arange(len(flat.edges))
    found: list[Forest] = []
    while len(left):
        chosen = np.zeros(len(left), dtype=np.bool_)
        _grow(flat.edges[left], len(flat.counts), chosen)
        found.append(_part(flat, left[chosen]))
        left = left[~chosen]
    return tuple(found)


def _part(flat: FlatPairwise, kept: NDArray[np.int64]) -> Forest:
    part = replace(
        flat, edges=flat.edges[kept], weights=flat.weights[kept], table_of=flat.table_of[kept]
    )
    touched = np.zeros(len(flat.counts), dtype=np.bool_)
    touched[part.edges.reshape(-1)] = True
    return Forest(problem=in_order(part, "breadth-first"), touched=np.repeat(touched, flat.counts))


@njit(cache=True, nogil=True)
@typing.no_type_check
def _grow(edges: Array, variables: int, chosen: Array) -> None:
    """Choose every edge that closes no cycle with those chosen before (union-find)."""
    parent = np.arange(variables)
    for e in range(len(edges)):
        i, j = edges[e, 0], edges[e, 1]
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        while parent[j] != j:
            parent[j] = parent[parent[j]]
            j = parent[j]
        if i != j:
            parent[i] = j
            chosen[e] = True


@njit(cache=True, nogil=True)
@typing.no_type_check
def lowest_of_forest(p: Arrays, costs: Array, labels: Array) -> tuple[float, float]:
    """The lowest energy of a forest, with these costs in the place of its own.

    Args:
        p: the problem; each variable has at most one edge to earlier ones.
        costs: of each entry.
        labels: written: a labelling of that energy.

    Returns:
        The energy, and how far rounding may have raised it, in nats.
    """
    order, counts, offsets = p.order, p.counts, p.offsets
    begins, edges, others, laters, firsts = p.begin, p.edge, p.other, p.later, p.first
    weights, kinds, lows, highs = p.weights, p.kind, p.low, p.high
    starts, tables = p.starts, p.tables
    beliefs = costs.copy()
    out, choice = np.empty(p.widest), np.empty(p.widest)
    total = noise = 0.0
    for step in range(len(order) - 1, -1, -1):
        u = order[step]
        n, start = counts[u], offsets[u]
        root = True
        for k in range(begins[u], begins[u + 1]):
            if laters[k]:
                continue
            root = False
            e, v = edges[k], others[k]
            trws_sweep.send(
                kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                beliefs[start : start + n], n, counts[v], out,
            )  # fmt: skip
            for b in range(counts[v]):
                beliefs[offsets[v] + b] += out[b]
        lowest = beliefs[start]
        for a in range(1, n):
            lowest = min(lowest, beliefs[start + a])
        if lowest == INFINITY:
            return INFINITY, 0.0
        noise += 8 * _EPSILON * abs(lowest)
        if root:
            total += lowest
            noise += _EPSILON * abs(total)
    for step in range(len(order)):
        u = order[step]
        n, start = counts[u], offsets[u]
        for a in range(n):
            choice[a] = beliefs[start + a]
        for k in range(begins[u], begins[u + 1]):
            if laters[k]:
                continue
            e, v = edges[k], others[k]
            trws_sweep.add_prices(
                kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                n, counts[v], labels[v], choice,
            )  # fmt: skip
        best = 0
        for a in range(1, n):
            if choice[a] < choice[best]:
                best = a
        labels[u] = best
    return total, noise
