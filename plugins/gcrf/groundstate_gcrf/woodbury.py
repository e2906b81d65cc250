"""`solver/woodbury`: A = FᵀSF + λI of low rank D, solved by one system of size D (spec §6.4).

A⁻¹b = (b - Fᵀ(λS + FFᵀ)⁻¹Fb) / λ for signs S (Woodbury 1950). With every sign +1, A is positive
definite wherever λ > 0. With others it is if and only if λS + FFᵀ has as many positive eigenvalues
as S (both are Schur complements of [[λI, Fᵀ], [F, -S]], so Haynsworth's inertias add up).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_gcrf.direct import DirectState, Inverse, begin, check_tolerance, finish
from groundstate_gcrf.linear_algebra import cholesky, cholesky_solve, eigen
from groundstate_gcrf.sides import Sides
from groundstate_gcrf.structure import LowRank, common_shape


@dataclass(frozen=True, kw_only=True)
class Woodbury:
    """Minimises E(x) = ½xᵀAx - bᵀx + c in one step, for A = FᵀSF + λI with F of D rows.

    O(nD²+ D³) time and D² numbers beside F; right-hand sides of one matrix share the factors.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """

    tolerance: Annotated[float, Ge(0)] | None = None

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> DirectState:
        return begin(energy, x0)

    def step(self, energy: Energy, state: DirectState, deadline: Deadline) -> DirectState:
        return finish(energy, state, lambda: _inverse(energy), self.tolerance)

    def status(self, state: DirectState) -> Int[Tensor, "*batch"]:
        return state.outcome


def _inverse(energy: Energy) -> Inverse:
    low, layout = view(energy, LowRank), energy.space.layout
    factor = low.factor.detach()
    own = common_shape(factor.shape[:-2], low.scale.shape)
    scale = low.scale.detach().expand(own)
    sides = Sides(batch=layout.batch_shape, own=own)
    finite = factor.isfinite().flatten(-2).all(-1) & scale.isfinite()
    usable = finite & (scale > 0)
    safe = torch.where(usable, scale, 1.0)[..., None, None]
    gram = torch.where(usable[..., None, None], factor @ factor.mT, 0.0)
    if bool((low.signs > 0).all()):
        solve, definite = _by_cholesky(gram, safe, sides)
    else:
        solve, definite = _by_eigenvalues(gram, safe, low.signs, sides)
    factor = torch.where(usable[..., None, None], factor, 0.0) if not bool(usable.all()) else factor
    lower = sides.matrices(factor.expand(*own, *factor.shape[-2:]))
    shift = sides.matrices(safe)

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(b.reshape(*layout.batch_shape, -1))
        rest = lower.mT @ solve(lower @ columns)
        return sides.rows((columns - rest) / shift).reshape(layout.shape)

    verdict = torch.full(own, int(Status.RUNNING), device=factor.device)
    verdict = verdict.masked_fill(~(definite & usable), int(Status.INDEFINITE))
    verdict = verdict.masked_fill(~finite, int(Status.DIVERGED))
    stats = {"rank": float(factor.shape[-2])}
    return Inverse(apply=apply, verdict=sides.spread(verdict), stats=stats)


def _by_cholesky(
    gram: Float[Tensor, "*own rank rank"], scale: Float[Tensor, "*own 1 1"], sides: Sides
) -> tuple[Callable[[Tensor], Tensor], Bool[Tensor, "*own"]]:
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor, definite = cholesky(gram + scale * eye)
    small = sides.matrices(torch.where(definite[..., None, None], factor, eye))
    return lambda columns: cholesky_solve(small, columns), definite


def _by_eigenvalues(
    gram: Float[Tensor, "*own rank rank"],
    scale: Float[Tensor, "*own 1 1"],
    signs: Float[Tensor, " rank"],
    sides: Sides,
) -> tuple[Callable[[Tensor], Tensor], Bool[Tensor, "*own"]]:
    values, vectors = eigen(gram + scale * torch.diag(signs))
    definite = ((values > 0).sum(-1) == (signs > 0).sum()) & (values != 0).all(-1)
    inverse = sides.matrices(torch.where(values != 0, values, 1.0).reciprocal()[..., None])
    basis = sides.matrices(vectors)
    return lambda columns: basis @ (inverse * (basis.mT @ columns)), definite
