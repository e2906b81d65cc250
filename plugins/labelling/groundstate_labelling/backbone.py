"""A small convolutional network whose features are dense at a quarter of the image's resolution.

Between a U-Net (Ronneberger, Fischer, Brox, 2015) and the dilated networks of DeepLab (Chen et al.,
2016): two halvings, a third with dilated residual blocks where the view is widest, and one step
back up with a skip. It is sized for a processor: 0.36 G multiply-adds for an image of 240 × 180.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


def normalised(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """A 3 × 3 convolution, batch normalisation and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two convolutions of which the second is added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = normalised(channels, channels, dilation=dilation)
        self.second = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return torch.relu(x + self.second(self.first(x)))


class Backbone(nn.Module):
    """From an image to features at stride 4.

    Attributes:
        channels: of the features.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        channels: int = 48,
        dilations: Sequence[int] = (1, 2, 4, 8),
    ) -> None:
        super().__init__()
        self.channels = channels
        self.stem = normalised(3, width // 2, stride=2)
        self.quarter = nn.Sequential(
            normalised(width // 2, width, stride=2), normalised(width, width)
        )
        self.eighth = nn.Sequential(
            normalised(width, 2 * width, stride=2),
            *(Residual(2 * width, dilation) for dilation in dilations),
        )
        # what a whole image shows says much about what each pixel may be
        self.scene = nn.Conv2d(2 * width, 2 * width, 1)
        self.up = nn.Conv2d(2 * width, channels, 1)
        self.join = normalised(channels + width, channels)

    def forward(
        self, image: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch channels quarter_height quarter_width"]:
        quarter = self.quarter(self.stem(image))
        eighth = self.eighth(quarter)
        eighth = eighth + self.scene(eighth.mean((-2, -1), keepdim=True))
        wide = nn.functional.interpolate(
            self.up(eighth), size=quarter.shape[-2:], mode="bilinear", align_corners=False
        )
        return self.join(torch.cat([wide, quarter], dim=1))
