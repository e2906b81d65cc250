"""How message groups hang in their graph: sums of messages at entries, and back."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import FactorGraph, MessageGroup
from groundstate_mrf.typed import split_axis

Messages = tuple[Float[Tensor, "..."], ...]
INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """The places of one group's messages.

    Attributes:
        entries: the graph's entry of each place.
        variables: the variable of each place.
        slot: the group's slot of each place.
        slots: how many slots there are.
        width: labels of each slot, where all have the same number.
        damping: share of the old message to keep, at each place or (length 1) everywhere.
        damped: whether any of it is not 0.
    """

    entries: Int[Tensor, " places"]
    variables: Int[Tensor, " places"]
    slot: Int[Tensor, " places"]
    slots: int
    width: int | None
    damping: Float[Tensor, " places_or_1"]
    damped: bool

    def lowest(self, values: Float[Tensor, "*batch places"]) -> Float[Tensor, "*batch slots"]:
        """The lowest value of each slot."""
        if self.width is not None:
            return split_axis(values, (-1, self.width)).amin(-1)
        empty = values.new_full((*values.shape[:-1], self.slots), INFINITY)
        return empty.scatter_reduce(-1, self.slot.expand(values.shape), values, "amin")


def wire(
    graph: FactorGraph, group: MessageGroup, peeled: Bool[Tensor, " factors"], damping: float
) -> Wire:
    """The wire of a group whose factors outside cycles go undamped."""
    counts = graph.counts[group.slots]
    slots = torch.arange(len(counts), device=counts.device)
    slot = slots.repeat_interleave(counts)
    same = len(counts) > 0 and bool((counts == counts[0]).all())
    each = torch.where(peeled, 0.0, damping).to(graph.constant.dtype)
    uniform = len(each) == 0 or bool((each == each[0]).all())
    return Wire(
        entries=group.entries,
        variables=graph.variable_of_entry[group.entries],
        slot=slot,
        slots=len(counts),
        width=int(counts[0]) if same else None,
        damping=each[:1] if uniform else each[group.owners[slot]],
        damped=bool((each > 0).any()),
    )


def collect(
    graph: FactorGraph, wires: tuple[Wire, ...], messages: Messages
) -> Float[Tensor, "*batch entries"]:
    """The beliefs: for each entry the sum of the messages that arrive."""
    lead = messages[0].shape[:-1] if messages else ()
    total = graph.constant.new_zeros((*lead, graph.entries))
    for each, message in zip(wires, messages, strict=True):
        total.index_add_(-1, each.entries, message)
    return total


def incoming(
    each: Wire, beliefs: Float[Tensor, "*batch entries"], message: Float[Tensor, "*batch places"]
) -> Float[Tensor, "*batch places"]:
    """Messages from variables: all that arrives there but what came from the factor itself."""
    rest = beliefs.index_select(-1, each.entries) - message
    if not message.numel() or bool(message.amax() < INFINITY):
        return rest
    # inf - inf: what the factor itself forbids stays forbidden, which loses no labelling
    return torch.where(message.isinf(), INFINITY, rest)


def normalised(
    each: Wire, message: Float[Tensor, "*batch places"]
) -> Float[Tensor, "*batch places"]:
    """Messages whose lowest is 0; those that forbid all labels are left infinite."""
    lowest = each.lowest(message)
    lowest = torch.where(lowest.isfinite(), lowest, 0.0)
    if each.width is not None:
        return (split_axis(message, (-1, each.width)) - lowest.unsqueeze(-1)).flatten(-2)
    return message - lowest[..., each.slot]


def distance(
    old: Float[Tensor, "*batch places"], new: Float[Tensor, "*batch places"]
) -> Float[Tensor, "*batch places"]:
    """How far each message moved; infinite ones that stay have not moved."""
    moved = (new - old).abs_()
    if moved.numel() and bool(moved.amax().isnan()):
        return torch.where(new == old, 0.0, moved)
    return moved
