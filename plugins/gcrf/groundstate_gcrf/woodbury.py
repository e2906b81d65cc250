"""`solver/woodbury`: A = FᵀSF + λI of low rank D, solved by one system of size D (spec §6.4).

A⁻¹b = (b - Fᵀ(λS + FFᵀ)⁻¹Fb) / λ for signs S (Woodbury 1950). With every sign +1, A is positive
definite wherever λ > 0. With others it is if and only if λS + FFᵀ has as many positive eigenvalues
as S (both are Schur complements of [[λI, Fᵀ], [F, -S]], so Haynsworth's inertias add up).
"""

from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate_gcrf.direct import Direct, Inverse, verdict_of
from groundstate_gcrf.linear_algebra import all_finite, cholesky, cholesky_solve, eigen
from groundstate_gcrf.sides import Sides
from groundstate_gcrf.structure import LowRank, common_shape


def woodbury(*, tolerance: Annotated[float, Ge(0)] | None = None) -> Direct:
    """By one system of the rank D: O(nD² + D³) time and D² numbers beside F.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """
    return Direct(factorise=factorise, tolerance=tolerance)


def factorise(energy: Energy) -> Inverse:
    """A⁻¹ of a matrix of low rank plus λI, with a verdict per problem."""
    low, layout = view(energy, LowRank), energy.space.layout
    factor = low.factor.detach()
    own = common_shape(factor.shape[:-2], low.scale.shape)
    scale = low.scale.detach().expand(own)
    sides = Sides(batch=layout.batch_shape, own=own)
    gram = factor @ factor.mT
    # what is not finite in F is not finite on the diagonal of FFᵀ
    finite = all_finite(gram) & scale.isfinite()
    usable = finite & (scale > 0)
    safe = torch.where(usable, scale, 1.0)[..., None, None]
    gram = torch.where(usable[..., None, None], gram, 0.0)
    positive = low.signs > 0
    if bool(positive.all()) or not bool(positive.any()):
        solve, definite = _by_cholesky(gram, safe, 1.0 if bool(positive.all()) else -1.0, sides)
    else:
        solve, definite = _by_eigenvalues(gram, safe, low.signs, sides)
    factor = torch.where(usable[..., None, None], factor, 0.0) if not bool(usable.all()) else factor
    lower = sides.matrices(factor.expand(*own, *factor.shape[-2:]))
    shift = sides.matrices(safe)

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(b.reshape(*layout.batch_shape, -1))
        rest = lower.mT @ solve(lower @ columns)
        return sides.rows((columns - rest) / shift).reshape(layout.shape)

    verdict = sides.spread(verdict_of(definite & usable, finite))
    return Inverse(apply=apply, verdict=verdict, stats={"rank": float(factor.shape[-2])})


def _by_cholesky(
    gram: Float[Tensor, "*own rank rank"],
    scale: Float[Tensor, "*own 1 1"],
    sign: float,
    sides: Sides,
) -> tuple[Callable[[Tensor], Tensor], Bool[Tensor, "*own"]]:
    """Where all signs are one, λS + FFᵀ = ±(λI ± FFᵀ), which is definite if and only if A is."""
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    factor, definite = cholesky(scale * eye + sign * gram)
    small = sides.matrices(torch.where(definite[..., None, None], factor, eye))
    return lambda columns: sign * cholesky_solve(small, columns), definite


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
