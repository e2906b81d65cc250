"""Coarser grids for a matrix on a pixel grid: interpolation from its own entries, then PᵀAP.

Black-box multigrid: Dendy (1982), "Black box multigrid", sections 2 and 3. Every second pixel of
every second row is kept. A pixel between two kept ones takes the mean that its own equation asks
for once its row is summed across the line through them; a pixel between four solves its equation
from its neighbours' values. So weak edges stay weak on all grids. Written in torch: any device, any
batch, differentiable.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from groundstate_gcrf.structure import common_shape

Offset = tuple[int, int]
"""Rows down and columns to the right."""
HALF: tuple[Offset, ...] = ((0, 1), (1, 0), (1, 1), (1, -1))
"""One of each pair of opposite neighbours: right, below, below right, below left."""
NEIGHBOURS: tuple[Offset, ...] = (*HALF, *((-down, -right) for down, right in HALF))
_PARITIES: tuple[Offset, ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
_TINY = 1e-10


@dataclass(frozen=True, kw_only=True)
class NinePoint:
    """A symmetric matrix that couples each pixel with its eight neighbours.

    Attributes:
        centre: the entries (i, i).
        couplings: minus the entries that couple a pixel with its neighbours at `HALF`; 0 where
            there is none.
    """

    centre: Float[Tensor, "*own height width"]
    couplings: Float[Tensor, "*own 4 height width"]

    @property
    def size(self) -> tuple[int, int]:
        return self.centre.shape[-2], self.centre.shape[-1]

    def toward(self, offset: Offset) -> Float[Tensor, "*own height width"]:
        """Minus the entries that couple each pixel with its neighbour at `offset`."""
        if offset in HALF:
            return self.couplings[..., HALF.index(offset), :, :]
        down, right = offset
        return shift(self.couplings[..., HALF.index((-down, -right)), :, :], offset)

    def matvec(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """A times x."""
        product = self.centre * x
        for offset in NEIGHBOURS:
            product = product - self.toward(offset) * shift(x, offset)
        return product


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """P, from a grid of half the height and width, both rounded up.

    Attributes:
        weights: of the eight ways from a kept pixel to another in its square of four: to the pixel
            on its right, from the left and from the right; to the one below it, from above and
            below; to the one between four, from the upper left, upper right, lower left, lower
            right. On the coarse grid, 0 where the fine one ends.
        size: height and width of the fine grid.
    """

    weights: Float[Tensor, "*own 8 coarse_height coarse_width"]
    size: tuple[int, int]

    @property
    def by_parity(self) -> Mapping[Offset, Mapping[Offset, Tensor]]:
        """For pixels of each parity: the weight of the kept pixel at each offset of squares."""
        weights = self.weights.unbind(-3)
        right, below, between = weights[:2], weights[2:4], weights[4:]
        return {
            (0, 0): {(0, 0): torch.ones_like(weights[0])},
            (0, 1): dict(zip(((0, 0), (0, 1)), right, strict=True)),
            (1, 0): dict(zip(((0, 0), (1, 0)), below, strict=True)),
            (1, 1): dict(zip(_PARITIES, between, strict=True)),
        }

    def apply(self, coarse: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """P times a function on the coarse grid."""
        height, width = coarse.shape[-2:]
        batch = common_shape(coarse.shape[:-2], self.weights.shape[:-3])
        fine = coarse.new_zeros(*batch, 2 * height, 2 * width)
        for (row, column), parts in self.by_parity.items():
            values = [weight * shift(coarse, offset) for offset, weight in parts.items()]
            fine[..., row::2, column::2] = torch.stack(values).sum(0)
        return fine[..., : self.size[0], : self.size[1]]

    def transposed(self, fine: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Pᵀ times a function on the fine grid."""
        fine = _even(fine)
        parts = [
            shift(weight * fine[..., row::2, column::2], (-down, -right))
            for (row, column), weights in self.by_parity.items()
            for (down, right), weight in weights.items()
        ]
        return torch.stack(parts).sum(0)


