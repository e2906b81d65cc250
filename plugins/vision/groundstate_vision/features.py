"""Features by hand of a grey photo: how light a pixel is, where it is, and the texture around it.

Source: structured models spec §8, row R2: an affinity from intensity, position and texture.
"""

import math

import torch
from jaxtyping import Float
from scipy.ndimage import gaussian_filter  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

_SCALES = (1 / 256, 3 / 256)
"""Standard deviations of the neighbourhoods whose texture is told, as a share of the photo."""


def hand_features(
    lightness: Float[Tensor, "height width"],
    *,
    intensity: float = 100.0,
    position: float = 50.0,
    texture: float = 65.0,
) -> Float[Tensor, "length height width"]:
    """Features whose distance says how alike pixels are; a distance of 1 is little.

    Texture is the local mean and the local standard deviation of the lightness, at two scales.

    Args:
        lightness: in [0, 1].
        intensity: what black and white are apart.
        position: what the two ends of the photo's longest side are apart.
        texture: what black and white neighbourhoods are apart, or even and checkered ones.
    """
    height, width = lightness.shape
    longest = max(height, width)
    grey = lightness.detach().double().cpu()
    rows, columns = torch.meshgrid(
        torch.arange(height).double(), torch.arange(width).double(), indexing="ij"
    )
    features = [intensity * grey, position * rows / longest, position * columns / longest]
    for scale in _SCALES:
        mean = _blurred(grey, scale * longest)
        variance = _blurred(grey.square(), scale * longest) - mean.square()
        # a standard deviation of 1/2 is that of black and white in turn
        features += [texture * mean, texture * variance.clamp(min=0).sqrt()]
    return torch.stack(features).to(lightness)


def _blurred(grey: Float[Tensor, "height width"], sigma: float) -> Float[Tensor, "height width"]:
    return torch.from_numpy(gaussian_filter(grey.numpy(), max(sigma, math.sqrt(0.1))))
