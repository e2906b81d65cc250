"""A pairwise problem with its variables in an order, as arrays that compiled sweeps read.

Tables of two frequent forms are found out, for their messages take O(L) instead of O(L²): one value
on the diagonal and another off it (Potts), and min(slope·|a - b|, most) (truncated linear).
"""

import typing
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array

from groundstate_mrf.flat import FlatPairwise

Whole = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

Order = Literal["index", "breadth-first", "cuthill-mckee"]
GENERAL, POTTS, TRUNCATED = 0, 1, 2
_graphs = cast(Any, csgraph)


class Arrays(NamedTuple):
    """What a sweep reads. Edges hang at variables in lists of *ends*, variable after variable.

    Attributes:
        order: the variables, first to last.
        counts: labels of each variable.
        offsets: first entry of each variable.
        costs: of each entry.
        begin: first end of each variable, and behind the last one how many there are.
        edge: of each end.
        other: the variable across each end's edge.
        later: whether that one comes later in the order.
        first: whether the table's rows belong to the variable of this end.
        weights: of each edge.
        kind: `GENERAL`, `POTTS` or `TRUNCATED` of each edge.
        low: price on the diagonal of a Potts table, or slope of a truncated one, with the weight.
        high: price off the diagonal of a Potts table, or most of a truncated one, with the weight.
        starts: where each edge's table begins.
        tables: all of them.
        room: first place of each edge's message; it has room for the longer of its two ends.
        widest: the largest number of labels.
    """

    order: Whole
    counts: Whole
    offsets: Whole
    costs: Reals
    begin: Whole
    edge: Whole
    other: Whole
    later: Flags
    first: Flags
    weights: Reals
    kind: Whole
    low: Reals
    high: Reals
    starts: Whole
    tables: Reals
    room: Whole
    widest: int


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """A problem, its arrays, and how long its messages are together.

    Attributes:
        arrays: what sweeps read.
        constant: c, in nats.
        places: length of all messages.
        forest: whether no variable has more than one earlier neighbour across one edge.
    """

    arrays: Arrays
    constant: float
    places: int
    forest: bool


def in_order(flat: FlatPairwise, order: Order) -> Ordered:
    """The problem with its variables in an order.

    Args:
        flat: the problem.
        order: "index" is as given (grids: row by row); "breadth-first" goes from the first variable
            of each component outwards; "cuthill-mckee" is the reverse Cuthill-McKee order, in which
            neighbours stand close.
    """
    variables, edges = len(flat.counts), len(flat.edges)
    sequence = _sequence(flat, order)
    position = np.empty(variables, dtype=np.int64)
    position[sequence] = np.arange(variables)
    begin, edge = flat.incident
    owner = np.repeat(np.arange(variables), np.diff(begin))
    first = flat.edges[edge, 0] == owner if edges else np.zeros(0, dtype=np.bool_)
    other = flat.edges[edge].sum(1) - owner if edges else np.zeros(0, dtype=np.int64)
    later = position[other] > position[owner]
    wide = flat.counts[flat.edges].max(1) if edges else np.zeros(0, dtype=np.int64)
    room = np.concatenate([[0], np.cumsum(wide)]).astype(np.int64)
    kind, low, high = _forms(flat)
    earlier = np.bincount(owner[~later], minlength=variables)
    arrays = Arrays(
        order=sequence,
        counts=flat.counts,
        offsets=flat.offsets[:-1],
        costs=flat.costs,
        begin=begin,
        edge=edge,
        other=other,
        later=later,
        first=first,
        weights=flat.weights,
        kind=kind,
        low=low,
        high=high,
        starts=flat.starts[flat.table_of],
        tables=flat.tables,
        room=room[:-1],
        widest=int(flat.counts.max()) if variables else 1,
    )
    forest = bool((earlier <= 1).all())
    return Ordered(arrays=arrays, constant=flat.constant, places=int(room[-1]), forest=forest)


def _sequence(flat: FlatPairwise, order: Order) -> Whole:
    variables = len(flat.counts)
    if order == "index" or not len(flat.edges):
        return np.arange(variables)
    ones = np.ones(2 * len(flat.edges))
    rows = np.concatenate([flat.edges[:, 0], flat.edges[:, 1]])
    columns = np.concatenate([flat.edges[:, 1], flat.edges[:, 0]])
    if order == "cuthill-mckee":
        graph = csr_array((ones, (rows, columns)), shape=(variables, variables))
        near: Whole = _graphs.reverse_cuthill_mckee(graph, symmetric_mode=True)
        return near.astype(np.int64)
    # one more node next to the first variable of each component reaches all of them in one search
    heads = _heads(variables, rows, columns)
    extra = np.full(len(heads), variables)
    graph = csr_array(
        (
            np.ones(len(rows) + 2 * len(heads)),
            (np.concatenate([rows, extra, heads]), np.concatenate([columns, heads, extra])),
        ),
        shape=(variables + 1, variables + 1),
    )
    found: Whole = _graphs.breadth_first_order(
        graph, variables, directed=False, return_predecessors=False
    )
    return found[1:].astype(np.int64)


def _heads(variables: int, rows: Whole, columns: Whole) -> Whole:
    graph = csr_array((np.ones(len(rows)), (rows, columns)), shape=(variables, variables))
    component: Whole = _graphs.connected_components(graph, directed=False)[1]
    return np.unique(component, return_index=True)[1].astype(np.int64)


def _forms(flat: FlatPairwise) -> tuple[Whole, Reals, Reals]:
    """Kind of each edge and its two prices."""
    tables = len(flat.starts)
    shape = np.ones((tables, 2), dtype=np.int64)
    shape[flat.table_of] = flat.counts[flat.edges]
    forms = np.zeros(tables, dtype=np.int64)
    low, high = np.zeros(tables), np.zeros(tables)
    _recognise(shape, flat.starts, flat.tables, forms, low, high)
    kind = forms[flat.table_of]
    # times a negative weight, what was truncated is no distance any more
    kind[(kind == TRUNCATED) & (flat.weights < 0)] = GENERAL
    prices = [
        np.multiply(flat.weights, each, out=np.zeros_like(each), where=each != 0)
        for each in (low[flat.table_of], high[flat.table_of])
    ]
    return kind, prices[0], prices[1]


@njit(cache=True, nogil=True)
@typing.no_type_check
def _recognise(
    shape: Whole, starts: Whole, tables: Reals, forms: Whole, low: Reals, high: Reals
) -> None:
    for k in range(len(starts)):
        labels = shape[k, 0]
        if labels != shape[k, 1] or labels < 2:
            continue
        start = starts[k]
        on, off = tables[start], tables[start + 1]
        most = tables[start + labels - 1]
        potts, truncated = True, on == 0.0 and off > 0.0
        for a in range(labels):
            for b in range(labels):
                value = tables[start + a * labels + b]
                if value != (on if a == b else off):
                    potts = False
                if value != min(off * abs(a - b), most):
                    truncated = False
        if potts:
            forms[k], low[k], high[k] = POTTS, on, off
        elif truncated:
            forms[k], low[k], high[k] = TRUNCATED, off, most
