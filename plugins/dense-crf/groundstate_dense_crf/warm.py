"""Compiles the kernels of this plugin, so that no time budget is spent on it later."""

import torch

from groundstate_dense_crf.examples import random_photo
from groundstate_dense_crf.filters import gaussian_filter, pixel_features


def warm() -> None:
    """Filter a small photo in each floating-point type; numba keeps what it compiles."""
    _, image = random_photo(3, 3, labels=2, seed=0)
    for dtype in (torch.float32, torch.float64):
        features = pixel_features(image.to(dtype), 2.0, 0.5)
        gaussian_filter(features, "lattice").apply(torch.ones(9, 2, dtype=dtype))


if __name__ == "__main__":
    warm()
