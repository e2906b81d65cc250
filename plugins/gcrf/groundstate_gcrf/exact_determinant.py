"""Log det A, exactly and differentiable, by whatever structure A declares.

By the determinant lemma det(λI + FᵀF) = λ^(n - D) det(λI + FFᵀ) for F of D rows; the Potts matrix
(J - I) ⊗ Ψ + λI has the determinant det(λI + (L - 1)Ψ) det(λI - Ψ)^(L - 1); a sparse matrix that of
its pivots, with the gradient (A⁻¹)_ij for each entry, which its factors give, too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundstate.energy import Energy, view
from groundstate.status import Status
from groundstate.views import SparseMatrix
from groundstate_gcrf import linear_algebra, potts_split, video_direct
from groundstate_gcrf.dense import written_out
from groundstate_gcrf.selected_inverse import selected_inverse
from groundstate_gcrf.sparse_direct import Factorisations, factors_of
from groundstate_gcrf.structure import LowRank, PottsStructure, VideoStructure


@dataclass(frozen=True, kw_only=True)
class LogDeterminant:
    """log det of some matrices.

    Attributes:
        value: in nats; means nothing where a matrix is not positive definite.
        definite: where it is.
    """

    value: Float[Tensor, "*own"]
    definite: Bool[Tensor, "*own"]


def of_dense(energy: Energy, largest: int) -> LogDeterminant:
    """By the Cholesky factor of A written out, for at most `largest` variables."""
    dense = written_out(energy, largest)
    value = _of_matrix(dense.matrix)
    # what fills up problems of unequal size is the identity, which adds log 1
    spread = dense.sides.spread
    return LogDeterminant(value=spread(value.value), definite=spread(value.definite))


def of_sparse(energy: Energy) -> LogDeterminant:
    """By sparse factors of A."""
    n = math.prod(energy.space.layout.event_shape)
    return _of_entries(view(energy, SparseMatrix), n)


def of_low_rank(energy: Energy) -> LogDeterminant:
    """By one system of the rank."""
    low = view(energy, LowRank)
    n = low.factor.shape[-1]
    gram, positive = low.factor @ low.factor.mT, low.signs > 0
    if bool(positive.all()) or not bool(positive.any()):
        return _of_gram(gram, 1.0 if bool(positive.all()) else -1.0, low.scale, n)
    # λ^(n - D) |det(λS + FFᵀ)|; definite by the inertia that `solver/woodbury` explains
    values = linear_algebra.eigenvalues(gram + low.scale[..., None, None] * low.signs.diag())
    definite = (values > 0).sum(-1) == positive.sum()
    inner = torch.where(values != 0, values.abs(), 1.0).log().sum(-1)
    return LogDeterminant(
        value=inner + (n - len(low.signs)) * low.scale.log(), definite=definite & (low.scale > 0)
    )


def of_potts(energy: Energy, largest: int) -> LogDeterminant:
    """By the two matrices over the pixels; a Ψ that is only applied is written out if small."""
    potts, layout = view(energy, PottsStructure), energy.space.layout
    pixels = math.prod(layout.event_shape[1:])
    shifted = _shifted_psi(potts, layout.batch_shape, pixels, largest)
    together = shifted(potts.labels - 1.0)
    if potts.labels == 1:
        return together
    apart = shifted(-1.0)
    return LogDeterminant(
        value=together.value + (potts.labels - 1) * apart.value,
        definite=together.definite & apart.definite,
    )


def _shifted_psi(
    potts: PottsStructure, batch: tuple[int, ...], pixels: int, largest: int
) -> Callable[[float], LogDeterminant]:
    """From c to log det(λI + cΨ)."""
    if potts.factor is not None:
        gram = potts.factor @ potts.factor.mT
        return lambda c: _of_gram(gram, c, potts.scale, pixels)
    if potts.sparse is not None:
        psi = potts.sparse()
        return lambda c: _of_entries(potts_split.shifted_entries(potts, psi, c, pixels), pixels)
    if pixels > largest:
        raise ValueError(f"Ψ is written out for at most {largest} pixels, got {pixels}")
    values = linear_algebra.eigenvalues(potts_split.written_out(potts, batch, pixels))

    def shifted(c: float) -> LogDeterminant:
        spectrum = potts.scale[..., None] + c * values
        definite = (spectrum > 0).all(-1)
        return LogDeterminant(
            value=torch.where(spectrum > 0, spectrum, 1.0).log().sum(-1), definite=definite
        )

    return shifted


def of_video(energy: Energy) -> LogDeterminant:
    """By one system of the ranks of all frames, λ^(n - VR) det(λI + KG): see `video_direct`."""
    video = view(energy, VideoStructure)
    small = video_direct.small_system(video)
    matrix = small.scale[..., None, None] * torch.eye(len(small.coupling)).to(small.gram)
    matrix = matrix + small.coupling @ video_direct.on_diagonal(small.gram)
    inner = linear_algebra.log_absolute_determinant(matrix)
    n = math.prod(energy.space.layout.event_shape)
    definite = video_direct.is_definite(small)
    return LogDeterminant(
        value=inner + (n - len(small.coupling)) * small.scale.log(),
        definite=definite & (small.scale > 0),
    )


def _of_gram(
    gram: Float[Tensor, "*own rank rank"], c: float, scale: Float[Tensor, "..."], n: int
) -> LogDeterminant:
    """Of λI + cFᵀF over n variables, from FFᵀ."""
    rank = gram.shape[-1]
    eye = torch.eye(rank, dtype=gram.dtype, device=gram.device)
    inner = _of_matrix(c * gram + scale[..., None, None] * eye)
    # beside the span of F the matrix is λ
    value = inner.value + (n - rank) * torch.where(scale > 0, scale, 1.0).log()
    return LogDeterminant(value=value, definite=inner.definite & (scale > 0))


def _of_matrix(matrix: Float[Tensor, "*own n n"]) -> LogDeterminant:
    factor, definite = linear_algebra.cholesky(matrix)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    return LogDeterminant(value=2 * diagonal.log().sum(-1), definite=definite)


def _of_entries(sparse: SparseMatrix, n: int) -> LogDeterminant:
    factors = factors_of(sparse, n)
    definite = factors.verdicts == Status.RUNNING
    apply = cast(Callable[..., Tensor], _OfEntries.apply)
    value = apply(sparse.values, sparse.indices, factors)
    return LogDeterminant(value=value, definite=definite)


class _OfEntries(torch.autograd.Function):
    """The logs of the pivots; the gradient in an entry is that of the inverse."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, indices: Tensor, factors: Factorisations) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.factors = factors
        logs = [
            torch.nan if each is None else torch.from_numpy(each.pivots).log().sum()
            for each in factors.factors
        ]
        return torch.tensor(logs, dtype=torch.float64).reshape(factors.own).to(values)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None]:
        (indices,) = ctx.saved_tensors
        rows, columns = indices.cpu().numpy()
        inverse = [
            torch.from_numpy(selected_inverse(each, rows, columns)) for each in ctx.factors.factors
        ]
        (slope,) = grad_outputs
        entries = torch.stack(inverse).reshape(*ctx.factors.own, -1)
        return slope[..., None] * entries.to(slope), None, None
