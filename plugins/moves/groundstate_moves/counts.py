"""Functions of how many variables have a label, for cuts.

A concave function of the number c of ones among n variables is a cut with a helper for each of its
bends (Kohli, Ladický, Torr: Robust Higher Order Potentials for Enforcing Label Consistency, 2009):

    f(c) = f(0) + d_{n-1} c + Σ_k g_k min(c, k),  d_c = f(c+1) - f(c),  g_k = d_{k-1} - d_k >= 0
    min(c, k) = min over w in {0, 1} of  k w + Σ_i y_i (1 - w)

Any function, of variables that have no other factors but costs of their own, is minimised by
sorting: for each count the variables come first whose label that counts is the cheapest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from groundstate.errors import ViewError
from groundstate_moves.network import Reals, Whole
from groundstate_moves.ordered import OrderedCut, forbidding, ordered_cut
from groundstate_mrf.flat import FlatPairwise, flat_problems
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.problem import Problem

_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Count:
    """A function of how many variables have their label that counts.

    Attributes:
        variables: which.
        counted: the label of each that counts.
        values: the energy of a count of 0, 1, ..., in nats.
    """

    variables: Whole
    counted: Whole
    values: Reals

    def energy(self, labels: Whole) -> float:
        """Of one labelling of all variables."""
        return float(self.values[int((labels[self.variables] == self.counted).sum())])


@dataclass(frozen=True, kw_only=True)
class CutProblem:
    """A problem with counts as a cut.

    Attributes:
        flat: its pairs.
        counts: its functions of counts.
        ordered: the cut, with helpers behind the variables.
        fixed: labels that were found by sorting, -1 for all other variables.
    """

    flat: FlatPairwise
    counts: tuple[Count, ...]
    ordered: OrderedCut
    fixed: Whole

    def labels(self, sides: Whole) -> Whole:
        """Labels of the variables, from the sides of a minimum cut."""
        found = self.ordered.labels(sides)[: len(self.fixed)]
        return np.where(self.fixed >= 0, self.fixed, found)

    def energy(self, labels: Whole) -> float:
        """Of one labelling, in nats."""
        return self.flat.energy(labels) + sum(each.energy(labels) for each in self.counts)


def cut_problems(problem: Problem) -> tuple[CutProblem, ...]:
    """Every problem of a batch or union as a cut.

    Raises:
        ViewError: where a factor has more than two variables and is no function of a count; where
            an edge is not submodular, or a function of a count neither concave nor alone.
    """
    graph, shape = problem.graph, problem.layout.batch_shape
    groups = [group for group in graph.groups if isinstance(group, CardinalityGroup)]
    others = tuple(group for group in graph.groups if not isinstance(group, CardinalityGroup))
    rows = flat_problems(replace(graph, groups=others), shape)
    made: list[CutProblem] = []
    for row, flat in enumerate(rows):
        counts = tuple(each for group in groups for each in _counts(problem, group, row))
        fixed = np.full(len(flat.counts), -1)
        extended = flat
        for each in counts:
            if _is_alone(each, flat, counts):
                extended = _sorted(each, extended, fixed)
            else:
                extended = _bent(each, extended)
        ordered = ordered_cut(extended)
        made.append(CutProblem(flat=flat, counts=counts, ordered=ordered, fixed=fixed))
    return tuple(made)


def _counts(problem: Problem, group: CardinalityGroup, row: int) -> list[Count]:
    """The factors of a group in one problem, with its own numbers of the variables."""
    graph, shape = problem.graph, problem.layout.batch_shape
    slots, owners = group.slots.cpu().numpy(), group.owners.cpu().numpy()
    counted, values = group.counted.cpu().numpy(), group.values.detach().double().cpu()
    local = slots
    inside = np.ones(group.count, dtype=bool)
    if graph.segments is not None:
        segment = graph.segments.cpu().numpy()
        local = (np.cumsum(segment == row) - 1)[slots]
        inside = segment[slots[np.searchsorted(owners, np.arange(group.count))]] == row
    elif shape:
        values = values.expand(*shape, -1)[np.unravel_index(row, shape)]
    table = values.numpy()
    begin = np.searchsorted(owners, np.arange(group.count + 1))
    return [
        Count(
            variables=local[begin[k] : begin[k + 1]],
            counted=counted[begin[k] : begin[k + 1]],
            values=table[begin[k] + k : begin[k + 1] + k + 1],
        )
        for k in np.flatnonzero(inside)
    ]


def _is_alone(each: Count, flat: FlatPairwise, counts: Sequence[Count]) -> bool:
    """Whether its variables have no other factors but costs of their own."""
    paired = np.isin(each.variables, flat.edges).any()
    shared = [np.isin(each.variables, other.variables).any() for other in counts]
    return not paired and sum(shared) == 1


def _sorted(each: Count, flat: FlatPairwise, fixed: Whole) -> FlatPairwise:
    """Writes the best labels of its variables to `fixed`; what they cost becomes constant."""
    costs = flat.costs.copy()
    big = forbidding(flat) + float(np.abs(each.values[np.isfinite(each.values)]).sum())
    on, off = np.empty(len(each.variables)), np.empty(len(each.variables))
    without = np.empty(len(each.variables), dtype=np.int64)
    for k, (variable, label) in enumerate(zip(each.variables, each.counted, strict=True)):
        part = slice(flat.offsets[variable], flat.offsets[variable + 1])
        own = np.minimum(costs[part], big)
        on[k] = own[label]
        # with one label there is no way not to count
        own[label] = np.inf
        without[k] = int(np.argmin(own))
        off[k] = min(own[without[k]], 2 * big)
        costs[part] = 0.0
    order = np.argsort(on - off, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((on - off)[order])])
    total = each.values + off.sum() + gains
    best = int(np.argmin(total))
    fixed[each.variables] = np.where(off < 2 * big, without, each.counted)
    fixed[each.variables[order[:best]]] = each.counted[order[:best]]
    least = total[best] if np.isfinite(total[best]) else big
    return replace(flat, costs=costs, constant=flat.constant + float(least))


def _bent(each: Count, flat: FlatPairwise) -> FlatPairwise:
    """The problem with the factor as pairs: a helper for each bend."""
    size = len(each.variables)
    binary = bool((flat.counts[each.variables] == 2).all())
    if not (binary and len(set(each.counted.tolist())) == 1):
        raise ViewError(
            "a function of a count whose variables have other factors must be one of binary "
            f"variables with one label that counts, but that of {size} variables from "
            f"{int(each.variables[0])} is not; choose solver/max-product or solver/lazy-flipper"
        )
    values = each.values if each.counted[0] == 1 else each.values[::-1]
    steps = np.diff(values)
    bends = steps[:-1] - steps[1:]
    slack = _ROUNDING * np.abs(values).max() if np.isfinite(values).all() else np.nan
    if not bool((bends >= -slack).all()) or np.isnan(slack):
        raise ViewError(
            "a function of a count whose variables have other factors must be finite and concave, "
            f"but that of {size} variables from {int(each.variables[0])} is "
            f"{each.values.tolist()[:8]} ...; choose solver/max-product or solver/lazy-flipper"
        )
    places = np.flatnonzero(bends > slack)
    variables = len(flat.counts)
    costs = flat.costs.copy()
    costs[flat.offsets[each.variables] + 1] += steps[-1]
    helpers = np.zeros((len(places), 2))
    helpers[:, 1] = (places + 1) * bends[places]
    counts = np.append(flat.counts, np.full(len(places), 2))
    ends = [
        np.repeat(variables + np.arange(len(places)), size),
        np.tile(each.variables, len(places)),
    ]
    return replace(
        flat,
        counts=counts,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        costs=np.append(costs, helpers),
        edges=np.concatenate([flat.edges, np.stack(ends, -1)]),
        weights=np.append(flat.weights, np.repeat(bends[places], size)),
        table_of=np.append(flat.table_of, np.full(len(ends[0]), len(flat.starts))),
        starts=np.append(flat.starts, len(flat.tables)),
        tables=np.append(flat.tables, [0.0, 1.0, 0.0, 0.0]),
        constant=flat.constant + float(values[0]),
    )
