"""What the structure of a factor graph says about which solvers may serve it."""

import math
from dataclasses import dataclass

import torch

from groundstate.factors import FactorGraph, FactorGroup, MessageGroup
from groundstate_mrf.groups.tables import TableGroup


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Sizes of a discrete problem.

    Attributes:
        variables: how many.
        labels: the most that any has.
        entries: labels of all variables together.
        factors: how many stand on more than one variable.
        order: the most variables of a factor.
        messages: whether all factors serve messages.
        cells: labels of all factors together, of each factor those of its table if it has one.
        labellings: log2 of how many there are, of the largest problem.
    """

    variables: int
    labels: int
    entries: int
    factors: int
    order: int
    messages: bool
    cells: int
    labellings: float

    def __str__(self) -> str:
        return (
            f"{self.variables} variables of up to {self.labels} labels, {self.factors} factors of "
            f"up to {self.order}"
        )


def facts_of(graph: FactorGraph) -> Facts:
    """Read a graph; nothing is computed from its numbers."""
    orders = [torch.bincount(group.owners.cpu(), minlength=group.count) for group in graph.groups]
    order = torch.cat([*orders, torch.ones(1, dtype=torch.int64)])
    bits = graph.counts.double().log2()
    if graph.segments is None:
        labellings = float(bits.sum())
    else:
        problems = graph.constant.shape[-1]
        sums = bits.new_zeros(problems).index_add(0, graph.segments, bits)
        labellings = float(sums.max()) if problems else 0.0
    return Facts(
        variables=len(graph.counts),
        labels=int(graph.counts.max()) if len(graph.counts) else 0,
        entries=graph.entries,
        factors=int((order > 1).sum()),
        order=int(order.max()),
        cells=sum(_cells(group, graph) for group in graph.groups),
        messages=all(
            "messages" in group.serves and isinstance(group, MessageGroup) for group in graph.groups
        ),
        labellings=labellings,
    )


def _cells(group: FactorGroup, graph: FactorGraph) -> int:
    """Pairs of labels for factors of two variables; more for those of more that have a table."""
    if isinstance(group, TableGroup):
        return group.count * math.prod(group.widths)
    counts = graph.counts[group.slots]
    order = torch.bincount(group.owners, minlength=group.count)
    return int((counts * counts * (order[group.owners] == 2)).sum() // 2 + counts.sum())
