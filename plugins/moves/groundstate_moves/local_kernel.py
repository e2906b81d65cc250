"""Costs of the labels of one variable given all others, and sweeps by them, in compiled code."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_moves.fuse_kernel import price

Array = NDArray[Any]


@njit(cache=True, nogil=True)
@typing.no_type_check
def conditional(
    i: int,
    labels: Array,
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    begin: Array,
    touching: Array,
    scores: Array,
) -> None:
    """Write the cost of each label of variable i, with its factors, to `scores`."""
    for a in range(counts[i]):
        scores[a] = costs[offsets[i] + a]
    for place in range(begin[i], begin[i + 1]):
        e = touching[place]
        left, right = edges[e, 0], edges[e, 1]
        wide = counts[right]
        if left == i:
            other = labels[right]
            for a in range(counts[i]):
                scores[a] += price(e, a, other, wide, weights, table_of, starts, tables)
        else:
            other = labels[left]
            for a in range(counts[i]):
                scores[a] += price(e, other, a, wide, weights, table_of, starts, tables)


@njit(cache=True, nogil=True)
@typing.no_type_check
def descend(
    labels: Array,
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    begin: Array,
    touching: Array,
    sweeps: int,
) -> int:
    """Best label of each variable in turn, at most so many sweeps; how many changed at last."""
    scores = np.empty(max(counts.max(), 1) if counts.shape[0] else 1)
    changed = 0
    for _ in range(sweeps):
        changed = 0
        for i in range(counts.shape[0]):
            conditional(
                i, labels, counts, offsets, costs, edges, weights, table_of, starts, tables,
                begin, touching, scores,
            )  # fmt: skip
            best = labels[i]
            for a in range(counts[i]):
                if scores[a] < scores[best]:
                    best = a
            if best != labels[i]:
                labels[i] = best
                changed += 1
        if changed == 0:
            break
    return changed


@njit(cache=True, nogil=True)
@typing.no_type_check
def draw(
    labels: Array,
    uniform: Array,
    temperature: float,
    counts: Array,
    offsets: Array,
    costs: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    begin: Array,
    touching: Array,
    order: Array,
) -> None:
    """Draw each variable in this order from its conditional at a temperature (heat bath).

    A variable all of whose labels are forbidden by the others takes any, so that they get free.
    """
    scores = np.empty(max(counts.max(), 1) if counts.shape[0] else 1)
    for place in range(order.shape[0]):
        i = order[place]
        conditional(
            i, labels, counts, offsets, costs, edges, weights, table_of, starts, tables,
            begin, touching, scores,
        )  # fmt: skip
        lowest = np.inf
        for a in range(counts[i]):
            lowest = min(lowest, scores[a])
        total = 0.0
        for a in range(counts[i]):
            weight = 1.0 if lowest == np.inf else np.exp((lowest - scores[a]) / temperature)
            total += weight
            scores[a] = total
        mark = uniform[place] * total
        label = 0
        while label < counts[i] - 1 and scores[label] <= mark:
            label += 1
        labels[i] = label
