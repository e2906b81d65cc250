"""`solver/jacobi`: x ← x + ω D⁻¹(b - Ax), all variables at once (Gaussian CRF spec §4.2, eq 2.22).

It converges if and only if every eigenvalue of D⁻¹A lies below 2 / ω; a small enough ω always does.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline
from groundstate.views import Quadratic
from groundstate_gcrf.stationary import StationaryState, advance, begin, check_settings


@dataclass(frozen=True, kw_only=True)
class Jacobi:
    """Minimises E(x) = ½xᵀAx - bᵀx + c by sweeps of damped Jacobi.

    A problem ends CONVERGED, STALLED (its residual is rounding), INDEFINITE (dᵀAd < 0 for the
    correction d of a sweep) or DIVERGED (the residual has grown by 1e8, or is not finite).

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem.
        relaxation: ω; 1 is Jacobi's own, less converges for more matrices.
        check_every: sweeps in a step.
    """

    tolerance: Annotated[float, Ge(0)] = 1e-6
    relaxation: Annotated[float, Gt(0), Lt(2)] = 1.0
    check_every: Annotated[int, Ge(1)] = 16

    def __post_init__(self) -> None:
        check_settings(self.tolerance, self.check_every, self.relaxation)

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> StationaryState:
        return begin(energy, x0, self.tolerance)

    def step(self, energy: Energy, state: StationaryState, deadline: Deadline) -> StationaryState:
        diagonal = view(energy, Quadratic).diagonal
        # a diagonal that is not positive was found in `init`; such a problem never moves
        factor = self.relaxation / torch.where(diagonal > 0, diagonal, 1.0)

        def sweep(x: Tensor, left: Tensor) -> Tensor:
            return x + factor * left

        return advance(energy, state, sweep, self.tolerance, self.check_every, deadline)

    def status(self, state: StationaryState) -> Int[Tensor, "*batch"]:
        return state.outcome
