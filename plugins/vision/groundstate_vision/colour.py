"""Colour spaces: sRGB and CIE Lab (D65, 2 degrees), as torch functions.

Source: IEC 61966-2-1 (sRGB) and CIE 15 (Lab); the constants are those of scikit-image's `rgb2lab`.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_RGB_FROM_XYZ = np.linalg.inv(np.array(_XYZ_FROM_RGB))
_WHITE = (0.95047, 1.0, 1.08883)


def rgb_to_lab(rgb: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Lab of sRGB in [0, 1]: lightness in 0..100, a and b in about -110..110."""
    linear = torch.where(
        rgb > 0.04045, ((rgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92
    )
    relative = linear @ rgb.new_tensor(_XYZ_FROM_RGB).T / rgb.new_tensor(_WHITE)
    x, y, z = torch.where(
        relative > 0.008856, relative.clamp(min=0.008856) ** (1 / 3), 7.787 * relative + 16 / 116
    ).unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)


def lab_to_rgb(lab: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """SRGB in [0, 1] of Lab; colours that sRGB does not have are clipped channel by channel."""
    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, (y - b / 200).clamp(min=0)], dim=-1)
    relative = torch.where(root > 0.2068966, root**3, (root - 16 / 116) / 7.787)
    linear = relative * lab.new_tensor(_WHITE) @ lab.new_tensor(_RGB_FROM_XYZ).T
    curved = 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curved, 12.92 * linear).clamp(0, 1)
