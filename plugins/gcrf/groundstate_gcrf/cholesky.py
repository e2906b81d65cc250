"""`solver/cholesky`: the dense matrix, factored as A = LLᵀ, for any quadratic energy of some size.

Every matrix of the batch is factored once, with all its right-hand sides as columns. That LLᵀ
exists is the proof that A is positive definite, as far as floating point tells.
"""

from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from groundstate.energy import Energy
from groundstate_gcrf import linear_algebra
from groundstate_gcrf.dense import written_out
from groundstate_gcrf.direct import Direct, Inverse, verdict_of


def cholesky(
    *,
    tolerance: Annotated[float, Ge(0)] | None = None,
    largest: Annotated[int, Ge(1)] = 4096,
) -> Direct:
    """By A written out and factored: O(n³) time and n² numbers for each matrix.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
        largest: how many variables a problem may have.
    """
    return Direct(factorise=partial(factorise, largest=largest), tolerance=tolerance)


def factorise(energy: Energy, *, largest: int) -> Inverse:
    """A⁻¹ by Cholesky factors, with a verdict per problem."""
    dense = written_out(energy, largest)
    sides, finite = dense.sides, dense.finite
    eye = torch.eye(dense.matrix.shape[-1], dtype=dense.matrix.dtype, device=dense.matrix.device)
    matrix = torch.where(finite[..., None, None], dense.matrix, eye)
    factor, definite = linear_algebra.cholesky(matrix)
    # a failed factor must not fail the solve of its neighbours
    factor = torch.where(definite[..., None, None], factor, eye)
    lower = sides.matrices(factor)

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(dense.vectors(b))
        return dense.configurations(sides.rows(linear_algebra.cholesky_solve(lower, columns)))

    return Inverse(apply=apply, verdict=sides.spread(verdict_of(definite, finite)))
