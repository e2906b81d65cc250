"""Better labels for small connected sets of variables of a pairwise problem, in compiled code."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_moves.local_kernel import conditional  # pyright: ignore[reportUnknownVariableType]

Array = NDArray[Any]


@njit(cache=True, nogil=True)
@typing.no_type_check
def _is_new(other: int, level: int, members: Array) -> bool:
    """Whether it may join: a set is found from its first variable, so others come after that."""
    if other <= members[0]:
        return False
    for each in range(1, level):
        if members[each] == other:
            return False
    return True


@njit(cache=True, nogil=True)
@typing.no_type_check
def _extend(
    depth: int,
    slack: float,
    members: Array,
    changes: Array,
    scores: Array,
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
) -> bool:
    """Change more variables next to the members, so that the energy falls in all; or nothing.

    Depth first, without recursion, which compiled code that is kept on disk does not bear. At each
    level: the member whose neighbours are looked at, the place in its list of edges, the neighbour
    that is being changed (or -1), its own label, and the label it is given.
    """
    by, place, other = np.zeros(depth, np.int64), np.zeros(depth, np.int64), np.full(depth, -1)
    own, given = np.zeros(depth, np.int64), np.zeros(depth, np.int64)
    level = 1
    place[1] = begin[members[0]]
    while level >= 1:
        here = other[level]
        if here >= 0:
            given[level] += 1
            if given[level] == own[level]:
                given[level] += 1
            if given[level] >= counts[here]:
                labels[here] = own[level]
                other[level] = -1
                continue
            labels[here] = given[level]
            gain = scores[level, given[level]] - scores[level, own[level]]
            changes[level] = changes[level - 1] + gain
            if changes[level] < -slack:
                return True
            members[level] = here
            if level + 1 < depth:
                level += 1
                by[level], other[level] = 0, -1
                place[level] = begin[members[0]]
            continue
        if place[level] == begin[members[by[level]] + 1]:
            by[level] += 1
            if by[level] == level:
                level -= 1
            else:
                place[level] = begin[members[by[level]]]
            continue
        e = touching[place[level]]
        place[level] += 1
        near = edges[e, 1] if edges[e, 0] == members[by[level]] else edges[e, 0]
        if _is_new(near, level, members):
            other[level], own[level], given[level] = near, labels[near], -1
            conditional(
                near, labels, counts, offsets, costs, edges, weights, table_of, starts, tables,
                begin, touching, scores[level],
            )  # fmt: skip
    return False


@njit(cache=True, nogil=True)
@typing.no_type_check
def _flip(
    root: int,
    depth: int,
    slack: float,
    members: Array,
    changes: Array,
    scores: Array,
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
) -> bool:
    """Better labels for a connected set of at most `depth` variables, `root` the first of them."""
    members[0] = root
    conditional(
        root, labels, counts, offsets, costs, edges, weights, table_of, starts, tables,
        begin, touching, scores[0],
    )  # fmt: skip
    now = labels[root]
    best = now
    for label in range(counts[root]):
        if scores[0, label] < scores[0, best]:
            best = label
    if scores[0, best] < scores[0, now] - slack:
        labels[root] = best
        return True
    if depth == 1:
        return False
    for label in range(counts[root]):
        if label != now:
            labels[root] = label
            changes[0] = scores[0, label] - scores[0, now]
            if _extend(
                depth, slack, members, changes, scores, labels, counts, offsets, costs, edges,
                weights, table_of, starts, tables, begin, touching,
            ):  # fmt: skip
                return True
    labels[root] = now
    return False


@njit(cache=True, nogil=True)
@typing.no_type_check
def flip_sweep(
    start: int,
    stop: int,
    quiet: int,
    depth: int,
    slack: float,
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
) -> int:
    """Better labels for connected sets of at most `depth` variables, from each first one in turn.

    All costs must be finite. Variables past the last one, as the other problems of a union may
    have, give nothing.

    The roots are `start` ... `stop` - 1; `slack` is what an energy must fall by, in nats. The
    labels are written to.

    Returns:
        How many in a row gave nothing better, at the end, with the `quiet` ones before.
    """
    members = np.empty(depth, np.int64)
    changes = np.zeros(depth)
    width = 1
    for i in range(counts.shape[0]):
        width = max(width, counts[i])
    scores = np.empty((depth, width))
    for root in range(start, stop):
        quiet += 1
        if root < counts.shape[0] and _flip(
            root, depth, slack, members, changes, scores, labels, counts, offsets, costs, edges,
            weights, table_of, starts, tables, begin, touching,
        ):  # fmt: skip
            quiet = 0
    return quiet
