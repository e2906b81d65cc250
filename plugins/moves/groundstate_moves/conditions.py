"""The conditions on edges under which moves are the best there are, and what violates them."""

import typing
from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate.errors import ViewError
from groundstate_moves.fuse_kernel import price  # pyright: ignore[reportUnknownVariableType]
from groundstate_mrf.flat import FlatPairwise

Array = NDArray[Any]

_ROUNDING = 1e-12


def require_metric(flat: FlatPairwise) -> None:
    """Look that V(a, a) + V(b, c) <= V(b, a) + V(a, c) on every edge.

    Raises:
        ViewError: naming the first edge where it is not, its labels and by how much.
    """
    edge, a, b, c, excess = _first_violation(flat, True)
    if edge >= 0:
        i, j = (int(each) for each in flat.edges[edge])
        raise ViewError(
            "expansions need V(a, a) + V(b, c) <= V(b, a) + V(a, c) on every edge (a metric), but "
            f"between variables {i} and {j} the left is larger by {excess:.6g} nats for a = {a}, "
            f"b = {b}, c = {c}; choose solver/alpha-beta-swap (semi-metrics), or "
            "`violations='truncate'`"
        )


def require_semi_metric(flat: FlatPairwise) -> None:
    """Look that V(a, a) + V(b, b) <= V(a, b) + V(b, a) on every edge.

    Raises:
        ViewError: naming the first edge where it is not, its labels and by how much.
    """
    edge, a, b, _, excess = _first_violation(flat, False)
    if edge >= 0:
        i, j = (int(each) for each in flat.edges[edge])
        raise ViewError(
            "swaps need V(a, a) + V(b, b) <= V(a, b) + V(b, a) on every edge (a semi-metric), but "
            f"between variables {i} and {j} the left is larger by {excess:.6g} nats for a = {a}, "
            f"b = {b}; choose `violations='truncate'`, or a solver for any edge such as "
            "solver/max-product"
        )


def _first_violation(flat: FlatPairwise, three: bool) -> tuple[int, int, int, int, float]:
    find = cast(Callable[..., tuple[int, int, int, int, float]], _no_metric)
    arrays = flat.counts, flat.edges, flat.weights, flat.table_of, flat.starts, flat.tables
    return find(*arrays, three)


@njit(cache=True, nogil=True)
@typing.no_type_check
def _no_metric(
    counts: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    three: bool,
) -> tuple[int, int, int, int, float]:
    """The first edge that violates the condition, with labels a, b, c and the excess; or -1.

    Edges that share a table are alike but for the sign of their weight.
    """
    seen = np.zeros((starts.shape[0], 2), np.bool_)
    for e in range(edges.shape[0]):
        table, sign = table_of[e], int(weights[e] < 0.0)
        if seen[table, sign] or weights[e] == 0.0:
            continue
        seen[table, sign] = True
        wide = counts[edges[e, 1]]
        both = min(counts[edges[e, 0]], wide)
        for a in range(both):
            aa = price(e, a, a, wide, weights, table_of, starts, tables)
            for b in range(counts[edges[e, 0]] if three else both):
                ba = price(e, b, a, wide, weights, table_of, starts, tables)
                for c in range(wide) if three else range(b, b + 1):
                    bc = price(e, b, c, wide, weights, table_of, starts, tables)
                    ac = price(e, a, c, wide, weights, table_of, starts, tables)
                    if aa + bc == np.inf:
                        if ba + ac < np.inf:
                            return e, a, b, c, np.inf
                        continue
                    excess = aa + bc - ba - ac
                    if excess > _ROUNDING * (abs(aa) + abs(bc) + abs(ba) + abs(ac)):
                        return e, a, b, c, excess
    return -1, 0, 0, 0, 0.0
