"""Metrics of results against a reference: pixel accuracy and peak signal-to-noise ratio."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_vision.colour import lab_to_rgb


@dataclass(frozen=True, kw_only=True)
class PixelAccuracy:
    """The share of pixels with the right label, among those whose label is known.

    Attributes:
        truth: The right label of each pixel; below 0 where it is unknown. Where it is unknown
            everywhere, the accuracy is NaN.
    """

    truth: Int[Tensor, "height width"]

    @property
    def higher_is_better(self) -> bool:
        return True

    def __call__(self, x: Int[Tensor, "*batch height width"]) -> Float[Tensor, "*batch"]:
        truth = self.truth.to(x.device)
        known = truth >= 0
        right = ((x == truth) & known).sum(dim=(-2, -1))
        return right.double() / known.sum().double()


@dataclass(frozen=True, kw_only=True)
class DisparityAccuracy:
    """The share of pixels whose label is at most `tolerance` off, among those whose label is known.

    One minus the "bad pixels" of the Middlebury stereo benchmark.

    Attributes:
        truth: The right label of each pixel; below 0 where it is unknown. Where it is unknown
            everywhere, the accuracy is NaN.
        tolerance: In labels.
    """

    truth: Int[Tensor, "height width"]
    tolerance: Annotated[float, Ge(0)] = 1.0

    @property
    def higher_is_better(self) -> bool:
        return True

    def __call__(self, x: Int[Tensor, "*batch height width"]) -> Float[Tensor, "*batch"]:
        truth = self.truth.to(x.device)
        known = truth >= 0
        near = (((x - truth).abs() <= self.tolerance) & known).sum(dim=(-2, -1))
        return near.double() / known.sum().double()


@dataclass(frozen=True, kw_only=True)
class PSNR:
    """Peak signal-to-noise ratio of a coloured photo, in dB: -10 log10(mean squared error).

    The picture of `lightness` with the given a and b is compared with `reference` in sRGB, where
    the peak is 1; colours outside sRGB are clipped first. The mean runs over all pixels and the
    three channels, pixels whose colour was given as a hint included. Equal pictures give infinity.
    (Thesis section 2.7: PSNR against the number of revealed 7x7 patches.)

    Attributes:
        lightness: L of Lab, 0..100.
        reference: The original, sRGB in [0, 1].
    """

    lightness: Float[Tensor, "height width"]
    reference: Float[Tensor, "height width 3"]

    @property
    def higher_is_better(self) -> bool:
        return True

    def __call__(self, x: Float[Tensor, "*batch 2 height width"]) -> Float[Tensor, "*batch"]:
        picture = coloured(self.lightness.to(x), x)
        error = (picture - self.reference.to(x)).square().mean(dim=(-3, -2, -1))
        return -10 * torch.log10(error)


@dataclass(frozen=True, kw_only=True)
class PSNRGain:
    """How many dB a coloured photo is above nearest-seed fill in `PSNR`; below 0, it is worse.

    Attributes:
        lightness: L of Lab, 0..100.
        reference: The original, sRGB in [0, 1].
        nearest: a and b of the nearest pixel whose colour was given, for each problem.
    """

    lightness: Float[Tensor, "height width"]
    reference: Float[Tensor, "height width 3"]
    nearest: Float[Tensor, "*batch 2 height width"]

    @property
    def higher_is_better(self) -> bool:
        return True

    def __call__(self, x: Float[Tensor, "*batch 2 height width"]) -> Float[Tensor, "*batch"]:
        quality = PSNR(lightness=self.lightness, reference=self.reference)
        return quality(x) - quality(self.nearest.to(x))


def coloured(
    lightness: Float[Tensor, "height width"], x: Float[Tensor, "*batch 2 height width"]
) -> Float[Tensor, "*batch height width 3"]:
    """SRGB pictures of one lightness (0..100) with given a and b, all in Lab units."""
    a, b = x.unbind(dim=-3)
    return lab_to_rgb(torch.stack([lightness.expand_as(a), a, b], dim=-1))
