"""The matrix of a quadratic energy written out, in float64 or as the energy has it."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.sides import Sides

_COLUMNS = 256
"""Columns of A made at a time: what that takes is small beside A itself."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """A, with what turns configurations into its vectors and back.

    Problems of different sizes that lie end to end are filled up to one size: with the identity in
    the matrix and with 0 in vectors.

    Attributes:
        matrix: A of each problem that has its own.
        sides: how right-hand sides belong to matrices.
        shape: shape of a configuration of every problem.
        place: for problems that lie end to end, where each variable goes: `problem * n + row`.
    """

    matrix: Float[Tensor, "*own n n"]
    sides: Sides
    shape: tuple[int, ...]
    place: Int[Tensor, " variables"] | None = None

    def vectors(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*batch n"]:
        """Configurations as vectors."""
        n = self.matrix.shape[-1]
        if self.place is None:
            return x.reshape(*self.sides.batch, n)
        zeros = x.new_zeros(self.sides.batch[0] * n)
        return zeros.index_put((self.place,), x).reshape(*self.sides.batch, n)

    def configurations(self, vectors: Float[Tensor, "*batch n"]) -> Float[Tensor, "*shape"]:
        """Vectors as configurations."""
        if self.place is None:
            return vectors.reshape(self.shape)
        return vectors.flatten()[self.place]

    @property
    def finite(self) -> Bool[Tensor, "*own"]:
        return self.matrix.isfinite().flatten(-2).all(-1)


def written_out(energy: Energy, largest: int) -> Dense:
    """The matrix of a quadratic energy; differentiable where its entries are.

    Raises:
        ValueError: for more than `largest` variables.
    """
    layout = energy.space.layout
    n = math.prod(layout.event_shape)
    if n > largest:
        raise ValueError(
            f"the matrix is written out for at most {largest} variables, got {n}; use an iterative "
            "solver such as solver/cg, solver/sparse-direct, or raise `largest`"
        )
    if layout.segments is not None:
        return _end_to_end(_by_columns(energy, n), layout.segments, layout.batch_shape[0])
    if SparseMatrix in energy.views:
        matrix = _from_entries(view(energy, SparseMatrix), n)
    else:
        matrix = _by_columns(energy, n)
    own = tuple(matrix.shape[:-2])
    return Dense(matrix=matrix, sides=Sides(batch=layout.batch_shape, own=own), shape=layout.shape)


def _from_entries(sparse: SparseMatrix, n: int) -> Float[Tensor, "*own n n"]:
    flat = sparse.indices[0] * n + sparse.indices[1]
    zeros = sparse.values.new_zeros(*sparse.values.shape[:-1], n * n)
    return zeros.index_add(-1, flat, sparse.values).reshape(*zeros.shape[:-1], n, n)


def _by_columns(energy: Energy, n: int) -> Float[Tensor, "*batch n n"]:
    """A times the identity; every problem gets a matrix, for nothing says which ones share it."""
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    lead = () if layout.segments is not None else layout.batch_shape
    eye = torch.eye(n, dtype=energy.space.dtype, device=energy.space.device)
    parts: list[Tensor] = []
    for first in range(0, n, _COLUMNS):
        rows = eye[first : first + _COLUMNS]
        x = rows.reshape(-1, *(1,) * len(lead), *layout.event_shape)
        x = x.expand(-1, *layout.shape).contiguous()
        parts.append(quadratic.matvec(x).expand_as(x).reshape(len(rows), *lead, n))
    whole = torch.cat(parts).movedim(0, -1)
    return 0.5 * (whole + whole.mT)


def _end_to_end(
    matrix: Float[Tensor, "variables variables"],
    segments: Int[Tensor, " variables"],
    problems: int,
) -> Dense:
    sizes = torch.bincount(segments, minlength=problems)
    n = int(sizes.max())
    order = segments.argsort(stable=True)
    starts = (sizes.cumsum(0) - sizes)[segments[order]]
    row = torch.empty_like(segments)
    row[order] = torch.arange(len(segments), device=segments.device) - starts
    place = segments * n + row
    i, j = (segments[:, None] == segments).nonzero().unbind(-1)
    eye = torch.eye(n, dtype=matrix.dtype, device=matrix.device)
    free = row.new_ones(problems, n).index_put((segments, row), row.new_zeros(()))
    filled = eye * free[:, :, None].to(matrix.dtype)
    filled = filled.index_put((segments[i], row[i], row[j]), matrix[i, j])
    return Dense(
        matrix=filled,
        sides=Sides(batch=(problems,), own=(problems,)),
        shape=tuple(segments.shape),
        place=place,
    )
