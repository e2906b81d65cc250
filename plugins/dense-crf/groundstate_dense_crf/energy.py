"""`energy/dense-crf`: every pixel coupled with every other by Gaussian kernels of their features.

Krähenbühl, Koltun: Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials
(2011), equations 1-3; Gaussian CRF spec §14.1:

    E(y) = Σ_i u_i(y_i) + Σ_{i<j} μ(y_i, y_j) (w₁ K¹_ij + w₂ K²_ij)
    K¹_ij = exp(-‖s_i - s_j‖² / (2 θ_α²) - ‖p_i - p_j‖² / (2 θ_β²))        (appearance)
    K²_ij = exp(-‖s_i - s_j‖² / (2 θ_γ²))                                  (smoothness)

with positions s and colours p.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Views
from groundstate.factors import FactorGraph
from groundstate.space import Discrete
from groundstate_dense_crf.filters import (
    Filter,
    How,
    Normalisation,
    check_inputs,
    gaussian_filter,
    pixel_features,
)
from groundstate_dense_crf.kernels import DenseKernels
from groundstate_dense_crf.pairs import few_pairs, pair_graph


@dataclass(frozen=True, kw_only=True)
class DenseCrf:
    """Label costs per pixel, and a price for the labels of every two pixels; see `dense_crf`.

    Attributes:
        unary: u, in nats.
        compatibility: μ, symmetric.
        filters: the kernels between different pixels.
        weights: w, in nats; one for each filter, for all problems or for each.
    """

    unary: Float[Tensor, "*batch height width labels"]
    compatibility: Float[Tensor, "labels labels"]
    filters: tuple[Filter, ...]
    weights: Float[Tensor, "*weights filters"]

    def __post_init__(self) -> None:
        if not bool(self.unary.isfinite().all()):
            raise ValueError("`unary` must be finite; to forbid a label, give it a large cost")
        for name, each in (("compatibility", self.compatibility), ("weights", self.weights)):
            if not bool(each.isfinite().all()):
                raise ValueError(f"`{name}` must be finite; look for NaN or a division by 0")
        problems = tuple(self.unary.shape[:-3])
        if not _spreads(tuple(self.weights.shape[:-1]), problems):
            raise ValueError(
                f"weights must be one number, or one for each problem {problems}, got the shape "
                f"{tuple(self.weights.shape[:-1])}"
            )
        # a sum of products of transposed factors may differ in the last place
        if not bool(torch.isclose(self.compatibility, self.compatibility.mT).all()):
            raise ValueError(
                "`compatibility` must be symmetric: a pair has one price, whichever pixel comes "
                "first; take 0.5 * (c + c.mT)"
            )

    @property
    def space(self) -> Discrete:
        return self._space

    @cached_property
    def _space(self) -> Discrete:
        *batch, height, width, labels = self.unary.shape
        counts = torch.full((height, width), labels, device=self.unary.device)
        return Discrete(counts=counts, batch_shape=tuple(batch))

    @property
    def views(self) -> Views:
        given: Views = {DenseKernels: lambda: self.kernels}
        return {**given, FactorGraph: lambda: self.graph} if few_pairs(self.kernels) else given

    @property
    def kernels(self) -> DenseKernels:
        """What couples the pixels, flat and row by row."""
        return DenseKernels(
            unary=self.unary.flatten(-3, -2),
            compatibility=self.compatibility,
            filters=self.filters,
            weights=self.weights,
        )

    @property
    def graph(self) -> FactorGraph:
        """All pairs as factors."""
        parts = (self.unary, self.compatibility, self.weights)
        learned = any(each.requires_grad for each in parts)
        learned = learned or any(each.learned for each in self.filters)
        # what may be learned may change under us, so nothing made from it is kept
        return pair_graph(self.kernels) if learned else self._plain_graph

    @cached_property
    def _plain_graph(self) -> FactorGraph:
        return pair_graph(self.kernels)

    def __call__(self, x: Int[Tensor, "*shape height width"], /) -> Float[Tensor, "*shape"]:
        self.space.validate(x)
        return self.kernels.energy(x.flatten(-2))


def dense_crf(
    *,
    unary: Float[Tensor, "..."],
    image: Shaped[Tensor, "..."],
    compatibility: Float[Tensor, "..."] | None = None,
    appearance_weight: float | Tensor = 10.0,
    appearance_position: Annotated[float, Gt(0)] | Tensor = 80.0,
    appearance_colour: Annotated[float, Gt(0)] | Tensor = 0.05,
    smoothness_weight: float | Tensor = 3.0,
    smoothness_position: Annotated[float, Gt(0)] | Tensor = 3.0,
    normalise: Normalisation = "symmetric",
    filter: How = "auto",
) -> DenseCrf:
    """Label costs per pixel, and two Gaussian kernels between all pairs of pixels.

    Weights and bandwidths may be tensors, one number for all problems or one for each, and carry
    gradients then, as do `unary`, `image` and `compatibility`.

    Args:
        unary: cost of each label of each pixel, in nats, `[*batch, height, width, labels]`.
        image: the photo, `[*batch, height, width, channels]`, in any unit.
        compatibility: μ, what labels cost together, `[labels, labels]` and symmetric; None is 1 for
            unequal and 0 for equal ones.
        appearance_weight: w₁, in nats.
        appearance_position: θ_α, in pixels.
        appearance_colour: θ_β, in units of `image`: 0.05 suits colours from 0 to 1.
        smoothness_weight: w₂, in nats.
        smoothness_position: θ_γ, in pixels.
        normalise: "symmetric" divides each kernel by the roots of its row sums, so that weights
            mean the same whatever the size of image and bandwidths; "none" takes it as printed.
        filter: "exact" takes all pairs of pixels; "lattice" is linear in pixels and approximate;
            "auto" chooses by size.
    """
    check_inputs(unary, image)
    labels = unary.shape[-1]
    if compatibility is None:
        compatibility = 1 - torch.eye(labels, dtype=unary.dtype, device=unary.device)
    if labels < 1 or tuple(compatibility.shape) != (labels, labels):
        raise ValueError(
            f"`compatibility` must be [labels, labels] = {(labels, labels)} with at least one "
            f"label, got {tuple(compatibility.shape)}"
        )
    photo = image if image.is_floating_point() else image.to(unary.dtype)
    appearance = pixel_features(photo, appearance_position, appearance_colour)
    smoothness = pixel_features(photo, smoothness_position)
    weights = [
        torch.as_tensor(weight, dtype=unary.dtype, device=unary.device)
        for weight in (appearance_weight, smoothness_weight)
    ]
    return DenseCrf(
        unary=unary,
        compatibility=compatibility.to(unary.dtype),
        filters=tuple(
            gaussian_filter(features.to(unary.dtype), filter, normalise)
            for features in (appearance, smoothness)
        ),
        weights=torch.stack([weights[0] + 0 * weights[1], weights[1] + 0 * weights[0]], -1),
    )


def _spreads(shape: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    """Whether something of this shape can be spread over the batch."""
    ends = zip(reversed(shape), reversed(batch), strict=False)
    return len(shape) <= len(batch) and all(mine in (1, size) for mine, size in ends)
