"""Potts factors between neighbours on a grid: shifted slices in the place of gathers."""

from dataclasses import dataclass, replace
from functools import cached_property
from types import EllipsisType
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.slots import mean_weight

EIGHT = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Right, down, and the two diagonals: half of the 8 neighbours, each edge once."""

Slices = tuple[EllipsisType, slice, slice]


def neighbours(offset: tuple[int, int]) -> tuple[Slices, Slices]:
    """The pixels that have a neighbour at `offset`, and these neighbours, as slices."""
    down, right = offset
    rows, lower = slice(None, -down or None), slice(down, None)
    if right >= 0:
        return (..., rows, slice(None, -right or None)), (..., lower, slice(right, None))
    return (..., rows, slice(-right, None)), (..., lower, slice(None, right))


@dataclass(frozen=True, kw_only=True)
class GridPottsGroup:
    """Factors w·1[yᵢ ≠ yⱼ] for all neighbours on one grid; entries are row by row, label last.

    Attributes:
        weights: for each offset, `[*batch, rows, columns]` with one weight, in nats, for each pixel
            that has the neighbour, in the grid's order.
        offsets: the neighbours: rows down (from 0) and columns to the right (maybe negative).
        height: rows of the grid.
        width: columns of the grid.
        labels: how many labels each pixel has.
        total: how many entries the graph has.
        start: the grid's first variable.
        first: the grid's first entry.
    """

    weights: tuple[Float[Tensor, "..."], ...]
    offsets: tuple[tuple[int, int], ...] = EIGHT
    height: int
    width: int
    labels: int
    total: int
    start: int = 0
    first: int = 0

    def __post_init__(self) -> None:
        for weights, (down, right) in zip(self.weights, self.offsets, strict=True):
            expected = (self.height - down, self.width - abs(right))
            if tuple(weights.shape[-2:]) != expected:
                raise ValueError(
                    f"the weights of neighbours at {(down, right)} must end in shape {expected}, "
                    f"got {tuple(weights.shape)}"
                )

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

    @property
    def count(self) -> int:
        return sum(weights.shape[-2] * weights.shape[-1] for weights in self.weights)

    @cached_property
    def owners(self) -> Int[Tensor, " slots"]:
        return self.edges.owners

    @cached_property
    def slots(self) -> Int[Tensor, " slots"]:
        return self.edges.slots

    @cached_property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self.edges.entries

    @property
    def edges(self) -> PottsGroup:
        """The same factors edge by edge."""
        return PottsGroup(
            edges=self._pairs + self.start,
            first=self._pairs * self.labels + self.first,
            weights=torch.cat([weights.flatten(-2) for weights in self.weights], -1),
            labels=self.labels,
            total=self.total,
        )

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        grid = self._pixels(labels)
        costs = [
            torch.where(grid[here] != grid[there], weights, 0.0).flatten(-2)
            for here, there, weights in self._directions
        ]
        return torch.cat(costs, -1)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        label = torch.arange(self.labels, device=labels.device)
        differs = self._pixels(labels).unsqueeze(-1) != label
        return self._placed(self._prices(differs.to(self.weights[0].dtype)))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        return self.edges.minima()

    def touching(self, variables: Bool[Tensor, " variables"]) -> PottsGroup:
        return self.edges.touching(variables)

    def shifted(self, *, variables: int, entries: int, total: int) -> Self:
        return replace(
            self, start=self.start + variables, first=self.first + entries, total=total
        )

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        return self.edges.messages(incoming, temperature)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        return self._placed(self._prices(1 - self._pixel_entries(beliefs)))

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        chances = self._pixel_entries(beliefs)
        means: list[Tensor] = []
        for here, there, weights in self._directions:
            left, right = chances[(*here, slice(None))], chances[(*there, slice(None))]
            differ = (left * (1 - right)).sum(-1)
            means.append(mean_weight(weights, differ).flatten(-2))
        return torch.cat(means, -1)

    def _prices(
        self, differs: Float[Tensor, "*batch height width labels"]
    ) -> Float[Tensor, "*batch height width labels"]:
        """For each label, the weights of the neighbours times their chance to differ from it."""
        batch = torch.broadcast_shapes(differs.shape[:-3], self.weights[0].shape[:-2])
        result = differs.new_zeros((*batch, *differs.shape[-3:]))
        for here, there, weights in self._directions:
            left, right = result[(*here, slice(None))], result[(*there, slice(None))]
            # weights per entry: a broadcast over the short label axis is ten times slower
            price = weights.unsqueeze(-1).expand(*weights.shape, self.labels).contiguous()
            if self._forbids:
                left.add_(mean_weight(price, differs[(*there, slice(None))]))
                right.add_(mean_weight(price, differs[(*here, slice(None))]))
            else:
                left.addcmul_(price, differs[(*there, slice(None))])
                right.addcmul_(price, differs[(*here, slice(None))])
        return result

    @property
    def _directions(self) -> list[tuple[Slices, Slices, Tensor]]:
        return [
            (*neighbours(offset), weights)
            for offset, weights in zip(self.offsets, self.weights, strict=True)
        ]

    @cached_property
    def _pairs(self) -> Int[Tensor, "edges 2"]:
        """The two pixels of each edge, in the order of the offsets."""
        pixels = torch.arange(self.height * self.width, device=self.weights[0].device)
        pixels = pixels.reshape(self.height, self.width)
        pairs = [
            torch.stack([pixels[here].flatten(), pixels[there].flatten()], -1)
            for here, there in map(neighbours, self.offsets)
        ]
        return torch.cat(pairs)

    @cached_property
    def _forbids(self) -> bool:
        return any(bool(weights.isinf().any()) for weights in self.weights)

    def _pixels(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "..."]:
        own = labels[..., self.start : self.start + self.height * self.width]
        return own.unflatten(-1, (self.height, self.width))

    def _pixel_entries(self, values: Float[Tensor, "*batch entries"]) -> Float[Tensor, "..."]:
        shape = (self.height, self.width, self.labels)
        own = values[..., self.first : self.first + self.height * self.width * self.labels]
        return own.unflatten(-1, shape)

    def _placed(self, result: Float[Tensor, "*batch height width labels"]) -> Tensor:
        flat = result.flatten(-3)
        after = self.total - self.first - flat.shape[-1]
        if self.first == 0 and after == 0:
            return flat
        return torch.nn.functional.pad(flat, (self.first, after))
