"""Energies and best single labels of a problem in order, compiled."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_messages import trws_sweep
from groundstate_messages.ordered import Arrays

Array = NDArray[Any]
_EPSILON = float(np.finfo(np.float64).eps)


@njit(cache=True, nogil=True)
@typing.no_type_check
def descend(p: Arrays, labels: Array, waiting: Array) -> float:
    """One sweep of best labels given all others, at variables that wait to be looked at.

    Args:
        p: the problem.
        labels: rewritten.
        waiting: which variables wait; rewritten: those whose neighbours have moved.

    Returns:
        By how much the energy fell; infinite where it was infinite before.
    """
    order, counts, offsets, costs = p.order, p.counts, p.offsets, p.costs
    begins, edges, others, firsts = p.begin, p.edge, p.other, p.first
    weights, kinds, lows, highs = p.weights, p.kind, p.low, p.high
    starts, tables = p.starts, p.tables
    choice = np.empty(p.widest)
    gained = 0.0
    for step in range(len(order)):
        u = order[step]
        if not waiting[u]:
            continue
        waiting[u] = False
        n, start = counts[u], offsets[u]
        for a in range(n):
            choice[a] = costs[start + a]
        for k in range(begins[u], begins[u + 1]):
            e, v = edges[k], others[k]
            trws_sweep.add_prices(
                kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                n, counts[v], labels[v], choice,
            )  # fmt: skip
        here = best = labels[u]
        for a in range(n):
            if choice[a] < choice[best]:
                best = a
        # below the rounding of the sums, labels would flicker for ever
        if choice[best] < choice[here] - 8 * _EPSILON * (1.0 + abs(choice[best])):
            labels[u] = best
            gained += choice[here] - choice[best]
            for k in range(begins[u], begins[u + 1]):
                waiting[others[k]] = True
    return gained


@njit(cache=True, nogil=True)
@typing.no_type_check
def evaluate(p: Arrays, labels: Array) -> float:
    """Energy of one labelling, without the constant."""
    counts, offsets, costs = p.counts, p.offsets, p.costs
    begins, edges, others, firsts = p.begin, p.edge, p.other, p.first
    weights, kinds, lows, highs = p.weights, p.kind, p.low, p.high
    starts, tables = p.starts, p.tables
    total = 0.0
    for u in range(len(p.order)):
        total += costs[offsets[u] + labels[u]]
        for k in range(begins[u], begins[u + 1]):
            if firsts[k]:
                e, v = edges[k], others[k]
                total += trws_sweep.price(
                    kinds[e], lows[e], highs[e], weights[e], tables, starts[e], True,
                    labels[u], labels[v], counts[v],
                )  # fmt: skip
    return total
