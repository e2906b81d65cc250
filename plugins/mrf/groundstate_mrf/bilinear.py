"""Pairwise factors as bilinear forms of real numbers, one per entry: what `relaxation` adds up."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from groundstate_mrf.groups.grid import neighbours
from groundstate_mrf.groups.slots import take
from groundstate_mrf.typed import split_axis


@runtime_checkable
class Form(Protocol):
    """A symmetric matrix without diagonal over the entries, Σ_ij x_iᵀ F_ij x_j."""

    def added(
        self, result: Float[Tensor, "*batch entries"], x: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        """`result` plus the matrix times `x`; may write to `result`."""
        ...


@dataclass(frozen=True, kw_only=True)
class PottsForm:
    """-w between equal labels of the two variables of each edge.

    Attributes:
        places: the entries of both variables.
        weights: w of each edge.
    """

    places: Int[Tensor, "edges 2 labels"]
    weights: Float[Tensor, "*batch edges"]

    def added(
        self, result: Float[Tensor, "*batch entries"], x: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        product = take(x, self.places.flip(1)) * -self.weights[..., None, None]
        return result.index_add(-1, self.places.flatten(), product.flatten(-3))


@dataclass(frozen=True, kw_only=True)
class GridForm:
    """-w between equal labels of all pixels of a grid and their neighbours at one offset.

    Attributes:
        prices: w, the same for each label.
        offset: of the neighbour, in rows and columns.
        shape: rows, columns and labels of the grid.
        first: the grid's first entry.
    """

    prices: Float[Tensor, "*batch rows columns labels"]
    offset: tuple[int, int]
    shape: tuple[int, int, int]
    first: int

    def added(
        self, result: Float[Tensor, "*batch entries"], x: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        rows, columns, labels = self.shape
        own = slice(self.first, self.first + rows * columns * labels)
        grid = split_axis(x[..., own], self.shape)
        written = split_axis(result[..., own], self.shape)
        here, there = ((*place, slice(None)) for place in neighbours(self.offset))
        written[here].addcmul_(self.prices, grid[there], value=-1)
        written[there].addcmul_(self.prices, grid[here], value=-1)
        return result


@dataclass(frozen=True, kw_only=True)
class TableForm:
    """A table between the labels of the two variables of each factor.

    Attributes:
        left: entries of the first variables.
        right: entries of the second variables.
        tables: the table of each factor.
    """

    left: Int[Tensor, "factors left_labels"]
    right: Int[Tensor, "factors right_labels"]
    tables: Float[Tensor, "*batch factors left_labels right_labels"]

    def added(
        self, result: Float[Tensor, "*batch entries"], x: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        onto_left = (self.tables * take(x, self.right).unsqueeze(-2)).sum(-1)
        onto_right = (self.tables * take(x, self.left).unsqueeze(-1)).sum(-2)
        result = result.index_add(-1, self.left.flatten(), onto_left.flatten(-2))
        return result.index_add(-1, self.right.flatten(), onto_right.flatten(-2))
