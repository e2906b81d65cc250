"""Couplings that sparse Potts terms need to be strong and still positive definite.

(J - I) ⊗ Ψ + λI acts on deviations from the mean over labels as λI - Ψ, and on that mean as
λI + (L - 1)Ψ (Gaussian CRF spec §3.2, §3.4). A grid's Ψ has eigenvalues of either sign, so the mean
demands Ψ ≤ λ / (L - 1), ten times less than the deviations do with 11 labels, although no softmax
sees the mean. Unequal labels of the *same* pixel that discourage each other, Ψ + κI, cost nothing
and lift the mean alone:

    (J - I) ⊗ (Ψ + κI) + (λ + κ)I = (J - I) ⊗ Ψ + λI + κ J ⊗ I.

With κ = λ only |Ψ| < λ is left to ask.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.views import SparseMatrix
from groundstate_gcrf.energies.label_grid import OFFSETS, GridCoupling
from groundstate_gcrf.energies.low_rank_potts import GramCoupling
from groundstate_gcrf.energies.matrix import GaussianCrf, spread
from groundstate_gcrf.energies.potts import PottsMatrix
from groundstate_gcrf.structure import common_shape


@dataclass(frozen=True, kw_only=True)
class WithinPixels:
    """Ψ + κI for a Ψ between neighbours of a grid.

    Attributes:
        between: Ψ.
        within: κ, broadcastable to the batch.
    """

    between: GridCoupling
    within: Float[Tensor, "..."]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(self.between.batch_shape, self.within.shape)

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        return self.between.pixel_shape

    def apply(self, v: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.between.apply(v) + spread(self.within, 3) * v

    def product_with_others(
        self, x: Float[Tensor, "..."], scale: Float[Tensor, "..."], /
    ) -> Float[Tensor, "..."]:
        return torch.addcmul(self.apply(x.sum(-3, keepdim=True) - x), spread(scale, 3), x)

    def spectrum(
        self, lowest: Float[Tensor, "..."], highest: Float[Tensor, "..."], /
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        low, high = self.between.spectrum(lowest - self.within, highest - self.within)
        return low + self.within, high + self.within

    @property
    def factor(self) -> None:
        return None

    @property
    def sparse(self) -> Callable[[], SparseMatrix]:
        return self._sparse

    def _sparse(self) -> SparseMatrix:
        one = self.between.sparse()
        each = torch.arange(torch.Size(self.pixel_shape).numel(), device=one.indices.device)
        batch = common_shape(one.values.shape[:-1], self.within.shape)
        own = self.within[..., None].expand(*batch, len(each))
        return SparseMatrix(
            indices=torch.cat([one.indices, torch.stack([each, each])], -1),
            values=torch.cat([one.values.expand(*batch, -1), own], -1),
        )


def smoothing_potts(
    *,
    scores: Float[Tensor, "*batch labels height width"],
    affinities: tuple[Float[Tensor, "..."], ...],
    diagonal: Float[Tensor, "..."],
) -> GaussianCrf:
    """Sparse Potts terms that smooth scores, whatever the affinities: no guard is needed.

    With d_p the sum of |a_pq| over the neighbours of p, Ψ_pq = λ a_pq / (1 + max(d_p, d_q)), so all
    row sums are below λ. Where Ψ couples strongly, (λI - Ψ)⁻¹ does not only average scores but
    makes them many times larger, which a cross-entropy punishes; so the scores count
    b_p = (λ - Σ_q Ψ_pq) s_p there, and scores that all neighbours share stay as they are.

    Args:
        scores: s; the minimiser for affinities of 0.
        affinities: a, for each offset as the weights of `energy/grid-gcrf-potts`.
        diagonal: λ on deviations from the mean over labels.
    """
    pixels = tuple(scores.shape[-2:])
    absolute = GridCoupling(weights=tuple(each.abs() for each in affinities), pixel_shape=pixels)
    ones = affinities[0].new_ones(*affinities[0].shape[:-2], 1, *pixels)
    degree = absolute.apply(ones).squeeze(-3)
    weights = tuple(
        spread(diagonal, 2) * each / (1 + torch.maximum(*ends))
        for each, ends in zip(affinities, grid_ends(degree, len(affinities)), strict=True)
    )
    between = GridCoupling(weights=weights, pixel_shape=pixels)
    given = spread(diagonal, 3) - between.apply(ones)
    coupling = WithinPixels(between=between, within=diagonal)
    matrix = PottsMatrix(coupling=coupling, labels=scores.shape[-3], scale=2 * diagonal)
    return GaussianCrf(matrix=matrix, linear=given * scores)


def smoothing_embeddings(
    *,
    scores: Float[Tensor, "*batch labels height width"],
    embeddings: Float[Tensor, "*batch rank height width"],
    diagonal: Float[Tensor, "..."],
) -> GaussianCrf:
    """Dense Potts terms that smooth scores, for embeddings φ of any size that are not negative.

    As `smoothing_potts`, with all pixels for neighbours: d_p = φ_p·Σ_q φ_q, ψ = φ √(λ / (1 + max
    d)) and b_p = (λ - ψ_p·Σ_q ψ_q) s_p. All row sums of ψᵀψ are below λ, so its eigenvalues are.
    """
    total = embeddings.sum((-2, -1), keepdim=True)
    degree = (embeddings * total).sum(-3)
    share = diagonal / (1 + degree.amax((-2, -1)))
    matrix = PottsMatrix(
        coupling=GramCoupling(
            factor=spread(share.sqrt(), 3) * embeddings, pixel_shape=tuple(scores.shape[-2:])
        ),
        labels=scores.shape[-3],
        scale=diagonal,
    )
    given = diagonal - spread(share, 2) * degree
    return GaussianCrf(matrix=matrix, linear=given.unsqueeze(-3) * scores)


def grid_ends(
    values: Float[Tensor, "*batch height width"], count: int
) -> list[tuple[Float[Tensor, "..."], Float[Tensor, "..."]]]:
    """The values at both ends of the edges of each of the first `count` offsets."""
    return [neighbours(values, offset) for offset in OFFSETS[12][:count]]


def neighbours(
    x: Float[Tensor, "... height width"], offset: tuple[int, int]
) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
    """What is at the pixels that have a neighbour at this offset, and at those neighbours."""
    (down, right), (height, width) = offset, x.shape[-2:]
    left = max(-right, 0)
    wide = width - abs(right)
    here = x[..., : height - down, left : left + wide]
    return here, x[..., down:, left + right : left + right + wide]
