"""Filters against the kernel of every pair, and against each other on a photo."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groundstate_dense_crf import lattice_kernel
from groundstate_dense_crf.exact import ExactFilter
from groundstate_dense_crf.filters import How, Normalisation, gaussian_filter, pixel_features
from groundstate_dense_crf.lattice import build_lattice

from .cases import double_loop, photo, random_costs


def matrix(features: Tensor, how: How, normalise: Normalisation = "none") -> Tensor:
    eye = torch.eye(features.shape[-2], dtype=features.dtype)
    return gaussian_filter(features, how, normalise).apply(eye)


@pytest.mark.parametrize("normalise", ["none", "symmetric"])
def test_exact_filter_is_the_double_loop(normalise: Normalisation) -> None:
    features = pixel_features(photo(5), 2.0, 0.3)
    expected = double_loop(features, normalise == "symmetric")
    torch.testing.assert_close(matrix(features, "exact", normalise), expected, rtol=0, atol=1e-14)


def test_rows_made_in_chunks_are_the_whole() -> None:
    features = pixel_features(photo(6), 2.0, 0.3).requires_grad_()
    values = random_costs(36, 2, seed=0).requires_grad_()
    slopes: list[tuple[Tensor, ...]] = []
    results: list[Tensor] = []
    for kept in (1 << 20, 0):
        result = ExactFilter(features=features, kept=kept).apply(values)
        slopes.append(torch.autograd.grad((result**2).sum(), (features, values)))
        results.append(result.detach())
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_lattice_is_symmetric_without_diagonal(d: int) -> None:
    """Sparse enough for vertices to be missing, where the order of blurs matters."""
    features = 1.5 * random_costs(50, d, seed=d)
    kernel = matrix(features, "lattice")
    torch.testing.assert_close(kernel, kernel.mT, rtol=0, atol=1e-14)
    torch.testing.assert_close(kernel.diagonal(), torch.zeros(50).double(), rtol=0, atol=1e-13)
    assert bool((kernel >= -1e-15).all())


def test_lattice_knows_what_it_takes_away() -> None:
    lattice = build_lattice(1.5 * random_costs(40, 5, seed=1))
    eye, nothing = np.eye(40), np.zeros(40)
    whole = lattice_kernel.filter_values(
        eye, lattice.corners, lattice.weights, lattice.neighbours, nothing
    )
    np.testing.assert_allclose(np.diag(whole), lattice.own, atol=1e-13)


def test_normalised_lattice_has_unit_rows_in_the_sense_of_the_roots() -> None:
    """D^(-1/2)(K + own)D^(-1/2) has the eigenvector D^(1/2) with eigenvalue 1."""
    features = pixel_features(photo(8), 2.0, 0.3)
    plain, scaled = (gaussian_filter(features, "lattice", each) for each in ("none", "symmetric"))
    ones = torch.ones(64, 1, dtype=torch.float64)
    roots = (plain.apply(ones) + plain.own.unsqueeze(-1)).sqrt()
    torch.testing.assert_close(scaled.apply(roots) + scaled.own.unsqueeze(-1) * roots, roots)


@pytest.mark.parametrize(
    ("position", "colour", "normalise", "most"),
    [
        (3.0, None, "none", 0.03),
        (3.0, None, "symmetric", 0.03),
        (20.0, 0.1, "none", 0.25),
        (20.0, 0.1, "symmetric", 0.06),
    ],
)
def test_lattice_is_near_the_exact_filter_on_a_photo(
    position: float, colour: float | None, normalise: Normalisation, most: float
) -> None:
    """Relative error, over all pixels, of blurred indicators of bright and dark."""
    image = photo(48)
    features = pixel_features(image, position, colour)
    bright = image.mean(-1).flatten() > 0.5
    values = torch.stack([bright, ~bright], -1).double()
    exact, near = (
        gaussian_filter(features, how, normalise).apply(values) for how in ("exact", "lattice")
    )
    assert float((near - exact).square().sum()) < most**2 * float(exact.square().sum())


def test_colour_does_not_matter_in_an_image_of_one_colour() -> None:
    flat = torch.full((6, 7, 3), 0.4, dtype=torch.float64)
    both = matrix(pixel_features(flat, 2.0, 0.1), "exact")
    alone = matrix(pixel_features(flat, 2.0), "exact")
    torch.testing.assert_close(both, alone)
    lattice = matrix(pixel_features(flat, 2.0, 0.1), "lattice")
    assert bool(lattice.isfinite().all()) and bool((lattice.sum(1) > 0).all())


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(2, 30), st.integers(0, 99), st.sampled_from([0.1, 1.0, 30.0]))
def test_order_of_pixels_does_not_matter(d: int, pixels: int, seed: int, spread: float) -> None:
    features = spread * random_costs(pixels, d, seed=seed)
    values = random_costs(pixels, 2, seed=seed + 1)
    order = torch.randperm(pixels, generator=torch.Generator().manual_seed(seed))
    for how in ("exact", "lattice"):
        there = gaussian_filter(features[order], how).apply(values[order])
        torch.testing.assert_close(there, gaussian_filter(features, how).apply(values)[order])


@pytest.mark.parametrize("how", ["exact", "lattice"])
def test_batch_and_samples_are_a_loop(how: How) -> None:
    images = torch.stack([photo(5), photo(6)[:5, :5]])
    values = random_costs(3, 2, 25, 4, seed=2)
    together = gaussian_filter(pixel_features(images, 2.0, 0.2), how).apply(values)
    for index, image in enumerate(images):
        alone = gaussian_filter(pixel_features(image, 2.0, 0.2), how)
        for sample in range(3):
            torch.testing.assert_close(
                together[sample, index], alone.apply(values[sample, index]), rtol=0, atol=1e-14
            )


@pytest.mark.parametrize("normalise", ["none", "symmetric"])
def test_lattice_gradient_in_values(normalise: Normalisation) -> None:
    filter = gaussian_filter(pixel_features(photo(3), 1.5, 0.3), "lattice", normalise)
    values = random_costs(9, 2, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(filter.apply, (values,))

    def square(v: Tensor) -> Tensor:
        return filter.apply(v) ** 2

    assert torch.autograd.gradgradcheck(square, (values,))


def test_lattice_gradient_in_features_follows_the_exact_one() -> None:
    """It is the kernel's, filtered by the lattice: the same direction, nearly, and length."""
    image = photo(40)
    bright = (image.mean(-1).flatten() > 0.5).double().unsqueeze(-1)
    slopes: list[Tensor] = []
    for how in ("exact", "lattice"):
        features = pixel_features(image, 6.0, 0.25).requires_grad_()
        total = (bright * gaussian_filter(features, how).apply(1 - bright)).sum()
        slopes.append(torch.autograd.grad(total, features)[0].flatten())
    exact, near = slopes
    assert float(torch.cosine_similarity(exact, near, dim=0)) > 0.95
    assert 0.64 < float(near.square().sum() / exact.square().sum()) < 1.56


def test_auto_goes_by_size() -> None:
    for side, how in ((48, "exact"), (49, "lattice")):
        assert gaussian_filter(pixel_features(photo(side), 3.0)).how == how


def test_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        gaussian_filter(torch.full((4, 2), float("nan")))
    with pytest.raises(ValueError, match="above 0"):
        pixel_features(photo(3), torch.tensor(0.0))
