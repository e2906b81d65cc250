"""Cut energies of pairwise problems whose labels have an order that every edge respects.

Ishikawa: Exact Optimization for Markov Random Fields with Convex Priors (2003), in the form for all
tables with V(a, b) + V(a+1, b+1) <= V(a, b+1) + V(a+1, b) (Schlesinger, Flach: Transforming an
arbitrary MinSum problem into a binary one, 2006): a variable with k labels becomes the k - 1 binary
ones z_a = [y > a], of which no later one may be 1 before an earlier one, and

    V(y_i, y_j) = V(0, 0) + Σ_a [V(a+1, 0) - V(a, 0)] z_a + Σ_b [V(0, b+1) - V(0, b)] z'_b
                  - Σ_ab c_ab z_a z'_b,   c_ab = V(a, b+1) + V(a+1, b) - V(a, b) - V(a+1, b+1)

with -c z z' = c/2 [z != z'] - c/2 (z + z'). With two labels it is the construction of Kolmogorov
and Zabih, and c >= 0 says that the edge is submodular.
"""

import typing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundstate.errors import ViewError
from groundstate_moves.network import CutEnergy, network
from groundstate_mrf.flat import FlatPairwise

Array = NDArray[Any]
Whole = NDArray[np.int64]

_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class OrderedCut:
    """A pairwise problem as a cut.

    Attributes:
        cut: the energy of the binary variables.
        begin: the first binary variable of each variable, and behind the last how many there are.
    """

    cut: CutEnergy
    begin: Whole

    def labels(self, sides: Whole) -> Whole:
        """Labels of the variables, from those of the binary ones."""
        total = np.concatenate([[0], np.cumsum(sides)])
        return total[self.begin[1:]] - total[self.begin[:-1]]


def ordered_cut(flat: FlatPairwise) -> OrderedCut:
    """The problem as a cut.

    Raises:
        ViewError: naming the edge that does not respect the order, and by how much.
    """
    begin = np.concatenate([[0], np.cumsum(flat.counts - 1)]).astype(np.int64)
    big = forbidding(flat)
    parts = (flat.counts, flat.edges, flat.weights, flat.table_of, flat.starts, flat.tables)
    number, bad, a, b, excess = _survey(*parts, big)
    if bad >= 0:
        raise ViewError(_complaint(flat, int(bad), int(a), int(b), float(excess)))
    chains = int(np.maximum(flat.counts - 2, 0).sum())
    edges = np.empty((number + chains, 2), np.int64)
    there, back = np.empty(number + chains), np.empty(number + chains)
    terminal = np.zeros(int(begin[-1]))
    constant = _fill(*parts, big, flat.offsets, flat.costs, begin, edges, there, back, terminal)
    cut = CutEnergy(
        network=network(len(terminal), edges),
        there=there,
        back=back,
        terminal=terminal,
        constant=flat.constant + constant,
    )
    return OrderedCut(cut=cut, begin=begin)


def forbidding(flat: FlatPairwise) -> float:
    """More than any difference of two finite energies: what stands for infinity in a cut."""
    costs = np.abs(flat.costs[np.isfinite(flat.costs)]).sum()
    finite = np.where(np.isfinite(flat.tables), np.abs(flat.tables), 0.0)
    largest = np.zeros(len(flat.starts))
    if len(flat.starts):
        ends = np.append(flat.starts, len(finite))
        order = np.argsort(flat.starts, kind="stable")
        largest[order] = np.maximum.reduceat(finite, ends[order]) if len(finite) else 0.0
    weights = np.where(np.isfinite(flat.weights), np.abs(flat.weights), 0.0)
    return float(2 * (costs + (weights * largest[flat.table_of]).sum()) + 1)


def _complaint(flat: FlatPairwise, edge: int, a: int, b: int, excess: float) -> str:
    i, j = (int(each) for each in flat.edges[edge])
    if max(flat.counts[i], flat.counts[j]) > 2 and not np.isfinite(flat.table(edge)).all():
        return (
            "with more than two labels every price of an edge must be finite, but that between "
            f"variables {i} and {j} forbids labels; choose solver/alpha-expansion, which truncates"
        )
    return (
        "every edge must be submodular, V(a, b) + V(a+1, b+1) <= V(a, b+1) + V(a+1, b) for all "
        f"labels, but that between variables {i} and {j} exceeds it by {excess:.6g} nats at "
        f"a = {a}, b = {b}; choose solver/alpha-expansion or solver/fusion, or a solver for any "
        "edge such as solver/max-product"
    )


