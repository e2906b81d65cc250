"""`energy/inverse-gcrf`: the covariance C = FᵀF + λI is given, so the minimum Cb needs no solve.

The inverse parameterisation of Chandra's thesis (Gaussian CRF spec §14.3 e). Positive definite by
construction. The matrix of the energy is A = C⁻¹ = I/λ - GᵀG with G = L⁻¹F / √λ and LLᵀ = λI + FFᵀ
(Woodbury), so the energy itself is known, too.
"""

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Views
from groundstate.views import Covariance
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.low_rank import (
    apply_columns,
    check_factor,
    event_of,
    gram_product,
    largest_gram_eigenvalue,
    normal,
)
from groundstate_gcrf.energies.matrix import GaussianCrf, as_scale, spread
from groundstate_gcrf.linear_algebra import cholesky
from groundstate_gcrf.structure import Factored, LowRank, common_shape


@dataclass(frozen=True, kw_only=True)
class InverseMatrix:
    """(FᵀF + λI)⁻¹, by its Woodbury form.

    Attributes:
        factor: F over the flattened event.
        whitened: G, so that A = I/λ - GᵀG.
        scale: λ, broadcastable to the batch.
        event_shape: shape of one configuration.
    """

    factor: Float[Tensor, "*batch rank variables"]
    whitened: Float[Tensor, "*whitened_batch rank variables"]
    scale: Float[Tensor, "..."]
    event_shape: tuple[int, ...]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(self.factor.shape[:-2], self.scale.shape)

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        ridge = spread(self.scale.reciprocal(), len(self.event_shape))
        return ridge * x - self._gram(self.whitened, x)

    def covariance(self, b: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Cb = Fᵀ(Fb) + λb."""
        return self._gram(self.factor, b) + spread(self.scale, len(self.event_shape)) * b

    def _gram(self, factor: Tensor, x: Tensor) -> Tensor:
        product = gram_product(factor, x.flatten(-len(self.event_shape)))
        return product.reshape(*product.shape[:-1], *self.event_shape)

    def diagonal(self) -> Float[Tensor, "..."]:
        squares = self.whitened.square().sum(-2)
        squares = squares.reshape(*squares.shape[:-1], *self.event_shape)
        return spread(self.scale.reciprocal(), len(self.event_shape)) - squares

    def floor(self) -> Float[Tensor, "..."]:
        # the terms of I/λ - GᵀG cancel, and leave rounding of the size of 1/λ
        noise = 16 * torch.finfo(self.scale.dtype).eps / self.scale
        return 1 / (self.scale + largest_gram_eigenvalue(self.factor)) - noise

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        def low_rank() -> LowRank:
            signs = -self.whitened.new_ones(self.whitened.shape[-2])
            return LowRank(factor=self.whitened, signs=signs, scale=self.scale.reciprocal())

        return {
            Factored: lambda: Factored(noise=lambda shape, rng: self._noise(linear, shape, rng)),
            Covariance: lambda: Covariance(matvec=self.covariance, linear=linear),
            LowRank: low_rank,
        }

    def _noise(
        self, linear: Tensor, sample_shape: tuple[int, ...], rng: torch.Generator
    ) -> Float[Tensor, "..."]:
        """A(Fᵀε + √λε'), whose covariance is ACA = A."""
        batch = linear.shape[: linear.dim() - len(self.event_shape)]
        inner = normal((*sample_shape, *batch, self.factor.shape[-2]), linear, rng)
        own = normal((*sample_shape, *linear.shape), linear, rng)
        low = apply_columns(self.factor, inner).reshape(own.shape)
        return self.matvec(low + spread(self.scale.sqrt(), len(self.event_shape)) * own)


def inverse_gcrf(
    *,
    unary: Float[Tensor, "..."],
    embeddings: Float[Tensor, "..."],
    diagonal: Annotated[float, Gt(0)] | Tensor = 1.0,
) -> GaussianCrf:
    """Scores of labels that are mixed by a covariance of low rank instead of solved for.

    Args:
        unary: b, `[*batch, labels, height, width]`.
        embeddings: F, `[*batch, rank, labels, height, width]`.
        diagonal: λ, above 0, broadcastable to the batch.
    """
    event, scale = event_of(unary, 3), as_scale(diagonal, unary)
    check_factor(embeddings, event, "embeddings")
    factor = embeddings.flatten(-len(event))
    eye = torch.eye(factor.shape[-2], dtype=factor.dtype, device=factor.device)
    inner = factor @ factor.mT + spread(scale, 2) * eye
    lower = _factor(inner, scale)
    whitened = cast(Tensor, torch.linalg.solve_triangular(lower, factor, upper=False))
    matrix = InverseMatrix(
        factor=factor,
        whitened=whitened / spread(scale.sqrt(), 2),
        scale=scale,
        event_shape=event,
    )
    return GaussianCrf(matrix=matrix, linear=unary)


def _factor(
    inner: Float[Tensor, "*batch rank rank"], scale: Float[Tensor, "..."]
) -> Float[Tensor, "*batch rank rank"]:
    """The Cholesky factor of λI + FFᵀ; the identity where that is not finite.

    Raises:
        NotPositiveDefinite: where λ is lost in rounding.
    """
    eye = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    finite = inner.isfinite().flatten(-2).all(-1)[..., None, None]
    factor, definite = cholesky(torch.where(finite, inner, eye))
    if not bool(definite.all()):
        raise NotPositiveDefinite(
            f"`diagonal` must not be lost beside the embeddings when added to their inner products "
            f"in {inner.dtype}, got {float(scale.min()):.3g}; raise it, or use float64"
        )
    return factor
