"""`energy/affinity-gcrf`: every pixel is the mean of those that look alike, some are given.

E(y) = ½‖(I - S)y‖² + ½μ Σ_ij S_ij (y_i - y_j)² + ½βΣ h_i (y_i - α_i)²
     + ½γΣ_g Σ_{i in g} (y_i - ȳ_g)² + ½λ‖y‖²

with S the row softmax of how much embeddings are alike (Messaoud, Forsyth, Schwing: Structural
Consistency and Controllability for Diverse Colorization, 2018; structured models spec §2.3). The
regions g, whose pixels must share a value ȳ_g, and the pins h are given at run time.

The paper's S is dense, and can be formed for small images only; with `neighbours` each row looks at
few pixels. μ is not the paper's, which has μ = 0: a mean may be kept by values that swing around
it, so between few pins ½‖(I - S)y‖² alone goes beyond the values given, as thin plates do. μ draws
each pixel to each of those that look alike, and makes A better conditioned.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, get_args

import torch
from annotated_types import Ge, Lt
from jaxtyping import Bool, Float
from torch import Tensor

from groundstate.energy import Views
from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.energies.held import check_held
from groundstate_gcrf.energies.matrix import GaussianCrf, spread
from groundstate_gcrf.energies.neighbours import Likeness, dense_similarity, sparse_similarity
from groundstate_gcrf.energies.similarity import Similarity, positive_root
from groundstate_gcrf.structure import Factored, common_shape


@dataclass(frozen=True, kw_only=True)
class AffinityMatrix:
    """(I - S)ᵀ(I - S) + μL + βH + γ Σ_g (M_g - m_g m_gᵀ / |g|) + λI over `[height, width]`.

    Attributes:
        similarity: S over the flattened pixels; L = I + diag(Sᵀ1) - S - Sᵀ.
        pull: βh of each pixel, at least 0.
        regions: m, 1 for the pixels of each region that share a value and 0 for others.
        smoothness: μ, broadcastable to the batch.
        tie: γ, broadcastable to the batch.
        scale: λ, broadcastable to the batch.
    """

    similarity: Similarity
    pull: Float[Tensor, "*pull_batch height width"]
    regions: Float[Tensor, "*region_batch regions height width"]
    smoothness: Float[Tensor, "..."]
    tie: Float[Tensor, "..."]
    scale: Float[Tensor, "..."]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(
            self.similarity.batch_shape,
            self.pull.shape[:-2],
            self.regions.shape[:-3],
            self.smoothness.shape,
            self.tie.shape,
            self.scale.shape,
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.pull.shape[-2:])

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        flat, mu = x.flatten(-2), spread(self.smoothness, 1)
        mean = self.similarity.apply(flat)
        rest = flat - mean
        # one product with Sᵀ serves both terms: Sᵀ(I - S)x and μSᵀx
        near = (1 + self.similarity.received()) * flat - mean
        smooth = rest + mu * near - self.similarity.apply_transposed(rest + mu * flat)
        smooth = smooth.reshape(*smooth.shape[:-1], *self.event_shape)
        product = smooth + (self.pull + spread(self.scale, 2)) * x
        if not self.regions.shape[-3]:
            return product
        return product + spread(self.tie, 2) * self._deviation(x)

    def _deviation(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Σ_g m_g (x - mean of x in g)."""
        means = (self.regions * x[..., None, :, :]).sum((-2, -1)) / self._counts
        total = self.regions.sum(-3) * x
        return total - (self.regions * spread(means, 2)).sum(-3)

    @property
    def _counts(self) -> Float[Tensor, "*batch regions"]:
        return self.regions.sum((-2, -1)).clamp(min=1)

    def diagonal(self) -> Float[Tensor, "..."]:
        itself, mu = self.similarity.own(), spread(self.smoothness, 1)
        own = 1 - 2 * itself + self.similarity.received_squares()
        own = own + mu * (1 + self.similarity.received() - 2 * itself)
        own = own.reshape(*own.shape[:-1], *self.event_shape)
        inverse = spread(self._counts.reciprocal(), 2)
        tied = (self.regions * (1 - inverse)).sum(-3)
        return own + self.pull + spread(self.tie, 2) * tied + spread(self.scale, 2)

    def floor(self) -> Float[Tensor, "..."]:
        return self.scale + self.pull.amin((-2, -1))

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        batch = tuple(linear.shape[:-2])
        return {Factored: lambda: Factored(noise=partial(self._noise, batch))}

    def _noise(
        self, batch: tuple[int, ...], sample_shape: tuple[int, ...], rng: torch.Generator
    ) -> Float[Tensor, "*sample_and_batch height width"]:
        """(I - S)ᵀε, what `differences` draws times √μ, and the rest from their own roots."""

        def draw(*event: int) -> Tensor:
            shape = (*sample_shape, *batch, *event)
            drawn = torch.randn(shape, generator=rng, device=rng.device, dtype=self.pull.dtype)
            return drawn.to(self.pull.device)

        height, width = self.event_shape
        flat = draw(height * width)
        noise = flat - self.similarity.apply_transposed(flat)
        noise = noise + positive_root(spread(self.smoothness, 1)) * self.similarity.differences(
            draw
        )
        noise = noise.reshape(*noise.shape[:-1], height, width)
        own = positive_root(self.pull + spread(self.scale, 2))
        noise = noise + own * draw(height, width)
        for region in range(self.regions.shape[-3]):
            mask = self.regions[..., region, :, :]
            white = mask * draw(height, width)
            mean = white.sum((-2, -1)) / self._counts[..., region]
            tied = positive_root(spread(self.tie, 2)) * (white - mask * spread(mean, 2))
            noise = noise + tied
        return noise


