"""`solver/gauss-seidel`: each variable takes its minimum, the others held (spec §4.2, eq 2.23).

Variables that are not coupled do so together: on a pixel grid the red half and then the black half.
For a positive definite A it always converges, and the energy never rises.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.colouring import Rows, colour, rows_by_colour
from groundstate_gcrf.stationary import StationaryState, Sweep, advance, begin, check_settings
from groundstate_gcrf.structure import GridStencil


@dataclass(frozen=True, kw_only=True)
class GaussSeidel:
    """Minimises E(x) = ½xᵀAx - bᵀx + c by sweeps over the colours of the matrix.

    A problem ends CONVERGED, STALLED (its residual is rounding), INDEFINITE (dᵀAd < 0 for the
    correction d of a sweep) or DIVERGED (the residual has grown by 1e8, or is not finite).

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem.
        relaxation: ω of successive over-relaxation; 1 is Gauss-Seidel.
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
        return begin(energy, x0, self.tolerance, colours_of(energy))

    def step(self, energy: Energy, state: StationaryState, deadline: Deadline) -> StationaryState:
        if GridStencil in energy.views:
            sweep = _red_black(energy, self.relaxation)
        else:
            rows = rows_by_colour(view(energy, SparseMatrix), state.colours)
            sweep = _by_colours(energy, rows, self.relaxation)
        return advance(energy, state, sweep, self.tolerance, self.check_every, deadline)

    def status(self, state: StationaryState) -> Int[Tensor, "*batch"]:
        return state.outcome


def colours_of(energy: Energy) -> Int[Tensor, " variables"]:
    """The colours of an energy's matrix; a grid knows its own without entries."""
    shape = energy.space.layout.event_shape
    if GridStencil in energy.views:
        height, width = shape
        device = energy.space.device
        i, j = (torch.arange(size, device=device) for size in (height, width))
        return ((i[:, None] + j) % 2).flatten()
    return colour(view(energy, SparseMatrix), math.prod(shape))


def safe_diagonal(energy: Energy) -> Shaped[Tensor, "..."]:
    """The diagonal, with 1 where it is not positive: such a problem never moves."""
    diagonal = view(energy, Quadratic).diagonal
    return torch.where(diagonal > 0, diagonal, 1.0).expand(energy.space.layout.shape)


def _red_black(energy: Energy, relaxation: float) -> Sweep:
    quadratic = view(energy, Quadratic)
    factor = relaxation / safe_diagonal(energy)
    red = colours_of(energy).reshape(energy.space.layout.event_shape) == 0
    first, second = factor * red, factor * ~red

    def sweep(x: Tensor, left: Tensor) -> Tensor:
        x = x + first * left
        return x + second * (quadratic.linear - quadratic.matvec(x))

    return sweep


def _by_colours(energy: Energy, colours: Sequence[Rows], relaxation: float) -> Sweep:
    axes = len(energy.space.layout.event_shape)

    def flat(x: Tensor) -> Tensor:
        return x.flatten(x.dim() - axes)

    linear = flat(view(energy, Quadratic).linear.expand(energy.space.layout.shape))
    diagonal = flat(safe_diagonal(energy))

    def sweep(x: Tensor, left: Tensor) -> Tensor:
        now = flat(x).clone()
        for rows in colours:
            mine = rows.variables
            own = diagonal[..., mine]
            rest = linear[..., mine] - rows.couplings(now) - own * now[..., mine]
            now.index_copy_(-1, mine, now[..., mine] + relaxation * rest / own)
        return now.reshape(x.shape)

    return sweep
