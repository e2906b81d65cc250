"""Potts factors on edges: a price for different labels, O(labels) per message and move."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.slots import add_at, mean_weight, take
from groundstate_mrf.typed import split_axis


@dataclass(frozen=True, kw_only=True)
class PottsGroup:
    """Factors w·1[yᵢ ≠ yⱼ]. A negative w rewards different labels, +inf forbids them.

    Attributes:
        edges: the two variables of each factor, different, with equally many labels.
        first: the first entry of each of them.
        weights: `[*batch, edges]`, in nats.
        labels: how many labels each of these variables has.
        total: how many entries the graph has.
    """

    edges: Int[Tensor, "edges 2"]
    first: Int[Tensor, "edges 2"]
    weights: Float[Tensor, "*batch edges"]
    labels: int
    total: int

    def __post_init__(self) -> None:
        if self.weights.shape[-1] != len(self.edges):
            raise ValueError(
                f"there must be one weight per edge, {len(self.edges)}, got "
                f"{self.weights.shape[-1]} (weights of shape {tuple(self.weights.shape)})"
            )

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

    @property
    def count(self) -> int:
        return len(self.edges)

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self._owners

    @cached_property
    def _owners(self) -> Int[Tensor, " slots"]:
        return torch.arange(self.count, device=self.edges.device).repeat_interleave(2)

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self._slots

    @cached_property
    def _slots(self) -> Int[Tensor, " slots"]:
        return self.edges.flatten()

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self._entries

    @cached_property
    def _entries(self) -> Int[Tensor, " group_entries"]:
        return self._places.flatten()

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        left, right = take(labels, self.edges).unbind(-1)
        return torch.where(left != right, self.weights, 0.0)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        lead = labels.shape[:-1]
        facing = take(labels, self.edges.flip(-1)).unsqueeze(-1)
        agree = facing == torch.arange(self.labels, device=labels.device)
        cost = torch.where(agree, 0.0, self.weights[..., None, None])
        return add_at(self.total, self._places, cost.expand(*lead, *self._places.shape))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        return self.weights.clamp(max=0) if self.labels > 1 else torch.zeros_like(self.weights)

    def touching(self, variables: Bool[Tensor, " variables"]) -> "PottsGroup":
        kept = variables[self.edges].any(-1)
        edges, first, weights = self.edges[kept], self.first[kept], self.weights[..., kept]
        return replace(self, edges=edges, first=first, weights=weights)

    def shifted(self, *, variables: int, entries: int, total: int) -> "PottsGroup":
        edges, first = self.edges + variables, self.first + entries
        return replace(self, edges=edges, first=first, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        facing = split_axis(incoming, (self.count, 2, self.labels)).flip(-2)
        weights = self.weights[..., None, None]
        return potts_messages(facing, weights, temperature).flatten(-3)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        facing = take(beliefs, self._places.flip(1))
        mean = mean_weight(self.weights[..., None, None], 1 - facing)
        return add_at(self.total, self._places, mean)

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        left, right = take(beliefs, self._places).unbind(-2)
        return mean_weight(self.weights, (left * (1 - right)).sum(-1))

    @cached_property
    def _places(self) -> Int[Tensor, "edges 2 labels"]:
        return self.first.unsqueeze(-1) + torch.arange(self.labels, device=self.first.device)


def potts_messages(
    incoming: Float[Tensor, "*shape labels"],
    weights: Float[Tensor, "*weights 1"],
    temperature: float,
) -> Float[Tensor, "*shape labels"]:
    """The (soft) minimum over the facing label of its message plus w·1[labels differ]."""
    if incoming.shape[-1] == 1:
        return torch.zeros_like(incoming)
    if temperature > 0:
        others = _others(-incoming / temperature) - weights / temperature
        return -temperature * torch.logaddexp(-incoming / temperature, others)
    if bool((weights >= 0).all()):
        # to leave the label out of the minimum changes nothing where differing costs
        return torch.minimum(incoming, incoming.amin(-1, keepdim=True) + weights)
    lowest, second = incoming.topk(2, dim=-1, largest=False).values.chunk(2, -1)
    # the cheapest other label; on ties the second lowest equals the lowest
    others = torch.where(incoming == lowest, second, lowest)
    return torch.minimum(incoming, others + weights)


def _others(scores: Float[Tensor, "*shape labels"]) -> Float[Tensor, "*shape labels"]:
    """Log Σ exp over all labels but one, for each: sums from both ends, without subtracting."""
    nothing = torch.full_like(scores[..., :1], float("-inf"))
    before = torch.cat([nothing, scores[..., :-1].logcumsumexp(-1)], -1)
    after = torch.cat([scores[..., 1:].flip(-1).logcumsumexp(-1).flip(-1), nothing], -1)
    return torch.logaddexp(before, after)
