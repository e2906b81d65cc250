"""`energy/low-rank-gcrf`: every variable coupled with every other by inner products of embeddings.

E(x) = ½xᵀ(𝒜ᵀ𝒜 + λI)x - bᵀx with an embedding of length D for each variable, so for each label of
each pixel (Chandra, Usunier, Kokkinos 2017; Gaussian CRF spec §6). Positive definite for every
λ > 0. A product with x costs 4ND, and 𝒜ᵀ𝒜 is never formed.
"""

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Views
from groundstate_gcrf import linear_algebra
from groundstate_gcrf.energies import low_rank_kernel
from groundstate_gcrf.energies.matrix import GaussianCrf, as_scale, spread
from groundstate_gcrf.structure import Factored, LowRank, common_shape

_WORTH_A_CALL = 4096
"""Entries of a matrix from which on it gets a product of its own."""


@dataclass(frozen=True, kw_only=True)
class LowRankMatrix:
    """𝒜ᵀ𝒜 + λI.

    Attributes:
        factor: 𝒜, `[*batch, rank, *event]`.
        scale: λ, above 0, broadcastable to the batch.
        event_shape: shape of one configuration.
    """

    factor: Float[Tensor, "..."]
    scale: Float[Tensor, "..."]
    event_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        check_factor(self.factor, self.event_shape, "embeddings")

    @property
    def batch_shape(self) -> tuple[int, ...]:
        own = self.factor.dim() - len(self.event_shape) - 1
        return common_shape(self.factor.shape[:own], self.scale.shape)

    @property
    def flat(self) -> Float[Tensor, "*batch rank variables"]:
        """𝒜 over the flattened event."""
        return self.factor.flatten(-len(self.event_shape))

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """𝒜ᵀ(𝒜x) + λx."""
        dimensions = len(self.event_shape)
        product = gram_product(self.flat, x.flatten(-dimensions))
        return product.reshape(*product.shape[:-1], *self.event_shape) + (
            spread(self.scale, dimensions) * x
        )

    def diagonal(self) -> Float[Tensor, "..."]:
        dimensions = len(self.event_shape)
        return squared_norms(self.factor, -1 - dimensions) + spread(self.scale, dimensions)

    def floor(self) -> Float[Tensor, "..."]:
        return self.scale

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        return {
            LowRank: lambda: LowRank(
                factor=self.flat,
                signs=self.factor.new_ones(self.flat.shape[-2]),
                scale=self.scale,
            ),
            Factored: lambda: Factored(noise=lambda shape, rng: self._noise(linear, shape, rng)),
        }

    def _noise(
        self, linear: Tensor, sample_shape: tuple[int, ...], rng: torch.Generator
    ) -> Float[Tensor, "..."]:
        """𝒜ᵀε + √λ η, whose covariance is A (Gaussian CRF spec §14.3)."""
        dimensions = len(self.event_shape)
        batch = linear.shape[: linear.dim() - dimensions]
        inner = normal((*sample_shape, *batch, self.flat.shape[-2]), linear, rng)
        own = normal((*sample_shape, *linear.shape), linear, rng)
        low = apply_rows(self.flat.mT, inner)
        root = spread(self.scale.sqrt(), dimensions)
        return low.reshape(own.shape) + root * own


def low_rank_gcrf(
    *,
    unary: Float[Tensor, "..."],
    embeddings: Float[Tensor, "..."],
    diagonal: Annotated[float, Gt(0)] | Tensor = 1.0,
) -> GaussianCrf:
    """Scores of labels, all pixels and labels coupled by inner products of embeddings.

    Args:
        unary: b, `[*batch, labels, height, width]`; more or fewer event dimensions when
            `embeddings` has one dimension more than these.
        embeddings: 𝒜, `[*batch, rank, labels, height, width]`; positive inner products discourage
            both variables from being large.
        diagonal: λ, above 0, broadcastable to the batch.
    """
    event = event_of(unary, 3)
    matrix = LowRankMatrix(factor=embeddings, scale=as_scale(diagonal, unary), event_shape=event)
    return GaussianCrf(matrix=matrix, linear=unary)