def shift(values: Float[Tensor, "..."], offset: Offset) -> Float[Tensor, "..."]:
    """The value at each pixel's neighbour at `offset`; 0 outside."""
    down, right = offset
    return pad(values, (-right, right, -down, down)) if offset != (0, 0) else values


def _even(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """With a row and a column of zeros added where their number is odd."""
    height, width = values.shape[-2:]
    return pad(values, (0, width % 2, 0, height % 2))


def interpolation(matrix: NinePoint) -> Interpolation:
    """Weights from the entries of the matrix."""
    centre = _even(matrix.centre)
    toward = {offset: _even(matrix.toward(offset)) for offset in NEIGHBOURS}

    def at(parity: Offset, *offsets: Offset) -> Tensor:
        """Sum of the couplings with some neighbours, for pixels of one parity."""
        row, column = parity
        return torch.stack([toward[each][..., row::2, column::2] for each in offsets]).sum(0)

    own = {(row, column): centre[..., row::2, column::2] for row, column in _PARITIES}
    right, below, between = (0, 1), (1, 0), (1, 1)
    divisor = _safe(own[right] - at(right, (-1, 0), (1, 0)), own[right])
    left_weight = at(right, (0, -1), (-1, -1), (1, -1)) / divisor
    right_weight = at(right, (0, 1), (-1, 1), (1, 1)) / divisor
    divisor = _safe(own[below] - at(below, (0, -1), (0, 1)), own[below])
    upper = at(below, (-1, 0), (-1, -1), (-1, 1)) / divisor
    lower = at(below, (1, 0), (1, -1), (1, 1)) / divisor
    up, down = at(between, (-1, 0)), at(between, (1, 0))
    west, east = at(between, (0, -1)), at(between, (0, 1))
    corners = (
        at(between, (-1, -1)) + up * left_weight + west * upper,
        at(between, (-1, 1)) + up * right_weight + east * shift(upper, right),
        at(between, (1, -1)) + down * shift(left_weight, below) + west * lower,
        at(between, (1, 1)) + down * shift(right_weight, below) + east * shift(lower, right),
    )
    divisor = _safe(own[between], own[between])
    weights = (left_weight, right_weight, upper, lower, *(each / divisor for each in corners))
    return Interpolation(weights=torch.stack(weights, dim=-3), size=matrix.size)


def _safe(divisor: Tensor, centre: Tensor) -> Tensor:
    """The divisor, or the entry of the diagonal where that is nearly 0, or 1 where both are."""
    one = torch.where(centre > 0, centre, 1.0)
    return torch.where(divisor > _TINY * one, divisor, one)


def galerkin(matrix: NinePoint, prolong: Interpolation) -> NinePoint:
    """PᵀAP, by products of stencils: no entry is formed that is not needed."""
    weights = prolong.by_parity
    centre = _even(matrix.centre)
    toward = {offset: -_even(matrix.toward(offset)) for offset in NEIGHBOURS} | {(0, 0): centre}
    coarse: dict[Offset, list[Tensor]] = {offset: [] for offset in ((0, 0), *HALF)}
    for (row, column), own in weights.items():
        columns: dict[Offset, Tensor] = {}  # AP, the rows of this parity
        for (down, right), entries in toward.items():
            square = ((row + down) // 2, (column + right) // 2)
            other = weights[(row + down) % 2, (column + right) % 2]
            entry = entries[..., row::2, column::2]
            for (i, j), weight in other.items():
                term = entry * shift(weight, square)
                key = (square[0] + i, square[1] + j)
                columns[key] = columns[key] + term if key in columns else term
        for (i, j), weight in own.items():
            for down, right in coarse:
                product = columns.get((i + down, j + right))
                if product is not None:
                    coarse[down, right].append(shift(weight * product, (-i, -j)))
    found = {offset: torch.stack(terms).sum(0) for offset, terms in coarse.items()}
    couplings = torch.stack([-found[offset] for offset in HALF], dim=-3)
    return NinePoint(centre=found[0, 0], couplings=couplings)
