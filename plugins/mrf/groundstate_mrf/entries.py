"""Per-variable arithmetic on flat entries: label counts may differ, nothing is padded."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.factors import FactorGraph
from groundstate_mrf.typed import split_axis


def lowest(
    graph: FactorGraph, scores: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "*batch variables"]:
    """The lowest score of each variable."""
    if graph.width is not None:
        return split_axis(scores, (-1, graph.width)).amin(-1)
    index = graph.variable_of_entry.expand(scores.shape)
    empty = scores.new_full((*scores.shape[:-1], len(graph.counts)), float("inf"))
    return empty.scatter_reduce(-1, index, scores, "amin")


def add_up(
    graph: FactorGraph, values: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "*batch variables"]:
    """Sum over each variable's entries."""
    if graph.width is not None:
        return split_axis(values, (-1, graph.width)).sum(-1)
    zeros = values.new_zeros((*values.shape[:-1], len(graph.counts)))
    return zeros.index_add(-1, graph.variable_of_entry, values)


def spread(
    graph: FactorGraph, values: Shaped[Tensor, "*batch variables"]
) -> Shaped[Tensor, "*batch entries"]:
    """Each variable's value at each of its entries."""
    if graph.width is not None:
        return values.unsqueeze(-1).expand(*values.shape, graph.width).flatten(-2)
    return values[..., graph.variable_of_entry]


def log_softmin(
    graph: FactorGraph, scores: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "*batch entries"]:
    """Log of exp(-score) normalised over each variable's entries; NaN where all are infinite."""
    if graph.width is not None:
        return split_axis(-scores, (-1, graph.width)).log_softmax(-1).flatten(-2)
    shift = lowest(graph, scores.detach())
    relative = spread(graph, torch.where(shift.isfinite(), shift, 0.0)) - scores
    return relative - spread(graph, add_up(graph, relative.exp()).log())


def pick(
    graph: FactorGraph,
    values: Float[Tensor, "*batch entries"],
    labels: Int[Tensor, "*batch variables"],
) -> Float[Tensor, "*batch variables"]:
    """The value at each variable's label."""
    index = graph.offsets + labels
    return values.expand(*index.shape[:-1], -1).gather(-1, index)


def entropy(
    graph: FactorGraph, beliefs: Float[Tensor, "*batch entries"]
) -> Float[Tensor, "*batch variables"]:
    """-Σ q log q of each variable, in nats."""
    return add_up(graph, -torch.xlogy(beliefs, beliefs))