def event_of(unary: Float[Tensor, "..."], dimensions: int) -> tuple[int, ...]:
    """The last `dimensions` of the shape.

    Raises:
        ValueError: if there are fewer.
    """
    if unary.dim() < dimensions:
        raise ValueError(
            f"unary must have at least {dimensions} dimensions, got the shape {tuple(unary.shape)}"
        )
    return tuple(unary.shape[unary.dim() - dimensions :])


def check_factor(factor: Tensor, event_shape: tuple[int, ...], name: str) -> None:
    """Refuse embeddings that do not end in rank and event.

    Raises:
        ValueError: with both shapes.
    """
    shape, size = tuple(factor.shape), len(event_shape)
    if len(shape) < size + 1 or shape[len(shape) - size :] != event_shape:
        raise ValueError(
            f"{name} must be [*batch, rank, *event] with the event {event_shape}, got the shape "
            f"{shape}"
        )


def apply_rows(
    factor: Float[Tensor, "*batch rows variables"], x: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Each row's inner product with x: a matrix product for each matrix, whatever it serves."""
    if factor.dim() == 2:
        return x @ factor.mT
    own = tuple(factor.shape[:-2])
    first = x.dim() - 1 - len(own)
    fitting = first >= 0 and tuple(x.shape[first:-1]) == own and factor.numel() > 0
    if not fitting or factor.shape[-2:].numel() < _WORTH_A_CALL:
        return torch.einsum("...dn,...n->...d", factor, x)
    # torch's batched product of matrix and vector is many times slower than one after the other
    matrices = factor.reshape(-1, *factor.shape[-2:]).unbind()
    vectors = x.reshape(*x.shape[:first], -1, x.shape[-1]).unbind(-2)
    short = [vector @ matrix.mT for matrix, vector in zip(matrices, vectors, strict=True)]
    return torch.stack(short, -2).reshape(*x.shape[:-1], -1)


def squared_norms(factor: Float[Tensor, "..."], axis: int) -> Float[Tensor, "..."]:
    """Σ of squares along one axis; without a copy of the size of the factor where it can."""
    if torch.is_grad_enabled() and factor.requires_grad:
        return factor.square().sum(axis)
    # the gradient of a norm does not exist at 0, and none is asked for
    return cast(Tensor, torch.linalg.vector_norm(factor, dim=axis)).square()


def gram_product(
    factor: Float[Tensor, "*batch rank variables"], x: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """FᵀFx, right to left."""
    if low_rank_kernel.serves(factor, x):
        return low_rank_kernel.gram(factor, x)
    return apply_rows(factor.mT, apply_rows(factor, x))


def apply_columns(
    factor: Float[Tensor, "*batch rows variables"], short: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Fᵀ times a vector with one number per row."""
    if low_rank_kernel.serves(factor, short):
        return low_rank_kernel.columns_of(factor, short)
    return apply_rows(factor.mT, short)


def largest_gram_eigenvalue(factor: Float[Tensor, "*batch rank variables"]) -> Tensor:
    """σ_max(F)² with a margin for rounding: a certified upper bound; differentiable.

    NaN where F or its squares are not finite, so that one such problem spoils no other.
    """
    rank, variables = factor.shape[-2:]
    if not rank or not variables:
        return factor.new_zeros(factor.shape[:-2])
    small = factor if rank <= variables else factor.mT
    gram = small @ small.mT
    finite = gram.isfinite().flatten(-2).all(-1)
    values = linear_algebra.eigenvalues(torch.where(finite[..., None, None], gram, 0.0))
    margin = 8 * small.shape[-2] * torch.finfo(factor.dtype).eps
    largest = values[..., -1].clamp(min=0) * (1 + margin)
    return torch.where(finite, largest, torch.nan)


def normal(shape: tuple[int, ...], like: Tensor, rng: torch.Generator) -> Tensor:
    """Standard normal numbers of the type and on the device of `like`."""
    drawn = torch.randn(shape, generator=rng, device=rng.device, dtype=like.dtype)
    return drawn.to(like.device)
