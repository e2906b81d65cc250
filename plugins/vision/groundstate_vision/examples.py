"""Small instances of every component, for the laws of the test kit."""

import torch

from groundstate.examples import MetricExample
from groundstate_vision.colorization import ColorizationDataset
from groundstate_vision.metrics import PSNR, DisparityAccuracy, PixelAccuracy, PSNRGain
from groundstate_vision.photo import PhotoDataset
from groundstate_vision.stereo import StereoDataset


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


def stereos() -> list[StereoDataset]:
    """Tiny ones."""
    return [
        StereoDataset(size=32, labels=4),
        StereoDataset(size=24, labels=3, dtype="float64"),
    ]


def disparity_accuracies() -> list[MetricExample]:
    """Of five known pixels two are right, one is 1 off and two are further off."""
    truth = torch.tensor([[0, 4, 2], [-1, 6, 1]])
    x = torch.tensor([[0, 5, 4], [2, 6, 3]])
    return [
        MetricExample(
            metric=DisparityAccuracy(truth=truth, tolerance=tolerance),
            x=x,
            expected=torch.tensor(share, dtype=torch.float64),
        )
        for tolerance, share in ((1.0, 0.6), (0.0, 0.4), (2.0, 1.0))
    ]


def pixel_accuracies() -> list[MetricExample]:
    """Four of five known pixels right; a batch of all right and none."""
    return [
        MetricExample(
            metric=PixelAccuracy(truth=torch.tensor([[0, 1, 2], [-1, 1, 0]])),
            x=torch.tensor([[0, 1, 2], [2, 1, 1]]),
            expected=torch.tensor(0.8, dtype=torch.float64),
        ),
        MetricExample(
            metric=PixelAccuracy(truth=torch.zeros(3, 2, dtype=torch.int64)),
            x=torch.stack([torch.zeros(3, 2), torch.ones(3, 2)]).long(),
            expected=torch.tensor([1.0, 0.0], dtype=torch.float64),
        ),
    ]


def psnrs() -> list[MetricExample]:
    """Black against a grey of 0.1: the mean squared error is 0.01, so 20 dB."""
    return [
        MetricExample(
            metric=PSNR(
                lightness=torch.zeros(2, 3, dtype=torch.float64),
                reference=torch.full((2, 3, 3), 0.1, dtype=torch.float64),
            ),
            x=torch.zeros(2, 2, 3, dtype=torch.float64),
            expected=torch.tensor(20.0, dtype=torch.float64),
        )
    ]


def psnr_gains() -> list[MetricExample]:
    """The fill itself gains nothing."""
    fill = torch.full((2, 2, 3), 20.0, dtype=torch.float64)
    return [
        MetricExample(
            metric=PSNRGain(
                lightness=torch.full((2, 3), 50.0, dtype=torch.float64),
                reference=torch.full((2, 3, 3), 0.1, dtype=torch.float64),
                nearest=fill,
            ),
            x=fill.clone(),
            expected=torch.tensor(0.0, dtype=torch.float64),
        )
    ]
