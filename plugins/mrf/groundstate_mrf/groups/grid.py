"""Potts factors between neighbours on a grid: shifted slices in the place of gathers."""

from dataclasses import dataclass, replace
from functools import cached_property
from types import EllipsisType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.slots import mean_weight
from groundstate_mrf.typed import common_shape, split_axis

EIGHT = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Right, down, and the two diagonals: half of the 8 neighbours, each edge once."""

Slices = tuple[EllipsisType, slice, slice]


def neighbours(offset: tuple[int, int]) -> tuple[Slices, Slices]:
    """The pixels that have a neighbour at `offset`, and these neighbours, as slices.

    Args:
        offset: rows down (from 0) and columns to the right (maybe negative).
    """
    down, right = offset
    rows, lower = slice(None, -down or None), slice(down, None)
    if right >= 0:
        return (..., rows, slice(None, -right or None)), (..., lower, slice(right, None))
    return (..., rows, slice(-right, None)), (..., lower, slice(None, right))


@dataclass(frozen=True, kw_only=True)
class GridPottsGroup:
    """Factors w·1[yᵢ ≠ yⱼ] for all pixels i and their neighbours j at one offset.

    The grid's entries lie row by row, the label last.

    Attributes:
        weights: `[*batch, rows, columns]`, in nats, of each pixel that has the neighbour.
        offset: rows down (from 0) and columns to the right (maybe negative) to the neighbour.
        height: rows of the grid.
        width: columns of the grid.
        labels: how many labels each pixel has.
        total: how many entries the graph has.
        start: the grid's first variable.
        first: the grid's first entry.
    """

    weights: Float[Tensor, "*batch rows columns"]
    offset: tuple[int, int]
    height: int
    width: int
    labels: int
    total: int
    start: int = 0
    first: int = 0

    def __post_init__(self) -> None:
        expected = (self.height - self.offset[0], self.width - abs(self.offset[1]))
        if tuple(self.weights.shape[-2:]) != expected:
            raise ValueError(
                f"the weights of neighbours at {self.offset} must end in shape {expected}, got "
                f"{tuple(self.weights.shape)}"
            )

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

    @property
    def count(self) -> int:
        return self.weights.shape[-2] * self.weights.shape[-1]

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self._owners

    @cached_property
    def _owners(self) -> Int[Tensor, " slots"]:
        return self.edges.owners

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self._slots

    @cached_property
    def _slots(self) -> Int[Tensor, " slots"]:
        return self.edges.slots

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self._entries

    @cached_property
    def _entries(self) -> Int[Tensor, " group_entries"]:
        return self.edges.entries

    @property
    def edges(self) -> PottsGroup:
        """The same factors edge by edge."""
        return PottsGroup(
            edges=self._pairs + self.start,
            first=self._pairs * self.labels + self.first,
            weights=self.weights.flatten(-2),
            labels=self.labels,
            total=self.total,
        )

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        grid = labels[..., self.start : self.start + self.height * self.width]
        grid = split_axis(grid, (self.height, self.width))
        here, there = neighbours(self.offset)
        return torch.where(grid[here] != grid[there], self.weights, 0.0).flatten(-2)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        grid = labels[..., self.start : self.start + self.height * self.width]
        label = torch.arange(self.labels, device=labels.device)
        differs = (grid.unsqueeze(-1) != label).to(self.weights.dtype)
        return self._prices(split_axis(differs, (self.height, self.width), -2))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        return self.edges.minima()

    def touching(self, variables: Bool[Tensor, " variables"]) -> PottsGroup:
        return self.edges.touching(variables)

    def shifted(self, *, variables: int, entries: int, total: int) -> "GridPottsGroup":
        return replace(self, start=self.start + variables, first=self.first + entries, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        return self.edges.messages(incoming, temperature)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        return self._prices(1 - self._own(beliefs))

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        chances = self._own(beliefs)
        here, there = neighbours(self.offset)
        left, right = chances[(*here, slice(None))], chances[(*there, slice(None))]
        differ = (left * (1 - right)).sum(-1)
        return mean_weight(self.weights, differ).flatten(-2)

    def _prices(
        self, differs: Float[Tensor, "*batch height width labels"]
    ) -> Float[Tensor, "*batch entries"]:
        """For each label, the weights of the neighbours times their chance to differ from it."""
        here, there = ((*place, slice(None)) for place in neighbours(self.offset))
        # weights per entry: a broadcast over the short label axis is ten times slower
        price = self.weights.unsqueeze(-1).expand(*self.weights.shape, self.labels).contiguous()
        batch = common_shape(differs.shape[:-3], price.shape[:-3])
        result = differs.new_zeros((*batch, *differs.shape[-3:]))
        if self._forbids:
            result[here].add_(mean_weight(price, differs[there]))
            result[there].add_(mean_weight(price, differs[here]))
        else:
            result[here].addcmul_(price, differs[there])
            result[there].addcmul_(price, differs[here])
        flat = result.flatten(-3)
        after = self.total - self.first - flat.shape[-1]
        if self.first == 0 and after == 0:
            return flat
        return torch.nn.functional.pad(flat, (self.first, after))

    def _own(
        self, values: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch height width labels"]:
        end = self.first + self.height * self.width * self.labels
        return split_axis(values[..., self.first : end], (self.height, self.width, self.labels))

    @cached_property
    def _pairs(self) -> Int[Tensor, "edges 2"]:
        """The two pixels of each edge."""
        pixels = torch.arange(self.height * self.width, device=self.weights.device)
        pixels = pixels.reshape(self.height, self.width)
        here, there = neighbours(self.offset)
        return torch.stack([pixels[here].flatten(), pixels[there].flatten()], -1)

    @cached_property
    def _forbids(self) -> bool:
        return bool(self.weights.isinf().any())