def affinity_gcrf(
    *,
    embeddings: Float[Tensor, "..."],
    pinned: Bool[Tensor, "..."] | Float[Tensor, "..."],
    values: Float[Tensor, "..."],
    regions: Bool[Tensor, "..."] | Float[Tensor, "..."] | None = None,
    neighbours: Annotated[int, Ge(1)] | None = None,
    window: Annotated[int, Ge(1)] = 1,
    likeness: Likeness = "inner-product",
    itself: bool = True,
    weakest: Annotated[float, Ge(0), Lt(1)] = 0.0,
    smoothness: Annotated[float, Ge(0)] | Tensor = 0.0,
    strength: Annotated[float, Ge(0)] | Tensor = 5.0,
    tie: Annotated[float, Ge(0)] | Tensor = 5.0,
    diagonal: Annotated[float, Ge(0)] | Tensor = 0.0,
) -> GaussianCrf:
    """A field that follows `values` where pinned, and elsewhere the pixels that look alike.

    Args:
        embeddings: 𝒜, `[*batch, length, height, width]`.
        pinned: h, `[*batch, height, width]`: boolean, or how much each pixel is pinned.
        values: α, `[*batch, height, width]`; ignored, NaN included, where nothing is pinned.
        regions: pixels that must share a value, one mask per group `[*batch, groups, height,
            width]`; two strokes that belong together are one mask.
        neighbours: how many of the most similar pixels each pixel looks at, itself included where
            it is one of them; None for all pixels, which takes pixels² numbers. The choice is not
            differentiated, the softmax over what was chosen is.
        window: with `neighbours`, the side of the window around a pixel that it looks at, too; odd.
        likeness: what makes pixels alike: "inner-product" as in the paper, or "distance",
            -½‖f_i - f_j‖², for features made by hand.
        itself: whether a pixel is one of those that look like it, as in the paper.
        weakest: share of each row that is spread evenly over the pixels looked at; above 0, no
            pixel that stands out is cut off.
        smoothness: μ, draws each pixel to each of those that look alike; 0 in the paper.
        strength: β, how strongly pinned pixels follow their values.
        tie: γ, how strongly the pixels of a region share a value.
        diagonal: λ, draws every pixel to 0.

    Raises:
        NotPositiveDefinite: if nothing holds the level of a set of pixels.
        TypeError: if embeddings and values are not of one floating-point type.
    """
    check_choice("likeness", likeness, get_args(Likeness))
    _check_embeddings(embeddings, values)
    _check_share(weakest)
    _check_choice(neighbours, window, itself, values.shape[-2] * values.shape[-1])
    similarity: Similarity
    if neighbours is None:
        similarity = dense_similarity(embeddings, likeness=likeness, itself=itself, weakest=weakest)
    else:
        similarity = sparse_similarity(
            embeddings,
            neighbours=neighbours,
            window=window,
            likeness=likeness,
            itself=itself,
            weakest=weakest,
        )
    weight = pinned.to(values.dtype)
    numbers = {"smoothness": smoothness, "strength": strength, "tie": tie, "diagonal": diagonal}
    mu, beta, gamma, ridge = (_number(name, each, values) for name, each in numbers.items())
    height, width = values.shape[-2:]
    groups = values.new_zeros((0, height, width)) if regions is None else regions.to(values.dtype)
    targets = torch.where(weight > 0, values, torch.zeros_like(values))
    pull = spread(beta, 2) * weight
    _check_numbers(pinned=weight, values=targets, regions=groups)
    matrix = AffinityMatrix(
        similarity=similarity,
        pull=pull,
        regions=groups,
        smoothness=mu,
        tie=gamma,
        scale=ridge,
    )
    linear = pull * targets
    energy = GaussianCrf(
        matrix=matrix, linear=linear, constant=0.5 * (linear * targets).sum((-2, -1))
    )
    check_held(
        similarity,
        batch=matrix.batch_shape,
        pull=pull.flatten(-2),
        ties=((groups * spread(gamma, 3)).detach() > 0).flatten(-2),
        smooth=mu.detach() > 0,
        scale=ridge,
    )
    return energy


