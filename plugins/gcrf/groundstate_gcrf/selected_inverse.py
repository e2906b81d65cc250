"""Entries of the inverse of a sparse matrix where the matrix has entries, from its factors.

With A = LDLᵀ the inverse Z satisfies Z = L⁻ᵀD⁻¹ + Z(I - L), so from the last column to the first,
with k over the entries of column j of L,

    Z_ij = -Σ_k Z_ik L_kj  for the entries i of column j,    Z_jj = 1 / D_j - Σ_k Z_jk L_kj,

in which every Z_ik lies in the pattern of L (Takahashi, Fagan, Chin 1973; Erisman, Tinney 1975).
The pattern is worked out from that of A: a number that happens to be 0 belongs to it.
"""

import typing
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csc_array

from groundstate_gcrf.linear_algebra import SparseFactors

Array = NDArray[Any]


def selected_inverse(factors: SparseFactors, rows: Array, columns: Array) -> Array:
    """(A⁻¹)_ij for the places (i, j) of the entries of A.

    Args:
        factors: of A, symmetric.
        rows: i of each entry; with `columns` the whole pattern of A, both triangles.
        columns: j of each entry.
    """
    order, n = factors.order.astype(np.int64), len(factors.pivots)
    i, j = order[rows], order[columns]
    below = i > j
    ones = np.ones(int(below.sum()))
    pattern: Any = csc_array((ones, (i[below], j[below])), shape=(n, n))
    starts, entries = _fill(pattern.indptr.astype(np.int64), pattern.indices.astype(np.int64))
    lower: Any = factors.lower
    values = _spread(starts, entries, lower.indptr, lower.indices, lower.data)
    diagonal = _takahashi(starts, entries, values, factors.pivots)
    return _gather(starts, entries, values, diagonal, np.maximum(i, j), np.minimum(i, j))


@njit(cache=True, nogil=True)
@typing.no_type_check
def _fill(starts: Array, entries: Array) -> tuple[Array, Array]:
    """The pattern of L below its diagonal, by columns, sorted, from that of A below its own."""
    n = len(starts) - 1
    first = np.full(n, -1, np.int64)  # children of a column: those whose first entry it is
    following = np.full(n, -1, np.int64)
    seen = np.full(n, -1, np.int64)
    ends = np.zeros(n + 1, np.int64)
    filled = np.empty(max(16, 4 * len(entries)), np.int64)
    count = 0
    for j in range(n):
        begin = count
        seen[j] = j
        child = -1  # A itself first, then the columns that have their first entry at j
        source, low, high = entries, starts[j], starts[j + 1]
        while True:
            if count + high - low > len(filled):
                longer = np.empty(2 * (count + high - low), np.int64)
                longer[:count] = filled[:count]
                if child >= 0:
                    source = longer
                filled = longer
            for place in range(low, high):
                i = source[place]
                if seen[i] != j:
                    seen[i] = j
                    filled[count] = i
                    count += 1
            child = first[j] if child < 0 else following[child]
            if child < 0:
                break
            source, low, high = filled, ends[child], ends[child + 1]
        ends[j + 1] = count
        if count > begin:
            filled[begin:count].sort()
            parent = filled[begin]
            following[j] = first[parent]
            first[parent] = j
    return ends, filled[:count].copy()


@njit(cache=True, nogil=True)
@typing.no_type_check
def _spread(
    starts: Array, entries: Array, lower_starts: Array, lower_entries: Array, lower: Array
) -> Array:
    """The numbers of L on its pattern; 0 where none is kept."""
    n = len(starts) - 1
    column = np.zeros(n)
    values = np.zeros(len(entries))
    for j in range(n):
        for place in range(lower_starts[j], lower_starts[j + 1]):
            column[lower_entries[place]] = lower[place]
        for place in range(starts[j], starts[j + 1]):
            values[place] = column[entries[place]]
        for place in range(lower_starts[j], lower_starts[j + 1]):
            column[lower_entries[place]] = 0.0
    return values


@njit(cache=True, nogil=True)
@typing.no_type_check
def _takahashi(starts: Array, entries: Array, values: Array, pivots: Array) -> Array:
    """Z below the diagonal in place of L, and its diagonal."""
    n = len(starts) - 1
    diagonal = np.zeros(n)
    where = np.full(n, -1, np.int64)
    total = np.zeros(n)
    for j in range(n - 1, -1, -1):
        low, high = starts[j], starts[j + 1]
        for place in range(low, high):
            where[entries[place]] = place - low
            total[place - low] = 0.0
        for place in range(low, high):
            k, factor = entries[place], values[place]
            total[place - low] += diagonal[k] * factor
            rest = 0.0
            for other in range(starts[k], starts[k + 1]):
                at = where[entries[other]]
                if at >= 0:
                    total[at] += values[other] * factor
                    rest += values[other] * values[low + at]
            total[place - low] += rest
        own = 1.0 / pivots[j]
        for place in range(low, high):
            own += total[place - low] * values[place]
        diagonal[j] = own
        for place in range(low, high):
            where[entries[place]] = -1
            values[place] = -total[place - low]
    return diagonal


@njit(cache=True, nogil=True)
@typing.no_type_check
def _gather(
    starts: Array, entries: Array, values: Array, diagonal: Array, rows: Array, columns: Array
) -> Array:
    found = np.empty(len(rows))
    for place in range(len(rows)):
        i, j = rows[place], columns[place]
        if i == j:
            found[place] = diagonal[j]
        else:
            column = entries[starts[j] : starts[j + 1]]
            found[place] = values[starts[j] + np.searchsorted(column, i)]
    return found
