"""Small instances of every component, for the laws of the test kit."""

import torch

from groundstate_vision.colorization import ColorizationDataset
from groundstate_vision.metrics import PSNR, PixelAccuracy
from groundstate_vision.photo import PhotoDataset


def photos() -> list[PhotoDataset]:
    """Both shipped photos, small."""
    return [
        PhotoDataset(image="coffee", size=32, components=1),
        PhotoDataset(image="chelsea", size=24, components=2, dtype="float64"),
    ]


def colorizations() -> list[ColorizationDataset]:
    """With and without shipped strokes."""
    return [
        ColorizationDataset(image="coffee", size=32, patches=(2, 5), patch_size=3),
        ColorizationDataset(image="rocket", size=24, patches=(1,), dtype="float64"),
    ]


def pixel_accuracies() -> list[PixelAccuracy]:
    """A truth with unknown pixels, and one without."""
    return [
        PixelAccuracy(truth=torch.tensor([[0, 1, 2], [-1, 1, 0]])),
        PixelAccuracy(truth=torch.zeros(3, 2, dtype=torch.int64)),
    ]


def psnrs() -> list[PSNR]:
    """A small random picture."""
    rng = torch.Generator().manual_seed(0)
    return [
        PSNR(
            lightness=100 * torch.rand(3, 4, generator=rng, dtype=torch.float64),
            reference=torch.rand(3, 4, 3, generator=rng, dtype=torch.float64),
        )
    ]
