"""`Clips`: a source of labelled images or clips, each batch scaled, cut, mirrored and lit anew.

A batch is a function of the step alone, so that learning resumes exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from groundstate.learning import Batch
from groundstate_labelling.shapes import unflatten


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """Which images are drawn, from some step on.

    Attributes:
        first: that step.
        windows: indices of the frames of each clip; one column for single images.
    """

    first: int
    windows: Int[Tensor, "clips frames"]


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Random batches of images and labels.

    Attributes:
        images: all frames.
        labels: of all pixels.
        lessons: by first step, the first of them at 0.
        size: images in a batch; of clips as many as have this many frames, at least one.
        cut: height and width of what is cut out; smaller images stay whole.
        scales: smallest and largest factor of the size.
        light: how far brightness and contrast move, either way; colours move half as far.
        single: whether windows of one frame lose their dimension of frames.
        seed: of all draws.
    """

    images: UInt8[Tensor, "count 3 height width"]
    labels: UInt8[Tensor, "count height width"]
    lessons: Sequence[Lesson]
    size: int = 8
    cut: tuple[int, int] = (160, 208)
    scales: tuple[float, float] = (0.7, 1.5)
    light: float = 0.15
    single: bool = True
    seed: int = 0

    def __call__(self, step: int, /) -> Batch:
        rng = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        windows = [each for each in self.lessons if each.first <= step][-1].windows
        frames = windows.shape[1]
        rows = torch.randint(len(windows), (max(1, self.size // frames),), generator=rng)
        chosen = windows[rows].flatten()
        images, labels = self._scaled(self.images[chosen].float() / 255, self.labels[chosen], rng)
        images, labels = self._cut(images, labels, rng)
        images, labels = (unflatten(each, 0, (-1, frames)) for each in (images, labels))
        mirrored = torch.rand(len(rows), generator=rng) < 0.5
        images = torch.where(_spread(mirrored, 4), images.flip(-1), images)
        labels = torch.where(_spread(mirrored, 3), labels.flip(-1), labels).long()
        images = self._lit(images, rng)
        if self.single and frames == 1:
            images, labels = images.squeeze(1), labels.squeeze(1)
        return {"image": images, "labels": labels}

    def _scaled(
        self, images: Tensor, labels: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        low, high = self.scales
        factor = low + (high - low) * float(torch.rand((), generator=rng))
        size = tuple(round(side * factor) for side in labels.shape[-2:])
        images = interpolate(
            images, size=size, mode="bilinear", align_corners=False, antialias=factor < 1
        )
        near = interpolate(labels[:, None].float(), size=size, mode="nearest-exact")
        return images, near[:, 0].to(labels.dtype)

    def _cut(self, images: Tensor, labels: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        tall, wide = (min(a, b) for a, b in zip(self.cut, labels.shape[-2:], strict=True))
        top, left = (
            int(torch.randint(have - want + 1, (), generator=rng))
            for have, want in zip(labels.shape[-2:], (tall, wide), strict=True)
        )
        where = (..., slice(top, top + tall), slice(left, left + wide))
        return images[where], labels[where]

    def _lit(self, images: Tensor, rng: torch.Generator) -> Float[Tensor, "..."]:
        clips = len(images)
        draws = 2 * torch.rand(clips, 5, generator=rng) - 1
        contrast = _spread(1 + self.light * draws[:, 0], 4)
        shift = self.light * (draws[:, 1:2] + draws[:, 2:]) / 2
        return (images - 0.42) * contrast + 0.42 + shift.reshape(clips, 1, 3, 1, 1)


def _spread(values: Tensor, dimensions: int) -> Tensor:
    return values.reshape(-1, *(1,) * dimensions)
