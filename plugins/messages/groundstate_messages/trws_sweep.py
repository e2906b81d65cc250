"""One pass of TRW-S over a problem in order, compiled; see `groundstate_messages.trws`."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_messages.ordered import GENERAL, POTTS, Arrays

Array = NDArray[Any]
INFINITY = np.inf
_EPSILON = float(np.finfo(np.float64).eps)
_NEVER_NAN = {"nnan", "nsz"}
"""Minima may be vectorised: +inf stands for what is forbidden, and nothing is ever NaN."""


# Inner functions take numbers and whole arrays, not `Arrays`: taking an array out of a tuple counts
# a reference, which costs more than what is done with a few labels.


@njit(cache=True, nogil=True, fastmath=_NEVER_NAN)
@typing.no_type_check
def send(
    kind: int,
    low: float,
    high: float,
    weight: float,
    tables: Array,
    start: int,
    first: bool,
    cost: Array,
    n: int,
    m: int,
    out: Array,
) -> None:
    """out(b) = min over a of cost(a) + weight·D(a, b), for each label b across an edge.

    Args:
        kind: of the table D, as are `low` and `high`.
        low: see `Arrays`.
        high: see `Arrays`.
        weight: of the edge.
        tables: all tables.
        start: where this one begins.
        first: whether its rows are the labels a.
        cost: of each label a, +inf where it is forbidden.
        n: labels a.
        m: labels b.
        out: where the message goes.
    """
    if kind == GENERAL:
        _send_table(weight, tables, start, first, cost, n, m, out)
        return
    best = cost[0]
    for a in range(1, n):
        best = min(best, cost[a])
    ceiling = best + high
    if kind == POTTS:
        for b in range(m):
            out[b] = min(cost[b] + low, ceiling)
        if low > high:
            _exclude_own(cost, n, low, high, out)
        return
    out[0] = cost[0]
    for b in range(1, m):
        out[b] = min(cost[b], out[b - 1] + low)
    for b in range(m - 2, -1, -1):
        out[b] = min(out[b], out[b + 1] + low)
    for b in range(m):
        out[b] = min(out[b], ceiling)


@njit(cache=True, nogil=True, fastmath=_NEVER_NAN)
@typing.no_type_check
def _exclude_own(cost: Array, n: int, low: float, high: float, out: Array) -> None:
    """Where equal labels are dearer, the best label a must find the best of the others."""
    at, second = 0, INFINITY
    for a in range(1, n):
        if cost[a] < cost[at]:
            second, at = cost[at], a
        elif cost[a] < second:
            second = cost[a]
    out[at] = min(cost[at] + low, second + high)


@njit(cache=True, nogil=True, fastmath=_NEVER_NAN)
@typing.no_type_check
def _send_table(
    weight: float,
    tables: Array,
    start: int,
    first: bool,
    cost: Array,
    n: int,
    m: int,
    out: Array,
) -> None:
    for b in range(m):
        out[b] = INFINITY
    down, right = (m, 1) if first else (1, n)
    for a in range(n):
        if cost[a] == INFINITY:
            continue
        row = start + a * down
        for b in range(m):
            value = tables[row + b * right]
            out[b] = min(out[b], cost[a] + (weight * value if value != 0.0 else 0.0))


@njit(cache=True, nogil=True)
@typing.no_type_check
def price(
    kind: int,
    low: float,
    high: float,
    weight: float,
    tables: Array,
    start: int,
    first: bool,
    here: int,
    there: int,
    columns: int,
) -> float:
    """Weight times D for a label here and one across; the arguments are those of `send`."""
    if kind == POTTS:
        return low if here == there else high
    if kind == GENERAL:
        cell = here * columns + there if first else there * columns + here
        value = tables[start + cell]
        return weight * value if value != 0.0 else 0.0
    return min(low * abs(here - there), high)


@njit(cache=True, nogil=True)
@typing.no_type_check
def add_prices(
    kind: int,
    low: float,
    high: float,
    weight: float,
    tables: Array,
    start: int,
    first: bool,
    n: int,
    m: int,
    there: int,
    choice: Array,
) -> None:
    """Add to the cost of each of n labels here the price beside the label across."""
    if kind == POTTS:
        own = choice[there] + low
        for a in range(n):
            choice[a] += high
        choice[there] = own
        return
    columns = m if first else n
    for a in range(n):
        choice[a] += price(kind, low, high, weight, tables, start, first, a, there, columns)


@njit(cache=True, nogil=True)
@typing.no_type_check
def sweep(p: Arrays, messages: Array, labels: Array, forward: bool) -> tuple[float, float, float]:
    """Send messages on from each variable in order (or in the reverse one), and decode on the way.

    Args:
        p: the problem.
        messages: one for each edge, at the variable that it was last sent to; rewritten.
        labels: written: each variable's best label given those before it and the messages from
            behind it.
        forward: the direction.

    Returns:
        A lower bound without the constant, how far rounding may have raised it, and the energy of
        the labels without the constant.
    """
    order, counts, offsets, costs = p.order, p.counts, p.offsets, p.costs
    begins, edges, others, laters, firsts = p.begin, p.edge, p.other, p.later, p.first
    weights, kinds, lows, highs, rooms = p.weights, p.kind, p.low, p.high, p.room
    starts, tables = p.starts, p.tables
    variables = len(order)
    belief, choice = np.empty(p.widest), np.empty(p.widest)
    cost, out = np.empty(p.widest), np.empty(p.widest)
    bound = noise = energy = 0.0
    for step in range(variables):
        u = order[step if forward else variables - 1 - step]
        n, start = counts[u], offsets[u]
        begin, end = begins[u], begins[u + 1]
        for a in range(n):
            belief[a] = choice[a] = costs[start + a]
        ahead = 0
        for k in range(begin, end):
            e = edges[k]
            room = rooms[e]
            for a in range(n):
                belief[a] += messages[room + a]
            if laters[k] == forward:
                ahead += 1
                for a in range(n):
                    choice[a] += messages[room + a]
            else:
                v = others[k]
                add_prices(
                    kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                    n, counts[v], labels[v], choice,
                )  # fmt: skip
        best = label = 0
        for a in range(1, n):
            if belief[a] < belief[best]:
                best = a
            if choice[a] < choice[label]:
                label = a
        labels[u] = label
        lowest = belief[best]
        if lowest == INFINITY:
            return INFINITY, 0.0, INFINITY
        bound += lowest
        size = abs(costs[start + best]) + abs(lowest)
        energy += costs[start + label]
        share = 1.0 / max(ahead, end - begin - ahead, 1)
        for a in range(n):
            belief[a] -= lowest
        for k in range(begin, end):
            e, v = edges[k], others[k]
            room, m = rooms[e], counts[v]
            size += abs(messages[room + best])
            if laters[k] != forward:
                energy += price(
                    kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                    label, labels[v], m if firsts[k] else n,
                )  # fmt: skip
                continue
            for a in range(n):
                forbidden = belief[a] == INFINITY
                cost[a] = INFINITY if forbidden else share * belief[a] - messages[room + a]
            send(
                kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                cost, n, m, out,
            )  # fmt: skip
            least = out[0]
            for b in range(1, m):
                least = min(least, out[b])
            if least == INFINITY:
                return INFINITY, 0.0, INFINITY
            for b in range(m):
                messages[room + b] = out[b] - least
            bound += least
            size += abs(least)
        noise += (end - begin + 6) * _EPSILON * size + _EPSILON * abs(bound)
    return bound, noise, energy
