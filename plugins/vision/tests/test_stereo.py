"""The stereo pair: costs that point at the truth, and a truth in pixels of the loaded photo."""

from typing import cast

import torch
from torch import Tensor

from groundstate_vision.metrics import DisparityAccuracy
from groundstate_vision.stereo import StereoDataset


def test_true_disparities_match_the_colours_of_both_photos() -> None:
    outputs = StereoDataset(size=185, labels=16).load()
    image, right, truth = (cast(Tensor, outputs[name]) for name in ("image", "right", "truth"))
    assert image.shape == right.shape == (*truth.shape, 3)
    known = truth >= 0
    assert 0.8 < float(known.double().mean()) < 1
    # 7.19 to 59.9 pixels at full size
    assert int(truth[known].min()) == 2 and int(truth[known].max()) == 15
    columns = torch.arange(truth.shape[1]) - truth
    inside = known & (columns >= 0)
    rows = torch.arange(truth.shape[0])[:, None].expand_as(truth)
    matched = right[rows[inside], columns[inside]]
    apart = (image[inside] - matched).abs().mean()
    shuffled = (image[inside] - matched.roll(7919, 0)).abs().mean()
    assert float(apart) < 0.4 * float(shuffled)


def test_costs_are_truncated_differences() -> None:
    dataset = StereoDataset(size=64, labels=6, cost=0.5, truncation=10.0, dtype="float64")
    outputs = dataset.load()
    unary = cast(Tensor, outputs["unary"])
    left, right = cast(Tensor, outputs["image"]), cast(Tensor, outputs["right"])
    expected = 0.5 * min(255 * float((left[9, 30] - right[9, 26]).abs().mean()), 10.0)
    torch.testing.assert_close(float(unary[9, 30, 4]), expected)
    assert bool((unary[:, :5, 5] == 5.0).all()) and float(unary.max()) == 5.0


def test_the_cheapest_disparities_are_better_than_chance() -> None:
    outputs = StereoDataset(size=185, labels=16).load()
    truth, unary = cast(Tensor, outputs["truth"]), cast(Tensor, outputs["unary"])
    accuracy = DisparityAccuracy(truth=truth)
    assert float(accuracy(unary.argmin(-1))) > 0.35
    assert float(accuracy(truth)) == 1