def _check_embeddings(embeddings: Tensor, values: Tensor) -> None:
    shape, size = tuple(embeddings.shape), tuple(values.shape[-2:])
    if len(shape) < 3 or len(size) < 2 or shape[-2:] != size:
        raise ValueError(
            "embeddings must be [*batch, length, height, width] with the height and width of "
            f"values, {size}, got the shape {shape}"
        )
    if not shape[-3]:
        raise ValueError(
            f"embeddings must have at least one number for each pixel, got the shape {shape}; "
            "without any, all pixels would look alike"
        )
    if embeddings.dtype != values.dtype or not values.is_floating_point():
        raise TypeError(
            "embeddings and values must have one floating-point type, got embeddings "
            f"{embeddings.dtype}, values {values.dtype}; convert them with `.to`"
        )
    # no product of two embeddings is larger than the larger of their squares
    if not bool(embeddings.detach().square().sum(-3).isfinite().all()):
        raise ValueError(
            "embeddings must be finite, their squared lengths, too: look for NaN, or scale them "
            "down"
        )


def _check_share(weakest: float) -> None:
    if not 0 <= weakest < 1:
        raise ValueError(f"weakest must be a share from 0 up to but not 1, got {weakest}")


_LARGEST = 16_384
"""Pixels up to which S is formed: 2 GiB of float64."""


def _check_choice(neighbours: int | None, window: int, itself: bool, pixels: int) -> None:
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window must be odd, so that it has a middle, got {window}")
    if neighbours is not None and neighbours < 1:
        raise ValueError(f"neighbours must be at least 1, or None for all pixels, got {neighbours}")
    if neighbours is None:
        if window > 1:
            raise ValueError(
                f"window must be 1 where each pixel looks at all others, got {window}; give "
                "`neighbours`, the number of similar pixels that it looks at"
            )
        if pixels > _LARGEST:
            raise ValueError(
                f"neighbours must be given for images of more than {_LARGEST} pixels, got "
                f"{pixels} pixels: S between all of them would have {pixels**2} entries; "
                "`neighbours = 16` looks at the 16 most similar pixels of each"
            )
    others = pixels if neighbours is None else max(min(neighbours, pixels), min(window, pixels))
    if not itself and others < 2:
        raise ValueError(
            f"each pixel must look at another one when `itself` is false, got neighbours = "
            f"{neighbours} and window = {window} for {pixels} pixels; raise `neighbours`"
        )


def _number(name: str, value: float | Tensor, like: Tensor) -> Tensor:
    number = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    bad = ~((number >= 0) & number.isfinite())
    if bool(bad.any()):
        raise ValueError(f"{name} must be finite and at least 0, got {float(number[bad][0])}")
    return number


def _check_numbers(*, pinned: Tensor, values: Tensor, regions: Tensor) -> None:
    bad = ~((pinned >= 0) & pinned.isfinite())
    if bool(bad.any()):
        raise ValueError(f"pinned must be finite and at least 0, got {float(pinned[bad][0])}")
    if not bool(values.isfinite().all()):
        raise ValueError("values must be finite wherever `pinned` is above 0, got NaN or infinity")
    if bool(((regions != 0) & (regions != 1)).any()):
        raise ValueError("regions must be masks of 0 and 1, one per group of pixels")
