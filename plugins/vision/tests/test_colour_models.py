import math

import torch

from groundstate_vision.colour_models import colour_costs


def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Red over green over blue, noisy; one stroke in each."""
    truth = torch.arange(3).repeat_interleave(6)[:, None].expand(18, 20)
    noise = 0.05 * torch.randn(18, 20, 3, generator=torch.Generator().manual_seed(0))
    image = (0.8 * torch.eye(3)[truth] + 0.1 + noise).clamp(0, 1)
    strokes = torch.full((18, 20), -1)
    for label in range(3):
        strokes[6 * label + 3, 4:16] = label
    return image, strokes, truth


def test_pixels_prefer_the_label_of_their_colour():
    image, strokes, truth = scene()
    for position in (0.0, 30.0):
        costs = colour_costs(image, strokes, labels=3, position=position)
        assert (costs.argmin(-1) == truth).double().mean() > 0.98


def test_position_tells_equal_colours_apart():
    strokes = torch.full((10, 40), -1)
    strokes[2:8, 2:8], strokes[2:8, 32:38] = 0, 1
    image = torch.full((10, 40, 3), 0.5)
    costs = colour_costs(image, strokes, labels=2, position=30.0)
    assert bool((costs[:, :15].argmin(-1) == 0).all() and (costs[:, 25:].argmin(-1) == 1).all())
    blind = colour_costs(image, strokes, labels=2, position=0.0)[0]
    torch.testing.assert_close(blind, torch.full_like(blind, math.log(2)))


def test_costs_are_bounded_and_hard_on_strokes():
    image, strokes, _ = scene()
    image[0, 0] = torch.tensor([1.0, 1.0, 1.0])
    costs = colour_costs(image, strokes, labels=3, outliers=0.01, stroke_cost=50.0)
    free = costs[strokes < 0]
    assert bool((free >= 0).all()) and free.max() <= math.log(300) + 1e-4
    assert costs[strokes == 1].unique(dim=0).tolist() == [[50.0, 0.0, 50.0]]


def test_a_single_stroke_pixel_is_enough():
    image, strokes, truth = scene()
    strokes[:] = -1
    for label in range(3):
        strokes[6 * label + 3, 10] = label
    costs = colour_costs(image, strokes, labels=3)
    assert bool(costs.isfinite().all())
    assert (costs.argmin(-1) == truth).double().mean() > 0.9


def test_same_seed_same_costs():
    image, strokes, _ = scene()
    first = colour_costs(image, strokes, labels=3, seed=3)
    assert torch.equal(first, colour_costs(image, strokes, labels=3, seed=3))