@njit(cache=True, nogil=True)
@typing.no_type_check
def _value(
    e: int, a: int, b: int, wide: int, weights: Array, table_of: Array, starts: Array, tables: Array
) -> float:
    value = tables[starts[table_of[e]] + a * wide + b]
    return weights[e] * value if value != 0.0 else 0.0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _square(
    e: int,
    a: int,
    b: int,
    high: int,
    wide: int,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    big: float,
) -> tuple[float, float, float, float, float]:
    """V(a, b), V(a, b+1), V(a+1, b), V(a+1, b+1), finite with two labels, and c with its slack."""
    v00 = _value(e, a, b, wide, weights, table_of, starts, tables)
    v01 = _value(e, a, b + 1, wide, weights, table_of, starts, tables)
    v10 = _value(e, a + 1, b, wide, weights, table_of, starts, tables)
    v11 = _value(e, a + 1, b + 1, wide, weights, table_of, starts, tables)
    if high == 2 and wide == 2:
        free01, free10 = v01 == np.inf, v10 == np.inf
        v00, v01, v10, v11 = min(v00, big), min(v01, big), min(v10, big), min(v11, big)
        lack = v00 + v11 - v01 - v10
        # what is forbidden may as well cost more, to be submodular
        if lack > 0.0 and free01:
            v01 += lack
        elif lack > 0.0 and free10:
            v10 += lack
    excess = v01 + v10 - v00 - v11
    size = abs(v00) + abs(v01) + abs(v10) + abs(v11)
    if size < np.inf and abs(excess) <= _ROUNDING * size:
        excess = 0.0
    return v00, v01, v10, v11, excess


@njit(cache=True, nogil=True)
@typing.no_type_check
def _survey(
    counts: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    big: float,
) -> tuple[int, int, int, int, float]:
    """How many edges the cut has; the first edge that is not submodular, and where, or -1."""
    number = 0
    for e in range(edges.shape[0]):
        high, wide = counts[edges[e, 0]], counts[edges[e, 1]]
        for a in range(high - 1):
            for b in range(wide - 1):
                excess = _square(e, a, b, high, wide, weights, table_of, starts, tables, big)[4]
                if not excess >= 0.0 or excess == np.inf:
                    return 0, e, a, b, -excess
                if excess > 0.0:
                    number += 1
    return number, -1, 0, 0, 0.0


@njit(cache=True, nogil=True)
@typing.no_type_check
def _fill(
    counts: Array,
    edges: Array,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    big: float,
    offsets: Array,
    costs: Array,
    begin: Array,
    ends: Array,
    there: Array,
    back: Array,
    terminal: Array,
) -> float:
    """Write edges and terminals of the cut; returns the constant."""
    constant, number = 0.0, 0
    for i in range(counts.shape[0]):
        constant += min(costs[offsets[i]], big)
        for a in range(counts[i] - 1):
            here = min(costs[offsets[i] + a], big)
            terminal[begin[i] + a] += min(costs[offsets[i] + a + 1], big) - here
            if a:
                ends[number, 0], ends[number, 1] = begin[i] + a - 1, begin[i] + a
                # dearer than all that an impossible order could save
                there[number], back[number] = big * (2 * counts.max() + 4), 0.0
                number += 1
    for e in range(edges.shape[0]):
        i, j = edges[e, 0], edges[e, 1]
        high, wide = counts[i], counts[j]
        if high == 1 or wide == 1:
            constant += _line(
                e, high, wide, weights, table_of, starts, tables, big, begin[i], begin[j], terminal
            )
            continue
        for a in range(high - 1):
            for b in range(wide - 1):
                v00, v01, v10, _, excess = _square(
                    e, a, b, high, wide, weights, table_of, starts, tables, big
                )
                if a == 0 and b == 0:
                    constant += v00
                if b == 0:
                    terminal[begin[i] + a] += v10 - v00
                if a == 0:
                    terminal[begin[j] + b] += v01 - v00
                if excess > 0.0:
                    terminal[begin[i] + a] -= excess / 2
                    terminal[begin[j] + b] -= excess / 2
                    ends[number, 0], ends[number, 1] = begin[i] + a, begin[j] + b
                    there[number], back[number] = excess / 2, excess / 2
                    number += 1
    return constant


@njit(cache=True, nogil=True)
@typing.no_type_check
def _line(
    e: int,
    high: int,
    wide: int,
    weights: Array,
    table_of: Array,
    starts: Array,
    tables: Array,
    big: float,
    left: int,
    right: int,
    terminal: Array,
) -> float:
    """An edge with a variable of one label is a cost of the other; returns its value at 0, 0."""
    before = min(_value(e, 0, 0, wide, weights, table_of, starts, tables), big)
    constant = before
    for a in range(high - 1):
        after = min(_value(e, a + 1, 0, wide, weights, table_of, starts, tables), big)
        terminal[left + a] += after - before
        before = after
    for b in range(wide - 1):
        after = min(_value(e, 0, b + 1, wide, weights, table_of, starts, tables), big)
        terminal[right + b] += after - before
        before = after
    return constant
