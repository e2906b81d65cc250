"""`solver/potts-split`: A = (J - I) ⊗ Ψ + λI, solved apart on the mean and on deviations from it.

J has the mean over labels as its eigenvector, so with m = mean_k b_k (Gaussian CRF spec §3.2)

    x_k = (λI + (L - 1)Ψ)⁻¹ m + (λI - Ψ)⁻¹ (b_k - m),

systems over the pixels alone, with all labels as right-hand sides. A dense Ψ takes one
eigendecomposition for both shifts; a sparse one, or one of low rank, is factored once for each.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.status import Status
from groundstate.views import SparseMatrix
from groundstate_gcrf.direct import Direct, Inverse, verdict_of
from groundstate_gcrf.linear_algebra import all_finite, cholesky, cholesky_solve, eigen
from groundstate_gcrf.sides import Sides
from groundstate_gcrf.skinny_kernel import combine, inner_products
from groundstate_gcrf.sparse_direct import factors_of
from groundstate_gcrf.structure import PottsStructure, common_shape

Shifted = Callable[[float], Inverse]
"""c to (λI + cΨ)⁻¹, on `[*batch, labels, pixels]`."""


def potts_split(
    *,
    tolerance: Annotated[float, Ge(0)] | None = None,
    largest: Annotated[int, Ge(1)] = 4096,
) -> Direct:
    """By two systems over the pixels, for an A that couples labels by one Ψ.

    A is positive definite if and only if both λI + (L - 1)Ψ and λI - Ψ are, which is checked.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
        largest: how many pixels Ψ may have where it is neither sparse nor of low rank.
    """
    return Direct(factorise=partial(factorise, largest=largest), tolerance=tolerance)


def factorise(energy: Energy, *, largest: int) -> Inverse:
    """A⁻¹ from those of its two parts, with a verdict per problem."""
    potts, layout = view(energy, PottsStructure), energy.space.layout
    if potts.factor is not None:
        inverse = _of_low_rank(potts, layout.batch_shape)

        def apply_low_rank(b: Tensor) -> Tensor:
            return inverse.apply(b).reshape(layout.shape)

        return replace(inverse, apply=apply_low_rank)
    if potts.sparse is not None:
        pixels = math.prod(layout.event_shape[1:])
        shifted = _of_sparse(potts, potts.sparse(), layout.batch_shape, pixels)
        way = "sparse"
    else:
        pixels = math.prod(layout.event_shape[1:])
        shifted, way = _of_dense(potts, layout.batch_shape, pixels, largest), "dense"
    together, apart = shifted(potts.labels - 1), shifted(-1.0)
    if potts.labels == 1:
        apart = together
    batch, labels = layout.batch_shape, potts.labels

    def apply(b: Tensor) -> Tensor:
        rows = b.reshape(*batch, labels, -1)
        mean = rows.mean(-2, keepdim=True)
        x = together.apply(mean) + apart.apply(rows - mean)
        return x.reshape(layout.shape)

    verdict = torch.maximum(together.verdict, apart.verdict)
    lost = (together.verdict == Status.DIVERGED) | (apart.verdict == Status.DIVERGED)
    verdict = verdict.masked_fill(lost, int(Status.DIVERGED))
    return Inverse(apply=apply, verdict=verdict, stats={"decomposition": way})


def _of_dense(potts: PottsStructure, batch: tuple[int, ...], pixels: int, largest: int) -> Shifted:
    if pixels > largest:
        raise ValueError(
            f"a Ψ that is neither sparse nor of low rank is written out for at most "
            f"{largest} pixels, got {pixels}; use solver/cg, or raise `largest`"
        )
    psi = written_out(potts, batch, pixels).detach()
    finite = psi.isfinite().flatten(-2).all(-1)
    psi = torch.where(finite[..., None, None], psi, 0.0)
    values, vectors = eigen(psi.expand(*batch, pixels, pixels))
    scale = potts.scale.detach().expand(batch)

    def shifted(c: float) -> Inverse:
        spectrum = scale[..., None] + c * values
        verdict = _verdict(spectrum, finite.expand(batch))
        safe = torch.where((verdict == 0)[..., None], spectrum, 1.0)

        def apply(b: Tensor) -> Tensor:
            return ((b @ vectors) / safe[..., None, :]) @ vectors.mT

        return Inverse(apply=apply, verdict=verdict)

    return shifted


def _verdict(spectrum: Float[Tensor, "*batch n"], finite: Tensor) -> Int[Tensor, "*batch"]:
    return verdict_of((spectrum > 0).all(-1), finite & spectrum.isfinite().all(-1))


def _of_low_rank(potts: PottsStructure, batch: tuple[int, ...]) -> Inverse:
    """(λI + cψᵀψ)⁻¹ = (I - ψᵀ(λ/c I + ψψᵀ)⁻¹ψ) / λ, for c = L - 1 on the mean and -1 beside it.

    ψ is applied to all labels and the labels are told apart in its range: two products with ψ. Two
    Cholesky factors of its size cost less than its eigenvalues. λI - ψψᵀ has one if and only if
    λI - Ψ is positive definite; the other always has.
    """
    assert potts.factor is not None
    factor, labels = potts.factor.detach(), potts.labels
    own = common_shape(factor.shape[:-2], potts.scale.shape)
    scale = potts.scale.detach().expand(own)
    gram = factor @ factor.mT
    # what is not finite in ψ is not finite on the diagonal of ψψᵀ
    finite = all_finite(gram) & scale.isfinite()
    usable = finite & (scale > 0)
    if not bool(usable.all()):
        factor = torch.where(usable[..., None, None], factor, 0.0)
        gram = torch.where(usable[..., None, None], gram, 0.0)
        scale = torch.where(usable, scale, 1.0)
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    shift = scale[..., None, None]
    apart, definite = cholesky(shift * eye - gram if labels > 1 else shift * eye)
    apart = torch.where(definite[..., None, None], apart, eye)
    together, _ = cholesky(shift / max(labels - 1, 1) * eye + gram)
    sides = Sides(batch=(*batch, labels), own=(*own, 1))
    small = tuple(sides.matrices(each.expand(*own, *eye.shape)) for each in (apart, together))
    upper = sides.matrices(factor.expand(*own, *factor.shape[-2:]))
    over, one = sides.matrices(shift), shift.new_ones(())

    def apply(b: Tensor) -> Tensor:
        # labels are the last of the axes along which ψ is one
        rows = sides.sides(b.reshape(*batch, labels, -1))
        if labels == 1:
            return sides.unsides(rows / over)
        short = inner_products(rows, upper).mT
        each = short.reshape(*short.shape[:-1], -1, labels)
        mean = each.mean(-1)
        rest = cholesky_solve(small[0], (each - mean[..., None]).flatten(-2))
        common = cholesky_solve(small[1], mean)
        inner = (rest.reshape(each.shape) - common[..., None]).flatten(-2)
        return sides.unsides(combine(inner.mT, upper, one, rows) / over)

    verdict = verdict_of(definite & usable, finite)
    return Inverse(
        apply=apply,
        verdict=Sides(batch=batch, own=own).spread(verdict),
        stats={"decomposition": "low rank"},
    )


def _of_sparse(
    potts: PottsStructure, psi: SparseMatrix, batch: tuple[int, ...], pixels: int
) -> Shifted:
    own = common_shape(psi.values.shape[:-1], potts.scale.shape)

    def shifted(c: float) -> Inverse:
        factors = factors_of(shifted_entries(potts, psi, c, pixels), pixels)

        def apply(b: Tensor) -> Tensor:
            sides = Sides(batch=(*batch, b.shape[-2]), own=(*own, 1))
            return sides.rows(factors.solve(sides.columns(b)))

        verdict = Sides(batch=batch, own=own).spread(factors.verdicts)
        return Inverse(apply=apply, verdict=verdict)

    return shifted


def written_out(
    potts: PottsStructure, batch: tuple[int, ...], pixels: int
) -> Float[Tensor, "*batch pixels pixels"]:
    """Ψ; differentiable where it is."""
    eye = torch.eye(pixels, dtype=potts.scale.dtype, device=potts.scale.device)
    psi = potts.apply(eye.expand(*batch, pixels, pixels)).expand(*batch, pixels, pixels)
    return 0.5 * (psi + psi.mT)


def shifted_entries(
    potts: PottsStructure, psi: SparseMatrix, c: float, pixels: int
) -> SparseMatrix:
    """λI + cΨ; a place may stand twice, for Ψ may have a diagonal of its own."""
    own = common_shape(psi.values.shape[:-1], potts.scale.shape)
    each = torch.arange(pixels, device=psi.indices.device).expand(2, -1)
    entries = c * psi.values.expand(*own, -1)
    ridge = potts.scale.expand(own)[..., None].expand(*own, pixels)
    return SparseMatrix(
        indices=torch.cat([psi.indices, each], -1), values=torch.cat([entries, ridge], -1)
    )
