"""What the structure of a factor graph says about which solvers may serve it."""

from dataclasses import dataclass

import torch

from groundstate.factors import FactorGraph, MessageGroup


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
        labellings: log2 of how many there are, of the largest problem.
    """

    variables: int
    labels: int
    entries: int
    factors: int
    order: int
    messages: bool
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
        messages=all(
            "messages" in group.serves and isinstance(group, MessageGroup) for group in graph.groups
        ),
        labellings=labellings,
    )
