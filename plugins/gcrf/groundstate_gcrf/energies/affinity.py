"""`energy/affinity-gcrf`: every pixel is the mean of those that look alike, some are given.

E(y) = ½‖(I - S)y‖² + ½βΣ h_i (y_i - α_i)² + ½γΣ_g Σ_{i in g} (y_i - ȳ_g)² + ½λ‖y‖² with S the row
softmax of inner products of embeddings (Messaoud, Forsyth, Schwing: Structural Consistency and
Controllability for Diverse Colorization, 2018; structured models spec §2.3). The regions g, whose
pixels must share a value ȳ_g, and the pins h are given at run time.

S·1 = 1, so without pins and λ a constant costs nothing: the paper's claim that A is always positive
definite needs at least one pinned pixel in every set of pixels that S maps to itself. Softmax is
positive, so one pixel is enough, unless rounding makes similarities 0; both are looked at here.
"""

from dataclasses import dataclass
from typing import Annotated, Any, cast

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array
from torch import Tensor

from groundstate.energy import Views
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.low_rank import apply_rows
from groundstate_gcrf.energies.matrix import GaussianCrf, spread
from groundstate_gcrf.structure import common_shape

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class AffinityMatrix:
    """(I - S)ᵀ(I - S) + βH + γ Σ_g (M_g - m_g m_gᵀ / |g|) + λI over `[height, width]`.

    Attributes:
        residual: I - S over the flattened pixels.
        pull: βh of each pixel, at least 0.
        regions: m, 1 for the pixels of each region that share a value and 0 for others.
        tie: γ, broadcastable to the batch.
        scale: λ, broadcastable to the batch.
    """

    residual: Float[Tensor, "*affinity_batch pixels pixels"]
    pull: Float[Tensor, "*pull_batch height width"]
    regions: Float[Tensor, "*region_batch regions height width"]
    tie: Float[Tensor, "..."]
    scale: Float[Tensor, "..."]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(
            self.residual.shape[:-2],
            self.pull.shape[:-2],
            self.regions.shape[:-3],
            self.tie.shape,
            self.scale.shape,
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.pull.shape[-2:])

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        residual = apply_rows(self.residual, x.flatten(-2))
        smooth = apply_rows(self.residual.mT, residual)
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
        own = self.residual.square().sum(-2)
        own = own.reshape(*own.shape[:-1], *self.event_shape)
        inverse = spread(self._counts.reciprocal(), 2)
        tied = (self.regions * (1 - inverse)).sum(-3)
        return own + self.pull + spread(self.tie, 2) * tied + spread(self.scale, 2)

    def floor(self) -> Float[Tensor, "..."]:
        return self.scale + self.pull.amin((-2, -1))

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        return {}


def affinity_gcrf(
    *,
    embeddings: Float[Tensor, "..."],
    pinned: Bool[Tensor, "..."] | Float[Tensor, "..."],
    values: Float[Tensor, "..."],
    regions: Bool[Tensor, "..."] | Float[Tensor, "..."] | None = None,
    strength: Annotated[float, Ge(0)] | Tensor = 5.0,
    tie: Annotated[float, Ge(0)] | Tensor = 5.0,
    diagonal: Annotated[float, Ge(0)] | Tensor = 0.0,
) -> GaussianCrf:
    """A field that follows `values` where pinned, and elsewhere the pixels that look alike.

    Args:
        embeddings: 𝒜, `[*batch, length, height, width]`; pixels are alike as the softmax of inner
            products says.
        pinned: h, `[*batch, height, width]`: boolean, or how much each pixel is pinned.
        values: α, `[*batch, height, width]`; ignored, NaN included, where nothing is pinned.
        regions: pixels that must share a value, one mask per group `[*batch, groups, height,
            width]`; two strokes that belong together are one mask.
        strength: β, how strongly pinned pixels follow their values.
        tie: γ, how strongly the pixels of a region share a value.
        diagonal: λ, draws every pixel to 0.

    Raises:
        NotPositiveDefinite: if nothing holds the level of a set of pixels.
    """
    height, width = _size(embeddings, values)
    logits = embeddings.flatten(-2)
    similarity = torch.softmax(logits.mT @ logits, dim=-1)
    eye = torch.eye(height * width, dtype=values.dtype, device=values.device)
    weight = pinned.to(values.dtype)
    numbers = {"strength": strength, "tie": tie, "diagonal": diagonal}
    beta, gamma, ridge = (_number(name, each, values) for name, each in numbers.items())
    groups = values.new_zeros((0, height, width)) if regions is None else regions.to(values.dtype)
    targets = torch.where(weight > 0, values, torch.zeros_like(values))
    pull = spread(beta, 2) * weight
    _check_numbers(pinned=weight, values=targets, regions=groups)
    matrix = AffinityMatrix(
        residual=eye - similarity, pull=pull, regions=groups, tie=gamma, scale=ridge
    )
    linear = pull * targets
    energy = GaussianCrf(
        matrix=matrix, linear=linear, constant=0.5 * (linear * targets).sum((-2, -1))
    )
    _check_held(matrix, similarity.detach())
    return energy


