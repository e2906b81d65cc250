"""Factors on edges that weigh one distance between labels: w·D(yᵢ, yⱼ), with one table for all.

Truncated linear and quadratic prices and any other metric; the tables of a million edges would not
fit where their weights do. A message takes O(labels²).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.slots import add_at, take
from groundstate_mrf.typed import distinct, split_axis

_CHUNK = 1 << 22
"""Sums that are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class DistanceGroup:
    """Factors w·D(yᵢ, yⱼ).

    Attributes:
        edges: the two variables of each factor, different, with equally many labels.
        first: the first entry of each of them.
        weights: `[*batch, edges]`, finite, in nats per unit of D.
        table: D; row yᵢ, column yⱼ.
        total: how many entries the graph has.
    """

    edges: Int[Tensor, "edges 2"]
    first: Int[Tensor, "edges 2"]
    weights: Float[Tensor, "*batch edges"]
    table: Float[Tensor, "labels labels"]
    total: int

    def __post_init__(self) -> None:
        if self.weights.shape[-1] != len(self.edges):
            raise ValueError(
                f"there must be one weight per edge, {len(self.edges)}, got "
                f"{self.weights.shape[-1]} (weights of shape {tuple(self.weights.shape)})"
            )
        if not bool(self.weights.isfinite().all() & self.table.isfinite().all()):
            raise ValueError(
                "weights and distances must be finite; forbid pairs of labels by factors with "
                "tables"
            )

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

    @property
    def labels(self) -> int:
        """How many labels each variable has."""
        return len(self.table)

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
        return self._places.flatten()

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        left, right = take(labels, self.edges).unbind(-1)
        return self.weights * self.table[left, right]

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        left, right = take(labels, self.edges).unbind(-1)
        costs = torch.stack([self.table.T[right], self.table[left]], -2)
        return add_at(self.total, self._places, self.weights[..., None, None] * costs)

    def minima(self) -> Float[Tensor, "*batch factors"]:
        low, high = self.table.min(), self.table.max()
        return torch.minimum(self.weights * low, self.weights * high)

    def touching(self, variables: Bool[Tensor, " variables"]) -> "DistanceGroup":
        kept = variables[self.edges].any(-1)
        edges, first, weights = self.edges[kept], self.first[kept], self.weights[..., kept]
        return replace(self, edges=edges, first=first, weights=weights)

    def shifted(self, *, variables: int, entries: int, total: int) -> "DistanceGroup":
        edges, first = self.edges + variables, self.first + entries
        return replace(self, edges=edges, first=first, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        pairs = split_axis(incoming, (self.count, 2, self.labels))
        sent = torch.empty_like(pairs)
        for part in self._chunks(pairs):
            price = self.weights[..., part, None, None] * self.table
            left, right = pairs[..., part, 0, :], pairs[..., part, 1, :]
            sent[..., part, 0, :] = _lowest(price + right[..., None, :], temperature)
            sent[..., part, 1, :] = _lowest(price.mT + left[..., None, :], temperature)
        return sent.flatten(-3)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        left, right = take(beliefs, self._places).unbind(-2)
        means = torch.stack([right @ self.table.T, left @ self.table], -2)
        return add_at(self.total, self._places, self.weights[..., None, None] * means)

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        left, right = take(beliefs, self._places).unbind(-2)
        return self.weights * ((left @ self.table) * right).sum(-1)

    @cached_property
    def _places(self) -> Int[Tensor, "edges 2 labels"]:
        return self.first.unsqueeze(-1) + torch.arange(self.labels, device=self.first.device)

    def _chunks(self, pairs: Float[Tensor, "*batch edges two labels"]) -> Iterator[slice]:
        """Edges at a time, so that no more than a bounded number of sums is in memory."""
        others = max(pairs.shape[:-3].numel(), 1) * self.labels**2
        size = max(_CHUNK // max(others, 1), 1)
        for begin in range(0, self.count, size):
            yield slice(begin, begin + size)


def _lowest(costs: Float[Tensor, "*shape facing"], temperature: float) -> Float[Tensor, "*shape"]:
    if temperature == 0:
        return costs.amin(-1)
    return -temperature * torch.logsumexp(-costs / temperature, -1)


def distance_edges(
    counts: Int[Tensor, " variables"],
    edges: Int[Tensor, "edges 2"],
    weights: Float[Tensor, "*batch edges"],
    table: Float[Tensor, "labels labels"],
) -> DistanceGroup:
    """Factors w·D(yᵢ, yⱼ) on edges whose variables all have as many labels as D has rows."""
    labels = distinct(counts[edges])
    if labels not in ([], [len(table)]) or table.shape[0] != table.shape[1]:
        raise ValueError(
            f"the table must have a row and a column for each label of its variables, which have "
            f"{labels}; got the shape {tuple(table.shape)}"
        )
    first = counts.cumsum(0) - counts
    return DistanceGroup(
        edges=edges, first=first[edges], weights=weights, table=table, total=int(counts.sum())
    )


def truncated_linear(
    labels: int, truncation: float, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "labels labels"]:
    """D(a, b) = min(|a - b|, truncation), a metric."""
    label = torch.arange(labels, dtype=dtype)
    return (label[:, None] - label).abs().clamp(max=truncation)


def truncated_quadratic(
    labels: int, truncation: float, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "labels labels"]:
    """D(a, b) = min((a - b)², truncation), a semi-metric."""
    label = torch.arange(labels, dtype=dtype)
    return (label[:, None] - label).square().clamp(max=truncation)
