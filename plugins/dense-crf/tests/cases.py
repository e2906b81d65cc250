"""Real colours, costs, and the formulas one pair at a time."""

from typing import Any, cast

import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from skimage import data, transform
from torch import Tensor


def photo(side: int) -> Float[Tensor, "side side 3"]:
    """Colours from 0 to 1, from inside the scikit-image wheel."""
    skimage = cast(Any, transform)
    whole: NDArray[Any] = cast(Any, data).astronaut()
    return torch.from_numpy(skimage.resize(whole, (side, side), anti_aliasing=True))


def random_costs(*shape: int, seed: int) -> Float[Tensor, "..."]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def double_loop(features: Float[Tensor, "pixels d"], symmetric: bool) -> Tensor:
    """The kernel of every pair, as printed."""
    pixels = len(features)
    kernel = torch.zeros(pixels, pixels, dtype=features.dtype)
    for i in range(pixels):
        for j in range(pixels):
            kernel[i, j] = torch.exp(-0.5 * (features[i] - features[j]).square().sum())
    if symmetric:
        sums = kernel.sum(1)
        kernel = kernel / (sums[:, None] * sums[None, :]).sqrt()
    return kernel.fill_diagonal_(0.0)


def energy_by_pairs(
    unary: Float[Tensor, "pixels labels"],
    compatibility: Float[Tensor, "labels labels"],
    kernel: Float[Tensor, "pixels pixels"],
    labels: Int[Tensor, " pixels"],
) -> Tensor:
    """Σ_i u_i(y_i) + Σ_{i<j} μ(y_i, y_j) K_ij, one pair after the other."""
    total = unary.new_zeros(())
    for i in range(len(labels)):
        total = total + unary[i, labels[i]]
        for j in range(i + 1, len(labels)):
            total = total + compatibility[labels[i], labels[j]] * kernel[i, j]
    return total