def _size(embeddings: Tensor, values: Tensor) -> tuple[int, int]:
    if embeddings.dim() < 3 or tuple(embeddings.shape[-2:]) != tuple(values.shape[-2:]):
        raise ValueError(
            "embeddings must be [*batch, length, height, width] with the height and width of "
            f"values, {tuple(values.shape[-2:])}, got the shape {tuple(embeddings.shape)}"
        )
    return values.shape[-2], values.shape[-1]


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


def _check_held(matrix: AffinityMatrix, similarity: Float[Tensor, "..."]) -> None:
    """Refuse a problem in which the level of some pixels is free."""
    batch = matrix.batch_shape
    scale = matrix.scale.detach().expand(batch)
    pulled = (matrix.pull.detach() > 0).expand(*batch, *matrix.event_shape).flatten(-2)
    loose = (scale <= 0) & ~pulled.any(-1)
    if not bool(loose.any()) and bool((similarity <= 0).any()):
        loose = (scale <= 0) & ~_all_classes_held(matrix, similarity, pulled)
    if bool(loose.any()):
        where = tuple(int(index) for index in loose.nonzero()[0])
        raise NotPositiveDefinite(
            f"the energy must have one minimum, but{f' in problem {where}' if where else ''} "
            "nothing holds the level of some pixels: pin one of them (with `strength` above 0), "
            "tie them to pinned ones, or set `diagonal` above 0. Pixels fall apart where "
            "embeddings are so large that similarities round to 0"
        )


def _all_classes_held(
    matrix: AffinityMatrix, similarity: Tensor, pulled: Bool[Tensor, "*batch pixels"]
) -> Bool[Tensor, "*batch"]:
    batch, pixels = matrix.batch_shape, pulled.shape[-1]
    ties = (matrix.regions * spread(matrix.tie, 3)).detach() > 0
    edges = (similarity > 0).expand(*batch, pixels, pixels).reshape(-1, pixels, pixels)
    groups = ties.flatten(-2).expand(*batch, *ties.shape[-3:-2], pixels)
    groups = groups.reshape(len(edges), -1, pixels)
    held = [
        _is_held(edge.cpu().numpy(), pin.cpu().numpy(), group.cpu().numpy())
        for edge, pin, group in zip(edges, pulled.reshape(-1, pixels), groups, strict=True)
    ]
    return torch.tensor(held, device=pulled.device).reshape(batch)


def _is_held(edges: Array, pinned: Array, groups: Array) -> bool:
    """Whether y = Sy, pins at 0 and equal values in each group leave only y = 0.

    On each closed class of S (no similarity leads out of it) y is constant, by Perron and
    Frobenius, and elsewhere it is a mean of these constants.
    """
    count, part = cast(
        tuple[int, Array],
        csgraph.connected_components(csr_array(edges), directed=True, connection="strong"),
    )
    closed = np.ones(count, dtype=bool)
    row, column = np.nonzero(edges)
    closed[part[row[part[row] != part[column]]]] = False
    zero = np.asarray(pinned, dtype=bool).copy()
    for _ in range(count + 1):
        zero |= np.isin(part, np.unique(part[zero & closed[part]])) & closed[part]
        for group in groups:
            if zero[group].any():
                zero |= group
    return bool(zero[closed[part]].all())
