"""One pass of sequential TRW-BP over a problem in order, compiled; see the module `trw`."""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate_messages import trws_sweep
from groundstate_messages.ordered import POTTS, Arrays

Array = NDArray[Any]
INFINITY = np.inf
_EPSILON = float(np.finfo(np.float64).eps)


@njit(cache=True, nogil=True)
@typing.no_type_check
def soft_send(
    kind: int,
    low: float,
    high: float,
    weight: float,
    tables: Array,
    start: int,
    first: bool,
    rho: float,
    cost: Array,
    n: int,
    m: int,
    out: Array,
) -> None:
    """out(b) = -ρ log Σ over a of exp(-(cost(a) + weight·D(a, b)) / ρ); see `trws_sweep.send`.

    What is summed is measured from its largest term, so nothing is lost by underflow.
    """
    best = cost[0]
    for a in range(1, n):
        best = min(best, cost[a])
    if best == INFINITY:
        for b in range(m):
            out[b] = INFINITY
        return
    if kind == POTTS and low <= high:
        total = 0.0
        for a in range(n):
            total += np.exp((best - cost[a]) / rho)
        for b in range(m):
            shift = min(cost[b] + low, best + high)
            if shift == INFINITY:
                out[b] = INFINITY
                continue
            others = total - np.exp((best - cost[b]) / rho)
            own = np.exp((shift - cost[b] - low) / rho)
            out[b] = shift - rho * np.log(own + others * np.exp((shift - best - high) / rho))
        return
    columns = m if first else n
    for b in range(m):
        shift = INFINITY
        for a in range(n):
            here = trws_sweep.price(kind, low, high, weight, tables, start, first, a, b, columns)
            shift = min(shift, cost[a] + here)
        if shift == INFINITY:
            out[b] = INFINITY
            continue
        total = 0.0
        for a in range(n):
            here = trws_sweep.price(kind, low, high, weight, tables, start, first, a, b, columns)
            total += np.exp((shift - cost[a] - here) / rho)
        out[b] = shift - rho * np.log(total)


@njit(cache=True, nogil=True)
@typing.no_type_check
def soft_sweep(
    p: Arrays,
    rho: Array,
    messages: Array,
    kept: Array,
    marginals: Array,
    forward: bool,
    damping: float,
) -> tuple[float, float]:
    """Send messages on from each variable in order (or in the reverse one).

    Args:
        p: the problem.
        rho: appearance probability of each edge: at each variable those of the edges to earlier
            ones add up to 1.
        messages: one for each edge, at the variable that it was last sent to; rewritten.
        kept: the messages of the last forward pass; rewritten by such a pass.
        marginals: written, at each entry.
        forward: the direction.
        damping: share of the kept messages in those of a forward pass.

    Returns:
        After a backward pass a lower bound on -log Z without the constant, in nats, and how far
        rounding may have raised it. After a forward pass infinity where no labelling is left.
    """
    order, counts, offsets, costs = p.order, p.counts, p.offsets, p.costs
    begins, edges, others, laters, firsts = p.begin, p.edge, p.other, p.later, p.first
    weights, kinds, lows, highs, rooms = p.weights, p.kind, p.low, p.high, p.room
    starts, tables = p.starts, p.tables
    variables = len(order)
    belief, cost, out = np.empty(p.widest), np.empty(p.widest), np.empty(p.widest)
    bound = noise = 0.0
    for step in range(variables):
        u = order[step if forward else variables - 1 - step]
        n, start = counts[u], offsets[u]
        for a in range(n):
            belief[a] = costs[start + a]
        for k in range(begins[u], begins[u + 1]):
            room = rooms[edges[k]]
            for a in range(n):
                belief[a] += messages[room + a]
        lowest = belief[0]
        for a in range(1, n):
            lowest = min(lowest, belief[a])
        if lowest == INFINITY:
            return INFINITY, 0.0
        total = 0.0
        for a in range(n):
            belief[a] -= lowest
            marginals[start + a] = np.exp(-belief[a])
            total += marginals[start + a]
        for a in range(n):
            marginals[start + a] /= total
        size = abs(lowest)
        bound += lowest
        behind = False
        for k in range(begins[u], begins[u + 1]):
            if laters[k] != forward:
                continue
            behind = True
            e, v = edges[k], others[k]
            room, m = rooms[e], counts[v]
            share = rho[e]
            for a in range(n):
                forbidden = belief[a] == INFINITY
                cost[a] = INFINITY if forbidden else share * belief[a] - messages[room + a]
                if not forbidden:
                    size = max(size, abs(cost[a]))
            soft_send(
                kinds[e], lows[e], highs[e], weights[e], tables, starts[e], firsts[k],
                share, cost, n, m, out,
            )  # fmt: skip
            least = out[0]
            for b in range(1, m):
                least = min(least, out[b])
            if least == INFINITY:
                return INFINITY, 0.0
            for b in range(m):
                value = out[b] - least
                if forward:
                    if value < INFINITY and kept[room + b] < INFINITY:
                        value += damping * (kept[room + b] - value)
                    kept[room + b] = value
                messages[room + b] = value
            bound += least
            size = max(size, abs(least))
        if not behind:
            bound -= np.log(total)
        degree = begins[u + 1] - begins[u]
        noise += (degree + 1) * (degree + n + 8) * _EPSILON * (1.0 + size)
    return bound, noise + variables * _EPSILON * abs(bound)
