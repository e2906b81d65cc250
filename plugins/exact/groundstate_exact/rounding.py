"""Labels from a relaxation that keep hard constraints where taking largest shares breaks them."""

import numpy as np

from groundstate_exact.lists import numbers, rows
from groundstate_exact.parts import Part, energy_of
from groundstate_exact.polytope import Array, Polytope


def rounded(part: Part, polytope: Polytope, solution: Array, prices: Array) -> Array:
    """The label with the largest share of each variable, or (if forbidden) one after another."""
    labels = polytope.labels(part, solution)
    if np.isfinite(energy_of(part, labels)):
        return labels
    shares = np.where(polytope.column >= 0, solution[polytope.column], -1.0)
    surest = np.maximum.reduceat(shares, part.offsets)
    order = np.argsort(-np.round(surest, 6), kind="stable")
    return in_turn(part, polytope.reduced(prices), polytope.column, order)


def in_turn(part: Part, reduced: Array, column: Array, order: Array) -> Array:
    """Each variable in turn takes the label of least reduced cost that its factors still allow.

    A factor's part in that is the minimum over its joint labels that agree with those taken.
    """
    costs = np.where(column >= 0, reduced[column], np.inf)
    tables: list[tuple[list[int], Array]] = []
    at = int((column >= 0).sum())
    near: list[list[int]] = [[] for _ in numbers(part.counts)]
    for each in part.factors:
        finite = np.isfinite(each.cells)
        cells = np.full(each.cells.shape, np.inf)
        cells[finite] = reduced[at : at + int(finite.sum())]
        at += int(finite.sum())
        for scope, table in zip(rows(each.scope), cells, strict=True):
            for variable in scope:
                near[variable].append(len(tables))
            tables.append((scope, table.reshape(each.widths)))
    labels = np.full(len(part.counts), -1, np.int64)
    for variable in numbers(order):
        first = part.offsets[variable]
        score: Array = costs[first : first + part.counts[variable]].copy()
        for number in near[variable]:
            scope, table = tables[number]
            index = tuple(slice(None) if labels[v] < 0 else int(labels[v]) for v in scope)
            free = [v for v in scope if labels[v] < 0]
            away = tuple(axis for axis, v in enumerate(free) if v != variable)
            score += table[index].min(axis=away)
        labels[variable] = int(score.argmin())
    return labels
