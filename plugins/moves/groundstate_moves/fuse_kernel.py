"""The best mixture of two labellings, by one minimum cut, in compiled code.

Boykov, Veksler, Zabih: Fast Approximate Energy Minimization via Graph Cuts (2001), §3-5, and
Lempitsky, Rother, Roth, Blake: Fusion Moves for Markov Random Field Optimization (2010). Each
variable takes its label from the left (z = 0) or from the right labelling (z = 1). An edge with
E(0,0) + E(1,1) > E(0,1) + E(1,0) is truncated: E(0,0) is lowered until it is submodular, or E(0,1)
raised where E(0,0) is forbidden (Rother, Kumar, Kolmogorov, Blake: Digital Tapestry, 2005). Where
the left labelling is the current one the energy then cannot rise: what a move gains by the
truncated energy, it gains at least by the true one. It is looked at all the same, so that no move
is made that would raise it, for any two labellings and any rounding.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_moves.flow_kernel import (
    SOURCE,
    push,  # pyright: ignore[reportUnknownVariableType]
)

Array = NDArray[Any]

_ROUNDING = 1e-12


@njit(cache=True, nogil=True)
@typing.no_type_check
def price(
    e: int,
    a: int,
    b: int,
    wide: int,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
) -> float:
    """Of edge e with labels a and b, in nats; infinity times nothing is nothing."""
    value = tables[starts[table_of[e]] + a * wide + b]
    return weights[e] * value if value != 0.0 else 0.0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _lay(
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    left: Array,
    right: Array,
    big: float,
    forward: Array,
    sister: Array,
    capacity: Array,
    terminal: Array,
) -> int:
    """Write the cut of the binary energy; how many edges had to be truncated."""
    for i in range(counts.shape[0]):
        before, after = costs[offsets[i] + left[i]], costs[offsets[i] + right[i]]
        terminal[i] = min(after, big) - min(before, big)
    truncated = 0
    for e in range(edges.shape[0]):
        i, j = edges[e, 0], edges[e, 1]
        there = forward[e]
        back = sister[there]
        a, b, c, d = left[i], left[j], right[i], right[j]
        if a == c and b == d:
            capacity[there] = capacity[back] = 0.0
            continue
        wide = counts[j]
        e00 = min(price(e, a, b, wide, weights, table_of, starts, tables), big)
        e01 = min(price(e, a, d, wide, weights, table_of, starts, tables), big)
        e10 = min(price(e, c, b, wide, weights, table_of, starts, tables), big)
        e11 = min(price(e, c, d, wide, weights, table_of, starts, tables), big)
        excess = e01 + e10 - e00 - e11
        if excess < 0.0:
            if -excess > _ROUNDING * (abs(e00) + abs(e01) + abs(e10) + abs(e11)):
                truncated += 1
            # keeping what is forbidden must not look good: then the right one of i alone is kept
            if e00 < big:
                e00 += excess
            else:
                e01 -= excess
            excess = 0.0
        terminal[i] += e10 - e00 - excess / 2
        terminal[j] += e01 - e00 - excess / 2
        capacity[there] = capacity[back] = excess / 2
    return truncated


@njit(cache=True, nogil=True)
@typing.no_type_check
def _change(
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    before: Array,
    after: Array,
) -> tuple[int, float, float]:
    """By how much the energy changes: forbidden terms, finite terms, and the size of those."""
    forbidden, finite, size = 0, 0.0, 0.0
    for i in range(counts.shape[0]):
        if before[i] != after[i]:
            old, new = costs[offsets[i] + before[i]], costs[offsets[i] + after[i]]
            forbidden += (new == np.inf) - (old == np.inf)
            old, new = 0.0 if old == np.inf else old, 0.0 if new == np.inf else new
            finite += new - old
            size += abs(new) + abs(old)
    for e in range(edges.shape[0]):
        i, j = edges[e, 0], edges[e, 1]
        if before[i] != after[i] or before[j] != after[j]:
            wide = counts[j]
            old = price(e, before[i], before[j], wide, weights, table_of, starts, tables)
            new = price(e, after[i], after[j], wide, weights, table_of, starts, tables)
            forbidden += (new == np.inf) - (old == np.inf)
            old, new = 0.0 if old == np.inf else old, 0.0 if new == np.inf else new
            finite += new - old
            size += abs(new) + abs(old)
    return forbidden, finite, size


@njit(cache=True, nogil=True)
@typing.no_type_check
def fuse(
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    first: Array,
    head: Array,
    sister: Array,
    forward: Array,
    big: float,
    left: Array,
    right: Array,
    labels: Array,
) -> tuple[bool, int]:
    """Take the best mixture of left and right where it is better than `labels`, written to.

    Returns:
        Whether it was better, and how many edges had to be truncated.
    """
    nodes = counts.shape[0]
    capacity = np.empty(head.shape[0])
    terminal = np.empty(nodes)
    tree = np.empty(nodes, np.uint8)
    truncated = _lay(
        counts, offsets, costs, edges, weights, table_of, starts, tables,
        left, right, big, forward, sister, capacity, terminal,
    )  # fmt: skip
    push(first, head, sister, capacity, terminal, tree, 1 << 62)
    mixture = np.empty(nodes, np.int64)
    for i in range(nodes):
        mixture[i] = left[i] if tree[i] == SOURCE else right[i]
    forbidden, finite, size = _change(
        counts, offsets, costs, edges, weights, table_of, starts, tables, labels, mixture
    )
    better = forbidden < 0 or (forbidden == 0 and finite < -_ROUNDING * size)
    if better:
        labels[:] = mixture
    return better, truncated
