"""Gaussian filters: what they do, which one is taken, and how they are normalised."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate_dense_crf.exact import ExactFilter
from groundstate_dense_crf.lattice import lattice_filter

How = Literal["auto", "exact", "lattice"]
Normalisation = Literal["symmetric", "none"]
EXACT_LIMIT = 48 * 48
"""The most pixels for which "auto" takes all pairs on a CPU."""


@runtime_checkable
class Filter(Protocol):
    """A symmetric matrix K over pixels with no diagonal, known by its products."""

    @property
    def pixels(self) -> int:
        """How many there are."""
        ...

    @property
    def how(self) -> Literal["exact", "lattice"]:
        """How the products are found."""
        ...

    @property
    def learned(self) -> bool:
        """Whether its features carry gradients, so that nothing made from them may be kept."""
        ...

    @property
    def own(self) -> Float[Tensor, "*batch pixels"]:
        """The diagonal that was left out: what the filter would give each pixel of itself."""
        ...

    def apply(self, values: Float[Tensor, "*lead pixels c"]) -> Float[Tensor, "*lead pixels c"]:
        """K times each channel; lead is `[*sample, *batch]`."""
        ...


@dataclass(frozen=True, kw_only=True)
class NormalisedFilter:
    """D^(-1/2) K D^(-1/2), where D holds the sums of the rows of K with its diagonal.

    So no pixel hears more because more pixels are like it. This is the default of the code of
    Krähenbühl, Koltun, but for the diagonal, which they keep.

    Attributes:
        inner: K.
    """

    inner: Filter

    @property
    def pixels(self) -> int:
        return self.inner.pixels

    @property
    def how(self) -> Literal["exact", "lattice"]:
        return self.inner.how

    @property
    def learned(self) -> bool:
        return self.inner.learned

    @property
    def own(self) -> Float[Tensor, "*batch pixels"]:
        return self.inner.own * self._roots.square()

    def apply(self, values: Float[Tensor, "*lead pixels c"]) -> Float[Tensor, "*lead pixels c"]:
        roots = self._roots.unsqueeze(-1).to(values.dtype)
        return roots * self.inner.apply(roots * values)

    @property
    def _roots(self) -> Float[Tensor, "*batch pixels"]:
        """D^(-1/2)."""
        return self._make_roots() if self.learned else self._plain_roots

    @cached_property
    def _plain_roots(self) -> Float[Tensor, "*batch pixels"]:
        return self._make_roots()

    def _make_roots(self) -> Float[Tensor, "*batch pixels"]:
        own = self.inner.own
        return (self.inner.apply(torch.ones_like(own).unsqueeze(-1)).squeeze(-1) + own).rsqrt()


def gaussian_filter(
    features: Float[Tensor, "*batch pixels d"],
    how: How = "auto",
    normalise: Normalisation = "symmetric",
) -> Filter:
    """The filter with the kernel exp(-‖f_i - f_j‖²/2) between different pixels.

    Args:
        features: f, `[*batch, pixels, d]`.
        how: "exact" takes all pairs; "lattice" approximates in time linear in pixels; "auto" is
            exact up to `EXACT_LIMIT` pixels and off the CPU.
        normalise: "symmetric" divides by the roots of the row sums; "none" does not.
    """
    if not bool(features.isfinite().all()):
        raise ValueError("features must be finite: look for NaN in the image, or a bandwidth of 0")
    if how == "auto":
        small = features.shape[-2] <= EXACT_LIMIT or features.device.type != "cpu"
        how = "exact" if small else "lattice"
    if how == "lattice" and not features.requires_grad:
        return lattice_filter(features, normalised=normalise == "symmetric")
    inner = ExactFilter(features=features) if how == "exact" else lattice_filter(features)
    return NormalisedFilter(inner=inner) if normalise == "symmetric" else inner


def check_inputs(unary: Shaped[Tensor, "..."], image: Shaped[Tensor, "..."]) -> None:
    """Raises `ValueError` unless these are costs and a photo of the same pixels."""
    if unary.dim() < 3 or unary.shape[:-1] != image.shape[:-1]:
        raise ValueError(
            "`unary` [*batch, height, width, labels] and `image` [*batch, height, width, channels] "
            f"must agree but for their last axes; got {tuple(unary.shape)} and "
            f"{tuple(image.shape)}"
        )
    if unary.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"`unary` must be float32 or float64, got {unary.dtype}; convert it")


def pixel_features(
    image: Float[Tensor, "*batch height width channels"],
    position: float | Float[Tensor, "..."],
    colour: float | Float[Tensor, "..."] | None = None,
) -> Float[Tensor, "*batch pixels d"]:
    """Column and row over `position`, and the colours over `colour` unless that is None.

    In this order, because a lattice is not the same in all directions, and others have it so.

    Args:
        image: the photo, of a floating-point type.
        position: standard deviation in pixels, one or one per problem.
        colour: standard deviation in units of the image, one or one per problem.
    """
    *batch, height, width, _ = image.shape
    rows = torch.arange(height, device=image.device, dtype=image.dtype)
    columns = torch.arange(width, device=image.device, dtype=image.dtype)
    down, right = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.stack([right, down], -1).flatten(0, 1)
    features = (grid / _per_problem(position, image)).expand(*batch, height * width, 2)
    if colour is None:
        return features
    colours = image.flatten(-3, -2) / _per_problem(colour, image)
    return torch.cat([features, colours], -1)


def _per_problem(width: float | Tensor, image: Tensor) -> Tensor:
    each = torch.as_tensor(width, dtype=image.dtype, device=image.device)
    if bool((each <= 0).any()):
        raise ValueError(f"bandwidths must be above 0, got {float(each.detach().min()):.6g}")
    return each[..., None, None]
