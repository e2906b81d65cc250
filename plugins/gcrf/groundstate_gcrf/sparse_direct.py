"""`solver/sparse-direct`: the sparse matrix, factored by SuperLU with a fill-reducing order.

With pivots kept on the diagonal LU is LDLᵀ, and by Sylvester's law of inertia A is positive
definite if and only if every pivot is positive. That is checked for every matrix.
"""

import math
from collections.abc import Callable, Sequence
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
from groundstate_gcrf.linear_algebra import sparse_factors
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
        solvers: b `[n, columns]` to A⁻¹b of each matrix; None where it is not positive definite.
        log_determinants: log det A of each matrix; NaN where there is no factor.
        verdicts: `Status` of each matrix.
        entries: numbers that all factors keep.
    """

    own: tuple[int, ...]
    solvers: Sequence[Callable[[Array], Array] | None]
    log_determinants: Float[Tensor, "*own"]
    verdicts: Int[Tensor, "*own"]
    entries: int

    def solve(self, columns: Float[Tensor, "*kept n columns"]) -> Float[Tensor, "*kept n columns"]:
        """A⁻¹b for every matrix; 0 where there is no factor."""
        flat = columns.detach().reshape(-1, *columns.shape[-2:])
        right = flat.double().cpu().numpy()
        found = [
            np.zeros_like(b) if solve is None else solve(b)
            for solve, b in zip(self.solvers, right, strict=True)
        ]
        stacked = torch.from_numpy(np.stack(found)) if found else torch.zeros(right.shape)
        return stacked.to(columns).reshape(columns.shape)


def factors_of(sparse: SparseMatrix, n: int) -> Factorisations:
    """LDLᵀ of each matrix of the view over `n` variables."""
    own = tuple(sparse.values.shape[:-1])
    rows, columns = (each.cpu().numpy() for each in sparse.indices)
    flat = sparse.values.detach().double().cpu().reshape(math.prod(own), -1).numpy()
    parts = [_factorise_one(rows, columns, values, n) for values in flat]
    verdicts = torch.tensor([int(part[2]) for part in parts], dtype=torch.int64).reshape(own)
    logs = torch.tensor([part[1] for part in parts], dtype=torch.float64).reshape(own)
    return Factorisations(
        own=own,
        solvers=[part[0] for part in parts],
        log_determinants=logs,
        verdicts=verdicts.to(sparse.values.device),
        entries=sum(part[3] for part in parts),
    )


def _factorise_one(
    rows: Array, columns: Array, values: Array, n: int
) -> tuple[Callable[[Array], Array] | None, float, Status, int]:
    """How to solve, log det A, a verdict, and the numbers kept."""
    if not np.isfinite(values).all():
        return None, math.nan, Status.DIVERGED, 0
    matrix = csc_array((values, (rows, columns)), shape=(n, n))
    try:
        factors = sparse_factors(matrix)
    except RuntimeError:  # exactly singular
        return None, math.nan, Status.INDEFINITE, 0
    pivots = factors.pivots
    # a pivot off the diagonal was taken only because the one on it was 0
    if not (factors.symmetric and (pivots > 0).all()):
        return None, math.nan, Status.INDEFINITE, 0
    return factors.solve, float(np.log(pivots).sum()), Status.RUNNING, factors.entries


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
