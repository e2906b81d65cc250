"""Makes the grids of `groundstate_gcrf.preconditioners.multigrid`, once for each matrix."""

import math
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.errors import ViewError
from groundstate_gcrf.linear_algebra import cholesky, cholesky_solve
from groundstate_gcrf.preconditioners.coarsening import NinePoint, galerkin, interpolation
from groundstate_gcrf.preconditioners.cycle_kernel import (
    factor_lines,  # pyright: ignore[reportUnknownVariableType]
)
from groundstate_gcrf.preconditioners.multigrid import Multigrid, Size, finest
from groundstate_gcrf.structure import GridStencil

_factor_lines = cast(Callable[..., None], factor_lines)
_COARSEST = 32
"""Pixels up to which a grid is solved by its dense inverse."""


def multigrid(energy: Energy) -> Multigrid:
    """The hierarchy of an energy on a pixel grid.

    Raises:
        ViewError: if the energy does not say that its matrix is one.
    """
    if GridStencil not in energy.views:
        given = ", ".join(sorted(each.__name__ for each in energy.views))
        raise ViewError(
            "the preconditioner 'multigrid' needs the view GridStencil, a matrix on the pixels of "
            f"a 4-neighbour grid, but {type(energy).__name__} gives: {given}. Use 'block-jacobi' "
            "or 'jacobi', or the solver 'sparse-direct'"
        )
    return of_stencil(view(energy, GridStencil))


def of_stencil(stencil: GridStencil) -> Multigrid:
    """The hierarchy of the matrices of a stencil.

    It is made in float64 whatever the type: the coarsest matrix is as nearly singular as A.
    """
    dtype = stencil.diagonal.dtype
    matrix = finest(stencil)
    matrix = NinePoint(centre=matrix.centre.double(), couplings=matrix.couplings.double())
    sizes: list[Size] = []
    parts: list[Tensor] = []
    while math.prod(matrix.size) > _COARSEST:
        if sizes:
            parts += [matrix.centre.flatten(-2), matrix.couplings.flatten(-3)]
        prolong = interpolation(matrix)
        parts += [_lines(matrix).flatten(-3), prolong.weights[..., 2:4, :, :].flatten(-3)]
        sizes.append(matrix.size)
        matrix = galerkin(matrix, prolong)
    parts.append(_inverse(matrix).flatten(-2))
    numbers = torch.cat(parts, dim=-1).to(dtype)
    return Multigrid(stencil=stencil, numbers=numbers, sizes=(*sizes, matrix.size))


def _lines(matrix: NinePoint) -> Float[Tensor, "*own 2 height width"]:
    """1 / D of the blocks along rows, and down columns."""
    right, below = matrix.couplings[..., 0, :, :], matrix.couplings[..., 1, :, :]
    rows = _factor(matrix.centre, right)
    columns = _factor(matrix.centre.mT, below.mT).mT
    return torch.stack([rows, columns], dim=-3)


def _factor(centre: Tensor, coupling: Tensor) -> Float[Tensor, "*own lines length"]:
    """1 / D in LDLᵀ of the tridiagonal blocks along the last axis.

    A pivot that is not positive, which A being indefinite or rounding brings, is replaced: the
    solver finds that out by itself.
    """
    if centre.device.type == "cpu" and not (torch.is_grad_enabled() and centre.requires_grad):
        shape, lines = centre.shape, (-1, centre.shape[-1])
        parts = [part.detach().contiguous().reshape(lines) for part in (centre, coupling)]
        found = torch.empty_like(parts[0])
        _factor_lines(*(part.numpy() for part in (found, *parts)))
        return found.reshape(shape)
    inverse: list[Tensor] = []
    couplings = coupling.unbind(-1)
    for j, own in enumerate(centre.unbind(-1)):
        pivot = own - couplings[j - 1].square() * inverse[j - 1] if j else own
        pivot = torch.where(pivot > 0, pivot, torch.where(own > 0, own, 1.0))
        inverse.append(pivot.reciprocal())
    return torch.stack(inverse, dim=-1)


def _inverse(matrix: NinePoint) -> Float[Tensor, "*own pixels pixels"]:
    """Of the coarsest matrix; of its diagonal where it is not positive definite."""
    height, width = matrix.size
    pixels = height * width
    ones = torch.eye(pixels, dtype=matrix.centre.dtype, device=matrix.centre.device)
    spread = NinePoint(
        centre=matrix.centre[..., None, :, :], couplings=matrix.couplings[..., None, :, :, :]
    )
    dense = spread.matvec(ones.reshape(pixels, height, width)).flatten(-2)
    diagonal = torch.where(matrix.centre > 0, matrix.centre, 1.0).flatten(-2)
    finite = dense.isfinite().all(-1).all(-1)[..., None, None]
    factor, definite = cholesky(torch.where(finite, dense, torch.diag_embed(diagonal)))
    factor = torch.where(definite[..., None, None], factor, torch.diag_embed(diagonal.sqrt()))
    inverse = cholesky_solve(factor, ones.expand(dense.shape))
    return 0.5 * (inverse + inverse.mT)
