"""`solver/gaussian-mean-field`: the best Gaussian whose variables are independent.

For p ∝ exp(-E) with E(x) = ½xᵀAx - bᵀx + c, mean field takes q = Π N(μ_i, 1 / A_ii) and lowers
KL(q, p) by μ_i ← (b_i - Σ_{j≠i} A_ij μ_j) / A_ii (Gaussian CRF spec §4.2, eq 2.24 with Θ = -A). All
at once that is Jacobi, one after the other Gauss-Seidel; the fixed point is the exact mean A⁻¹b.
The variances 1 / A_ii are never above the exact ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Beliefs, Deadline
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.colouring import Rows, rows_by_colour
from groundstate_gcrf.gauss_seidel import colours_of, safe_diagonal
from groundstate_gcrf.stationary import StationaryState, Sweep, advance, begin, check_settings


@dataclass(frozen=True, kw_only=True)
class GaussianMeanField:
    """Mean field on a quadratic energy; the means are exact once it has converged.

    Each state has beliefs: the means, and the evidence lower bound on log Z, which holds at any
    time: -E(μ) + ½ Σ log(2π / A_ii).

    Attributes:
        schedule: "parallel" updates all means at once and may diverge; "sequential", one colour of
            the matrix after the other, always converges for a positive definite A.
        tolerance: on the true ‖b - Aμ‖ / ‖b‖ of each problem.
        check_every: sweeps in a step.
    """

    schedule: Literal["parallel", "sequential"] = "sequential"
    tolerance: Annotated[float, Ge(0)] = 1e-6
    check_every: Annotated[int, Ge(1)] = 16

    def __post_init__(self) -> None:
        check_settings(self.tolerance, self.check_every)
        if self.schedule not in ("parallel", "sequential"):
            raise ValueError(f"schedule must be 'parallel' or 'sequential', got {self.schedule!r}")

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> StationaryState:
        colours = colours_of(energy) if self.schedule == "sequential" else None
        return _with_beliefs(energy, begin(energy, x0, self.tolerance, colours))

    def step(self, energy: Energy, state: StationaryState, deadline: Deadline) -> StationaryState:
        if self.schedule == "parallel":
            sweep = _parallel(energy)
        else:
            sweep = _sequential(energy, rows_by_colour(view(energy, SparseMatrix), state.colours))
        state = advance(energy, state, sweep, self.tolerance, self.check_every, deadline)
        return _with_beliefs(energy, state)

    def status(self, state: StationaryState) -> Int[Tensor, "*batch"]:
        return state.outcome


def _parallel(energy: Energy) -> Sweep:
    quadratic, own = view(energy, Quadratic), safe_diagonal(energy)

    def sweep(mean: Tensor, left: Tensor) -> Tensor:
        message = quadratic.linear - left - own * mean  # Σ_{j≠i} A_ij μ_j
        return (quadratic.linear - message) / own

    return sweep


def _sequential(energy: Energy, colours: Sequence[Rows]) -> Sweep:
    layout = energy.space.layout
    axes = len(layout.event_shape)
    linear = view(energy, Quadratic).linear.expand(layout.shape)
    linear, own = (each.flatten(each.dim() - axes) for each in (linear, safe_diagonal(energy)))

    def sweep(mean: Tensor, left: Tensor) -> Tensor:
        now = mean.flatten(mean.dim() - axes).clone()
        for rows in colours:
            mine = rows.variables
            message = rows.couplings(now)
            now.index_copy_(-1, mine, (linear[..., mine] - message) / own[..., mine])
        return now.reshape(mean.shape)

    return sweep


def _with_beliefs(energy: Energy, state: StationaryState) -> StationaryState:
    assert state.energy is not None
    layout, own = energy.space.layout, safe_diagonal(energy).detach()
    lower = 0.5 * layout.sum(math.log(2 * math.pi) - own.log()) - state.energy
    # what is no number bounds nothing
    lower = torch.where(lower.isnan(), -math.inf, lower)
    return replace(state, beliefs=Beliefs(marginals=state.x.detach(), lower=lower))
