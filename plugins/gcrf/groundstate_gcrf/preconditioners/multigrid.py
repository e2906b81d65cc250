"""`multigrid`: one V-cycle on ever coarser pixel grids, for weights that jump by orders.

Interpolation and coarse matrices come from the entries: see
`groundstate_gcrf.preconditioners.coarsening`. The smoother is alternating zebra lines (Wesseling
1992, "An introduction to multigrid methods", section 7.6), for points are not enough where an edge
of the image runs along the grid: before the coarser grid even rows, odd rows, even columns, odd
columns, each line solved exactly; after it the same in reverse. Every half sweep minimises the
energy over its lines, and what comes after mirrors what came before, so the cycle is symmetric and
positive definite for every positive definite A, whatever is interpolated.

Odd columns are the last solved before the coarser grid and the first after it, so restriction and
interpolation concern even columns only.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from groundstate_gcrf.preconditioners.coarsening import NinePoint, shift
from groundstate_gcrf.structure import GridStencil, common_shape

Size = tuple[int, int]
_BEFORE = ((True, 0), (True, 1), (False, 0), (False, 1))
"""The order of half sweeps: along rows or not, and the first line."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """One grid of a hierarchy.

    Attributes:
        matrix: its matrix.
        lines: 1 / D of LDLᵀ of the blocks along rows, and down columns.
        weights: interpolated to a pixel of an odd row and even column, from above and from below;
            on the next coarser grid.
    """

    matrix: NinePoint
    lines: Float[Tensor, "*own 2 height width"]
    weights: Float[Tensor, "*own 2 coarse_height coarse_width"]


@dataclass(frozen=True, kw_only=True)
class Multigrid:
    """M⁻¹ of the matrices of a stencil: a V-cycle from 0.

    Attributes:
        stencil: the finest matrices.
        numbers: for each of them, grid after grid: the matrix (not the finest: centre and four
            couplings), `Grid.lines`, `Grid.weights`; and last the inverse of the coarsest matrix.
        sizes: height and width of each grid, the finest first.
    """

    stencil: GridStencil
    numbers: Float[Tensor, "*own numbers"]
    sizes: Sequence[Size]

    def apply(self, remainder: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return self._cycle(remainder, 0)

    def grid(self, k: int) -> Grid:
        """A grid that is not the coarsest."""
        (height, width), (coarse_height, coarse_width) = self.sizes[k], self.sizes[k + 1]
        start, fields = starts(self.sizes)[k], fields_of(k)
        kept = self._part(start, fields, height, width)
        start += fields * height * width
        matrix = finest(self.stencil)
        if k:
            matrix = NinePoint(centre=kept[..., 0, :, :], couplings=kept[..., 1:5, :, :])
        weights = self._part(start, 2, coarse_height, coarse_width)
        return Grid(matrix=matrix, lines=kept[..., -2:, :, :], weights=weights)

    def _part(self, start: int, *shape: int) -> Tensor:
        """Some of the numbers of each matrix."""
        part = self.numbers.narrow(-1, start, math.prod(shape))
        return part.reshape(*self.numbers.shape[:-1], *shape)

    def _cycle(self, right: Float[Tensor, "..."], k: int) -> Float[Tensor, "..."]:
        if k + 1 == len(self.sizes):
            pixels = math.prod(self.sizes[k])
            inverse = self._part(starts(self.sizes)[k], pixels, pixels)
            return (inverse @ right.flatten(-2)[..., None]).reshape(right.shape)
        grid = self.grid(k)
        x = torch.zeros_like(right)
        for half_sweep in _BEFORE:
            x = _solve_lines(grid, x, right, *half_sweep)
        error = self._cycle(_restrict(grid, right - grid.matrix.matvec(x)), k + 1)
        x = x + _interpolate(grid, error)
        for half_sweep in reversed(_BEFORE):
            x = _solve_lines(grid, x, right, *half_sweep)
        return x


def fields_of(k: int) -> int:
    """Numbers kept per pixel of a grid: the finest matrix is not kept a second time."""
    return 7 if k else 2


def starts(sizes: Sequence[Size]) -> list[int]:
    """Where each grid starts in `Multigrid.numbers`."""
    found = [0]
    for k in range(len(sizes) - 1):
        found.append(found[-1] + fields_of(k) * math.prod(sizes[k]) + 2 * math.prod(sizes[k + 1]))
    return found


def finest(stencil: GridStencil) -> NinePoint:
    """A matrix with four neighbours as one with eight."""
    parts = (stencil.diagonal, pad(stencil.right, (0, 1)), pad(stencil.down, (0, 0, 0, 1)))
    shape = common_shape(*(part.shape for part in parts))
    centre, right, below = (part.expand(shape) for part in parts)
    none = torch.zeros_like(centre)
    return NinePoint(centre=centre, couplings=torch.stack([right, below, none, none], dim=-3))


def _solve_lines(
    grid: Grid, x: Float[Tensor, "..."], right: Float[Tensor, "..."], rows: bool, first: int
) -> Float[Tensor, "..."]:
    """Every second row, or column, such that its own equations hold."""
    left = right - grid.matrix.matvec(x)
    inverse, after = grid.lines[..., 0 if rows else 1, :, :], x.clone()
    coupling = grid.matrix.couplings[..., 0 if rows else 1, :, :]
    if rows:
        lines = (each[..., first::2, :] for each in (inverse, coupling, left))
        after[..., first::2, :] += _substitute(*lines)
    else:
        lines = (each[..., first::2].mT for each in (inverse, coupling, left))
        after[..., first::2] += _substitute(*lines).mT
    return after


def _substitute(inverse: Tensor, coupling: Tensor, right: Tensor) -> Tensor:
    """(LDLᵀ)⁻¹ along the last axis."""
    divisors, multipliers = inverse.unbind(-1), (coupling * inverse).unbind(-1)
    values = list(right.unbind(-1))
    for j in range(1, len(values)):
        values[j] = values[j] + multipliers[j - 1] * values[j - 1]
    values[-1] = values[-1] * divisors[-1]
    for j in range(len(values) - 2, -1, -1):
        values[j] = values[j] * divisors[j] + multipliers[j] * values[j + 1]
    return torch.stack(values, dim=-1)


def _restrict(grid: Grid, left: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pᵀr, for an r that is 0 in odd columns."""
    height = left.shape[-2]
    odd = pad(left[..., 1::2, ::2], (0, 0, 0, height % 2))
    above, below = grid.weights.unbind(-3)
    return left[..., ::2, ::2] + above * odd + shift(below * odd, (-1, 0))


def _interpolate(grid: Grid, error: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pe in even columns; 0 in odd ones, which are solved next, whatever they hold."""
    height, width = grid.matrix.size
    above, below = grid.weights.unbind(-3)
    odd = above * error + below * shift(error, (1, 0))
    added = error.new_zeros(*odd.shape[:-2], height, width)
    added[..., ::2, ::2] = error
    added[..., 1::2, ::2] = odd[..., : height // 2, :]
    return added
