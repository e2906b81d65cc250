"""`dataset/stereo`: two photos from cameras side by side, and what they say about the disparity.

A point at column x of the left photo is at column x - d of the right one, d its disparity. The cost
of a disparity is the difference of the two pixels' colours, truncated because points may be hidden
in one of them (Scharstein, Szeliski: A Taxonomy and Evaluation of Dense Two-Frame Stereo
Correspondence Algorithms, 2002).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import numpy as np
import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int
from PIL import Image
from skimage import data
from torch import Tensor

from groundstate_vision.pictures import to_bytes


@dataclass(frozen=True, kw_only=True)
class StereoDataset:
    """The motorcycle of the Middlebury benchmark of 2014, as in scikit-image.

    Outputs: `image` and `right` [height, width, 3], sRGB in [0, 1]; `unary` [height, width,
    labels], costs in nats of the disparities 0, 1, ... of the left photo, in pixels; `truth`
    [height, width], the nearest whole disparity, or -1 where it is unknown or not among the labels.

    Attributes:
        size: Longest side in pixels; the photos have 741.
        labels: How many disparities.
        cost: Nats of a difference of 1/255 in the mean of the colour channels' absolute values.
        truncation: Largest difference that counts, in 1/255; also the cost of what lies outside.
        dtype: Of `image`, `right` and `unary`.
    """

    size: Annotated[int, Ge(8)] = 370
    labels: Annotated[int, Ge(2)] = 32
    cost: Annotated[float, Gt(0)] = 0.25
    truncation: Annotated[float, Gt(0)] = 20.0
    dtype: Literal["float32", "float64"] = "float32"

    def load(self) -> Mapping[str, object]:
        left, right, disparity = cast(tuple[np.ndarray, ...], data.stereo_motorcycle())
        scale = min(1.0, self.size / max(disparity.shape))
        dtype = torch.float32 if self.dtype == "float32" else torch.float64
        image, other = (_smaller(each, scale).to(dtype) for each in (left, right))
        return {
            "image": image,
            "right": other,
            "unary": self._costs(image, other),
            "truth": self._truth(disparity, scale, image),
        }

    def pictures(self, outputs: Mapping[str, object], x: Tensor | None) -> Mapping[str, Tensor]:
        if x is not None:
            return {"disparity": _heights(x, self.labels)}
        image, truth = cast(Tensor, outputs["image"]), cast(Tensor, outputs["truth"])
        return {"left photo": to_bytes(image), "truth": _heights(truth, self.labels)}

    def _costs(
        self, left: Float[Tensor, "height width 3"], right: Float[Tensor, "height width 3"]
    ) -> Float[Tensor, "height width labels"]:
        height, width, _ = left.shape
        apart = left.new_full((height, width, self.labels), self.truncation)
        for disparity in range(min(self.labels, width)):
            there = right[:, : width - disparity]
            difference = 255 * (left[:, disparity:] - there).abs().mean(-1)
            apart[:, disparity:, disparity] = difference.clamp(max=self.truncation)
        return self.cost * apart

    def _truth(
        self, disparity: np.ndarray, scale: float, image: Float[Tensor, "height width 3"]
    ) -> Int[Tensor, "height width"]:
        """The disparity under each pixel's centre, in pixels of the smaller photo."""
        known = torch.from_numpy(disparity.astype(np.float64))
        height, width, _ = image.shape
        rows = ((torch.arange(height) + 0.5) * known.shape[0] / height).long()
        columns = ((torch.arange(width) + 0.5) * known.shape[1] / width).long()
        near = (known[rows[:, None], columns] * scale).round()
        inside = near.isfinite() & (near < self.labels)
        return torch.where(inside, near, -1.0).long()


def _smaller(photo: np.ndarray, scale: float) -> Float[Tensor, "height width 3"]:
    picture = Image.fromarray(photo)
    size = [max(1, round(side * scale)) for side in picture.size]
    small = picture.resize((size[0], size[1]), Image.Resampling.LANCZOS)
    return torch.as_tensor(np.array(small, dtype=np.float32) / 255)


def _heights(disparity: Int[Tensor, "height width"], labels: int) -> Tensor:
    """Near is bright; unknown is black with a touch of blue."""
    grey = 0.1 + 0.9 * disparity.double().cpu() / max(labels - 1, 1)
    unknown = torch.tensor([0.0, 0.0, 0.3], dtype=torch.float64)
    return to_bytes(torch.where((disparity.cpu() < 0)[..., None], unknown, grey[..., None]))
