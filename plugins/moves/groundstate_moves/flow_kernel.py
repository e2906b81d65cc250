"""Maximum flow by augmenting paths between two search trees that are kept, in compiled code.

Boykov, Kolmogorov: An Experimental Comparison of Min-Cut/Max-Flow Algorithms for Energy
Minimization in Vision (2004), §3: one tree of residual arcs grows from the source, one from the
sink; where they touch there is a path, and what the saturation of its arcs cuts off is adopted by
another node of its tree or set free. Written from the paper. Two additions: before any tree grows,
flow is sent over paths of one arc; and the distance of a node to its root, where it was found in
the same round of adoption, is kept.

Arcs lie node after node. The source and the sink are no nodes: `terminal[i]` > 0 is what may still
flow from the source to i, below 0 what may still flow from i to the sink. Amounts are float64; the
arc that limits a path is set to exactly 0, so every path ends an arc and the method ends.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]

FREE, SOURCE, SINK = 0, 1, 2
"""The tree of a node."""
_ROOT, _NONE = -1, -2
"""Instead of an arc to the parent: the node hangs on its terminal, or on nothing."""
_HEAD, _TAIL, _LOST_HEAD, _LOST_TAIL, _ROUND = 0, 1, 2, 3, 4
"""Counters: ends of the two queues (active nodes, orphans), and the round of adoption."""
_FAR = 1 << 30


@njit(cache=True, nogil=True)
@typing.no_type_check
def _enqueue(node: int, waiting: Array, queue: Array, counter: Array) -> None:
    """Let a node look at its neighbours, if it is not waiting for that already."""
    if not waiting[node]:
        waiting[node] = True
        queue[counter[_TAIL]] = node
        counter[_TAIL] += 1
        if counter[_TAIL] == queue.shape[0]:
            counter[_TAIL] = 0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _orphan(node: int, parent: Array, orphans: Array, counter: Array) -> None:
    parent[node] = _NONE
    orphans[counter[_LOST_TAIL]] = node
    counter[_LOST_TAIL] += 1
    if counter[_LOST_TAIL] == orphans.shape[0]:
        counter[_LOST_TAIL] = 0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _augment(
    middle: int,
    head: Array,
    sister: Array,
    capacity: Array,
    terminal: Array,
    parent: Array,
    orphans: Array,
    counter: Array,
) -> None:
    """Send what fits through the path over `middle`, an arc from the one tree to the other."""
    most = capacity[middle]
    node = head[sister[middle]]
    while parent[node] != _ROOT:
        most = min(most, capacity[sister[parent[node]]])
        node = head[parent[node]]
    most = min(most, terminal[node])
    node = head[middle]
    while parent[node] != _ROOT:
        most = min(most, capacity[parent[node]])
        node = head[parent[node]]
    most = min(most, -terminal[node])

    capacity[middle] -= most
    capacity[sister[middle]] += most
    node = head[sister[middle]]
    while parent[node] != _ROOT:
        arc = parent[node]
        above = head[arc]
        capacity[arc] += most
        capacity[sister[arc]] -= most
        if capacity[sister[arc]] <= 0.0:
            _orphan(node, parent, orphans, counter)
        node = above
    terminal[node] -= most
    if terminal[node] <= 0.0:
        _orphan(node, parent, orphans, counter)
    node = head[middle]
    while parent[node] != _ROOT:
        arc = parent[node]
        above = head[arc]
        capacity[sister[arc]] += most
        capacity[arc] -= most
        if capacity[arc] <= 0.0:
            _orphan(node, parent, orphans, counter)
        node = above
    terminal[node] += most
    if terminal[node] >= 0.0:
        _orphan(node, parent, orphans, counter)


@njit(cache=True, nogil=True)
@typing.no_type_check
def _depth(node: int, now: int, head: Array, parent: Array, seen: Array, depth: Array) -> int:
    """How far a node is from its root; _FAR where it hangs on an orphan."""
    steps = 0
    each = node
    while seen[each] != now:
        arc = parent[each]
        if arc == _NONE:
            return _FAR
        if arc == _ROOT:
            seen[each] = now
            depth[each] = 1
            break
        each = head[arc]
        steps += 1
    total = steps + depth[each]
    each, left = node, total
    while seen[each] != now:
        seen[each] = now
        depth[each] = left
        left -= 1
        each = head[parent[each]]
    return total


@njit(cache=True, nogil=True)
@typing.no_type_check
def _adopt(
    node: int,
    first: Array,
    head: Array,
    sister: Array,
    capacity: Array,
    tree: Array,
    parent: Array,
    seen: Array,
    depth: Array,
    waiting: Array,
    queue: Array,
    orphans: Array,
    counter: Array,
) -> None:
    """Hang an orphan on the neighbour of its tree nearest to the root, or set it free."""
    mine, now = tree[node], counter[_ROUND]
    best, nearest = _NONE, _FAR
    for arc in range(first[node], first[node + 1]):
        other = head[arc]
        if tree[other] != mine:
            continue
        room = capacity[sister[arc]] if mine == SOURCE else capacity[arc]
        if room > 0.0:
            far = _depth(other, now, head, parent, seen, depth)
            if far < nearest:
                best, nearest = arc, far
                if far == 1:
                    break
    if best != _NONE:
        parent[node] = best
        seen[node] = now
        depth[node] = nearest + 1
        return
    for arc in range(first[node], first[node + 1]):
        other = head[arc]
        if tree[other] != mine:
            continue
        room = capacity[sister[arc]] if mine == SOURCE else capacity[arc]
        if room > 0.0:
            _enqueue(other, waiting, queue, counter)
        above = parent[other]
        if above >= 0 and head[above] == node:
            _orphan(other, parent, orphans, counter)
    tree[node] = FREE


@njit(cache=True, nogil=True)
@typing.no_type_check
def _touch(
    node: int,
    start: int,
    first: Array,
    head: Array,
    sister: Array,
    capacity: Array,
    tree: Array,
    parent: Array,
    seen: Array,
    depth: Array,
    waiting: Array,
    queue: Array,
    counter: Array,
) -> int:
    """Grow the tree of a node by its neighbours; the first arc that meets the other tree, or -1."""
    mine = tree[node]
    for arc in range(start, first[node + 1]):
        room = capacity[arc] if mine == SOURCE else capacity[sister[arc]]
        if room <= 0.0:
            continue
        other = head[arc]
        if tree[other] == FREE:
            tree[other] = mine
            parent[other] = sister[arc]
            seen[other] = seen[node]
            depth[other] = depth[node] + 1
            _enqueue(other, waiting, queue, counter)
        elif tree[other] != mine:
            return arc
        elif seen[other] <= seen[node] and depth[other] > depth[node] and parent[other] >= 0:
            # a shorter way to the root
            parent[other] = sister[arc]
            seen[other] = seen[node]
            depth[other] = depth[node] + 1
    return -1


@njit(cache=True, nogil=True)
@typing.no_type_check
def send_over_single_arcs(
    first: Array, head: Array, sister: Array, capacity: Array, terminal: Array
) -> None:
    """Send flow from the source to the sink over paths of one arc between two nodes."""
    for node in range(terminal.shape[0]):
        if terminal[node] <= 0.0:
            continue
        for arc in range(first[node], first[node + 1]):
            other = head[arc]
            if terminal[other] < 0.0 and capacity[arc] > 0.0:
                most = min(terminal[node], capacity[arc], -terminal[other])
                capacity[arc] -= most
                capacity[sister[arc]] += most
                terminal[node] -= most
                terminal[other] += most
                if terminal[node] <= 0.0:
                    break


@njit(cache=True, nogil=True)
@typing.no_type_check
def push(
    first: Array,
    head: Array,
    sister: Array,
    capacity: Array,
    terminal: Array,
    tree: Array,
    paths: int,
) -> bool:
    """Send flow until no more fits, over that many paths at most; whether it is maximal.

    Args:
        first: where the arcs of each node begin, and behind the last one how many there are.
        head: where each arc leads.
        sister: the arc back.
        capacity: what each arc still lets through; written to.
        terminal: what may still flow from the source (> 0) or to the sink (< 0); written to.
        tree: written to; at a maximum SOURCE for the nodes on the source's side of the smallest
            minimum cut, SINK for those that still reach the sink, else FREE.
        paths: how many paths to look for.
    """
    nodes = terminal.shape[0]
    parent = np.full(nodes, _NONE, np.int32)
    seen = np.zeros(nodes, np.int32)
    depth = np.ones(nodes, np.int32)
    waiting = np.zeros(nodes, np.bool_)
    queue = np.empty(nodes + 1, np.int32)
    orphans = np.empty(nodes + 1, np.int32)
    counter = np.zeros(8, np.int64)
    send_over_single_arcs(first, head, sister, capacity, terminal)
    for node in range(nodes):
        tree[node] = FREE
        if terminal[node] != 0.0:
            tree[node] = SOURCE if terminal[node] > 0.0 else SINK
            parent[node] = _ROOT
            _enqueue(node, waiting, queue, counter)
    while counter[_HEAD] != counter[_TAIL]:
        node = queue[counter[_HEAD]]
        counter[_HEAD] += 1
        if counter[_HEAD] == queue.shape[0]:
            counter[_HEAD] = 0
        waiting[node] = False
        start = first[node]
        while tree[node] != FREE:
            arc = _touch(
                node,
                start,
                first,
                head,
                sister,
                capacity,
                tree,
                parent,
                seen,
                depth,
                waiting,
                queue,
                counter,
            )
            if arc < 0:
                break
            if paths == 0:
                return False
            paths -= 1
            start = arc
            middle = arc if tree[node] == SOURCE else sister[arc]
            counter[_ROUND] += 1
            _augment(middle, head, sister, capacity, terminal, parent, orphans, counter)
            while counter[_LOST_HEAD] != counter[_LOST_TAIL]:
                lost = orphans[counter[_LOST_HEAD]]
                counter[_LOST_HEAD] += 1
                if counter[_LOST_HEAD] == orphans.shape[0]:
                    counter[_LOST_HEAD] = 0
                _adopt(
                    lost,
                    first,
                    head,
                    sister,
                    capacity,
                    tree,
                    parent,
                    seen,
                    depth,
                    waiting,
                    queue,
                    orphans,
                    counter,
                )
    return True
