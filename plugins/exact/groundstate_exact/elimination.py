"""An order in which to eliminate variables, and the cliques that it makes, before any table is.

Min-fill: next comes a variable whose neighbours lack the fewest edges among themselves, of those
one whose clique has the fewest entries (Kjærulff: Triangulation of Graphs, 1990; Koller, Friedman:
Probabilistic Graphical Models, 2009, §9.4.3). The numbers of missing edges are kept up to date, not
counted anew.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log, prod


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """One clique of the order.

    Attributes:
        scope: the eliminated variable, then its neighbours at that time in the order of their own
            elimination (the separator); the first of these is the bucket that takes the message.
        widths: their label counts.
    """

    scope: tuple[int, ...]
    widths: tuple[int, ...]

    @property
    def entries(self) -> int:
        return prod(self.widths)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A whole order, or as much of it as fits.

    Attributes:
        variables: in the order of elimination.
        neighbours: of each of them when its turn came.
        width: the largest number of neighbours (the treewidth, if no order does better).
        entries: of all cliques together.
        fits: whether this is the whole order; else the last clique was too much.
    """

    variables: tuple[int, ...]
    neighbours: tuple[frozenset[int], ...]
    width: int
    entries: int
    fits: bool

    def buckets(self, counts: Sequence[int]) -> tuple[Bucket, ...]:
        """The cliques with their variables in the order of elimination."""
        position = {variable: place for place, variable in enumerate(self.variables)}
        made: list[Bucket] = []
        for variable, near in zip(self.variables, self.neighbours, strict=True):
            scope = (variable, *sorted(near, key=position.__getitem__))
            made.append(Bucket(scope=scope, widths=tuple(counts[each] for each in scope)))
        return tuple(made)


def min_fill(counts: Sequence[int], scopes: Iterable[Sequence[int]], largest: int) -> Order:
    """Eliminate greedily until done, or until the cliques have over `largest` entries in all.

    Args:
        counts: labels of each variable; those with one label are eliminated first, at no cost.
        scopes: the variables of each factor.
        largest: entries allowed for all cliques together.
    """
    graph = _Graph(counts, scopes)
    heap = [graph.priority(variable) for variable in range(len(counts))]
    heapq.heapify(heap)
    variables: list[int] = []
    neighbours: list[frozenset[int]] = []
    width = total = 0
    while heap:
        entry = heapq.heappop(heap)
        variable = entry[2]
        if graph.gone[variable] or entry != graph.priority(variable):
            continue
        near = frozenset(graph.near[variable])
        width = max(width, len(near))
        total += counts[variable] * prod(counts[each] for each in near)
        variables.append(variable)
        neighbours.append(near)
        if total > largest:
            break
        for changed in graph.eliminate(variable):
            heapq.heappush(heap, graph.priority(changed))
    return Order(
        variables=tuple(variables),
        neighbours=tuple(neighbours),
        width=width,
        entries=total,
        fits=total <= largest,
    )


class _Graph:
    """Who shares a factor with whom, as it changes; alive only within `min_fill`."""

    def __init__(self, counts: Sequence[int], scopes: Iterable[Sequence[int]]) -> None:
        self.sizes = [log(count) for count in counts]
        self.near: list[set[int]] = [set() for _ in counts]
        self.gone = [False] * len(counts)
        for scope in scopes:
            several = [variable for variable in scope if counts[variable] > 1]
            for variable in several if len(several) > 1 else ():
                self.near[variable].update(several)
        for variable, near in enumerate(self.near):
            near.discard(variable)
        self.missing = [self._count(variable) for variable in range(len(counts))]
        self.size = [
            self.sizes[variable] + sum(self.sizes[each] for each in near)
            for variable, near in enumerate(self.near)
        ]

    def priority(self, variable: int) -> tuple[int, float, int]:
        """What is eliminated first; rounded, for sizes are sums that come and go."""
        return self.missing[variable], round(self.size[variable], 6), variable

    def eliminate(self, variable: int) -> set[int]:
        """Join the neighbours, take the variable away; whose priority may have changed."""
        near = self.near[variable]
        changed = set(near)
        if self.missing[variable]:
            for one in near:
                for other in sorted(near - self.near[one]):
                    if other > one:
                        changed |= self._join(one, other)
        for each in near:
            own = self.near[each]
            self.missing[each] -= len(own) - 1 - len(own & near)
            own.discard(variable)
            self.size[each] -= self.sizes[variable]
        self.gone[variable] = True
        self.near[variable] = set()
        return changed

    def _join(self, one: int, other: int) -> set[int]:
        near, far = self.near[one], self.near[other]
        common = near & far
        for each in common:
            self.missing[each] -= 1
        self.missing[one] += len(near) - len(common)
        self.missing[other] += len(far) - len(common)
        near.add(other)
        far.add(one)
        self.size[one] += self.sizes[other]
        self.size[other] += self.sizes[one]
        return common

    def _count(self, variable: int) -> int:
        near = self.near[variable]
        if len(near) < 2:
            return 0
        joined = sum(len(near & self.near[each]) for each in near)
        return (len(near) * (len(near) - 1) - joined) // 2
