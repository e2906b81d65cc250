"""Costs of the labels of one variable given all others, and sweeps by them, in compiled code."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_moves.fuse_kernel import price  # pyright: ignore[reportUnknownVariableType]

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
