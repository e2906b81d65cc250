import math

import torch

from groundstate_vision.colour import lab_to_rgb, rgb_to_lab
from groundstate_vision.metrics import PSNR, PixelAccuracy, coloured


def random_image(height: int = 6, width: int = 5) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(height, width, 3, generator=rng, dtype=torch.float64)


def test_lab_agrees_with_scikit_image():
    from skimage.color import lab2rgb, rgb2lab  # pyright: ignore[reportUnknownVariableType]

    image = torch.cat([random_image(), 0.02 * random_image()])
    lab = rgb_to_lab(image)
    torch.testing.assert_close(lab, torch.as_tensor(rgb2lab(image.numpy())), atol=1e-9, rtol=0)
    back = torch.as_tensor(lab2rgb(lab.numpy()))
    torch.testing.assert_close(lab_to_rgb(lab), back, atol=1e-9, rtol=0)
    torch.testing.assert_close(back, image, atol=1e-4, rtol=0)


def test_colours_outside_srgb_are_clipped():
    rgb = lab_to_rgb(torch.tensor([[50.0, 200.0, -200.0], [100.0, 0.0, 0.0], [5.0, 0.0, 90.0]]))
    assert bool(((rgb >= 0) & (rgb <= 1)).all())


def test_lab_to_rgb_has_a_finite_gradient():
    lab = torch.tensor([[0.0, 0.0, 0.0], [50.0, 200.0, -200.0], [60.0, 5.0, 5.0]])
    lab.requires_grad_()
    lab_to_rgb(lab).sum().backward()
    assert lab.grad is not None and bool(lab.grad.isfinite().all())


def test_accuracy_counts_known_pixels_only():
    metric = PixelAccuracy(truth=torch.tensor([[0, 1], [-1, 2]]))
    x = torch.tensor([[[0, 1], [5, 0]], [[0, 1], [0, 2]]])
    torch.testing.assert_close(metric(x), torch.tensor([2 / 3, 1.0], dtype=torch.float64))
    assert metric.higher_is_better


def test_accuracy_without_any_truth_is_nan():
    metric = PixelAccuracy(truth=torch.full((2, 2), -1))
    assert math.isnan(metric(torch.zeros(2, 2, dtype=torch.int64)))


def test_psnr_of_a_known_error():
    lightness = torch.full((4, 3), 60.0, dtype=torch.float64)
    x = torch.zeros(2, 4, 3, dtype=torch.float64)
    picture = coloured(lightness, x)
    psnr = PSNR(lightness=lightness, reference=picture + 0.1)
    torch.testing.assert_close(psnr(x), torch.tensor(20.0, dtype=torch.float64))
    half = picture.clone()
    half[:2] += 0.1  # half the pixels wrong: 10 log10(2) dB better
    better = PSNR(lightness=lightness, reference=half)(x)
    torch.testing.assert_close(better, 20 + 10 * torch.log10(torch.tensor(2.0).double()))


def test_psnr_takes_batches_and_is_infinite_for_equal_pictures():
    lab = rgb_to_lab(random_image())
    ab = lab[..., 1:].permute(2, 0, 1)
    picture = coloured(lab[..., 0], ab)
    metric = PSNR(lightness=lab[..., 0], reference=picture)
    values = metric(torch.stack([ab, 0 * ab, ab]))
    assert values.shape == (3,)
    assert values[0] > 300 and values[2] > 300  # rounding may differ between batch shapes
    assert values[1] < 40
    assert metric(ab) == math.inf
    assert metric.higher_is_better
