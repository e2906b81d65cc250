"""`solver/sparse-direct`: the sparse matrix, factored by SuperLU with a fill-reducing order.

With pivots kept on the diagonal LU is LDLᵀ, and by Sylvester's law of inertia A is positive
definite if and only if every pivot is positive. That is checked for every matrix.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csc_array
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.status import Status
from groundstate.views import SparseMatrix
from groundstate_gcrf.direct import Direct, Inverse
from groundstate_gcrf.linear_algebra import SparseFactors, sparse_factors
from groundstate_gcrf.sides import Sides

Array = NDArray[Any]


def sparse_direct(*, tolerance: Annotated[float, Ge(0)] | None = None) -> Direct:
    """By sparse factors, on the CPU in float64: one matrix after the other, with all its sides.

    On a pixel grid time grows as n^1.5 and memory as n log n.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """
    return Direct(factorise=factorise, tolerance=tolerance)


@dataclass(frozen=True, kw_only=True)
class Factorisations:
    """Factors of several sparse matrices.

    Attributes:
        own: batch shape of the matrices.
        factors: of each matrix; None where it is not positive definite.
        verdicts: `Status` of each matrix.
    """

    own: tuple[int, ...]
    factors: Sequence[SparseFactors | None]
    verdicts: Int[Tensor, "*own"]

    def solve(self, columns: Float[Tensor, "*kept n columns"]) -> Float[Tensor, "*kept n columns"]:
        """A⁻¹b for every matrix; 0 where there is no factor."""
        flat = columns.detach().reshape(-1, *columns.shape[-2:])
        right = flat.double().cpu().numpy()
        found = [
            np.zeros_like(b) if each is None else each.solve(b)
            for each, b in zip(self.factors, right, strict=True)
        ]
        stacked = torch.from_numpy(np.stack(found)) if found else torch.zeros(right.shape)
        return stacked.to(columns).reshape(columns.shape)

    @property
    def entries(self) -> int:
        """How many numbers all factors keep."""
        return sum(each.entries for each in self.factors if each is not None)


def factors_of(sparse: SparseMatrix, n: int) -> Factorisations:
    """LDLᵀ of each matrix of the view over `n` variables; entries of one place add up."""
    own = tuple(sparse.values.shape[:-1])
    rows, columns = (each.cpu().numpy() for each in sparse.indices)
    flat = sparse.values.detach().double().cpu().reshape(math.prod(own), -1).numpy()
    parts = [_factorise_one(rows, columns, values, n) for values in flat]
    verdicts = torch.tensor([int(verdict) for _, verdict in parts], dtype=torch.int64).reshape(own)
    return Factorisations(
        own=own,
        factors=[factors for factors, _ in parts],
        verdicts=verdicts.to(sparse.values.device),
    )


def _factorise_one(
    rows: Array, columns: Array, values: Array, n: int
) -> tuple[SparseFactors | None, Status]:
    if not np.isfinite(values).all():
        return None, Status.DIVERGED
    matrix = csc_array((values, (rows, columns)), shape=(n, n))
    try:
        factors = sparse_factors(matrix)
    except RuntimeError:  # exactly singular
        return None, Status.INDEFINITE
    # a pivot off the diagonal was taken only because the one on it was 0
    if not (factors.symmetric and (factors.pivots > 0).all()):
        return None, Status.INDEFINITE
    return factors, Status.RUNNING


def factorise(energy: Energy) -> Inverse:
    """A⁻¹ by sparse factors, with a verdict per problem."""
    layout = energy.space.layout
    n = math.prod(layout.event_shape)
    factors = factors_of(view(energy, SparseMatrix), n)
    sides = Sides(batch=layout.batch_shape, own=factors.own)

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(b.reshape(*layout.batch_shape, n))
        return sides.rows(factors.solve(columns)).reshape(layout.shape)

    return Inverse(
        apply=apply,
        verdict=sides.spread(factors.verdicts),
        stats={"numbers in the factors": float(factors.entries)},
    )
