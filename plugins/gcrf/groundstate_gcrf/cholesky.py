"""`solver/cholesky`: the dense matrix, factored as A = LLᵀ, for any quadratic energy of some size.

Every matrix of the batch is factored once, with all its right-hand sides as columns. That LLᵀ
exists is the proof that A is positive definite, as far as floating point tells.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_gcrf.dense import Dense, written_out
from groundstate_gcrf.direct import DirectState, Inverse, begin, check_tolerance, finish
from groundstate_gcrf.linear_algebra import cholesky, cholesky_solve


@dataclass(frozen=True, kw_only=True)
class Cholesky:
    """Minimises E(x) = ½xᵀAx - bᵀx + c in one step, for a positive definite A.

    A problem ends OPTIMAL, INDEFINITE (LLᵀ does not exist), DIVERGED (not finite) or STALLED (the
    factors are too coarse for the tolerance). O(n³) time and n² numbers for each matrix.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
        largest: how many variables a problem may have.
    """

    tolerance: Annotated[float, Ge(0)] | None = None
    largest: Annotated[int, Ge(1)] = 4096

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> DirectState:
        return begin(energy, x0)

    def step(self, energy: Energy, state: DirectState, deadline: Deadline) -> DirectState:
        return finish(energy, state, lambda: self._factorise(energy), self.tolerance)

    def status(self, state: DirectState) -> Int[Tensor, "*batch"]:
        return state.outcome

    def _factorise(self, energy: Energy) -> Inverse:
        return dense_inverse(written_out(energy, self.largest))


def dense_inverse(dense: Dense) -> Inverse:
    """A⁻¹ by Cholesky factors, with a verdict per problem."""
    sides, finite = dense.sides, dense.finite
    eye = torch.eye(dense.matrix.shape[-1], dtype=dense.matrix.dtype, device=dense.matrix.device)
    matrix = torch.where(finite[..., None, None], dense.matrix, eye)
    factor, definite = cholesky(matrix)
    # a failed factor must not fail the solve of its neighbours
    factor = torch.where(definite[..., None, None], factor, eye)
    lower = sides.matrices(factor)

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(dense.vectors(b))
        return dense.configurations(sides.rows(cholesky_solve(lower, columns)))

    running = torch.full(sides.own, int(Status.RUNNING), device=matrix.device)
    verdict = running.masked_fill(~definite, int(Status.INDEFINITE))
    verdict = verdict.masked_fill(~finite, int(Status.DIVERGED))
    return Inverse(apply=apply, verdict=sides.spread(verdict))
