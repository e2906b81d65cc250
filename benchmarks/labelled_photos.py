"""Photos with noisy costs of labels, and what each sort of field is given for them."""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, zoom
from skimage import data
from skimage.transform import resize
from torch import Tensor

FULL, STRIDE, LABELS, RANK, CONDITION = 321, 8, 21, 128, 4.0
"""Side of the whole photo, stride of a network, and shape and condition number of its fields."""
SMALL = (FULL - 1) // STRIDE + 1


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A photo with costs of labels at one size.

    Attributes:
        side: height and width.
        image: colours from 0 to 255, `[side, side, 3]`.
        costs: in nats, `[side, side, labels]`, float32.
        stride: pixels of the whole photo from one to the next.
    """

    side: int
    image: np.ndarray
    costs: np.ndarray
    stride: int


def scene(photo: str, side: int, seed: int = 0) -> Scene:
    """The photo and the same costs at another size: blobs, and noise of each pixel."""
    rng = np.random.default_rng(seed)
    coarse = FULL // 4 + 1
    blobs: Any = gaussian_filter(rng.normal(size=(coarse, coarse, LABELS)), (6, 6, 0))
    blobs = zoom(blobs / blobs.std(), (side / coarse, side / coarse, 1), order=1)
    costs = -(1.5 * blobs + rng.normal(size=(side, side, LABELS)))
    image = np.asarray(resize(getattr(data, photo)(), (side, side), anti_aliasing=True))
    return Scene(
        side=side,
        image=(255 * image).round().astype(np.uint8),
        costs=np.ascontiguousarray(costs.astype(np.float32)),
        stride=1 if side == FULL else STRIDE,
    )


def dense_inputs(given: Scene) -> dict[str, Any]:
    """Inputs and settings of `energy/dense-crf`, as pydensecrf2 gets them."""
    return {
        "unary": torch.from_numpy(given.costs),
        "image": torch.from_numpy(given.image),
        "appearance_position": 80 / given.stride,
        "appearance_colour": 13.0,
        "smoothness_position": 3 / given.stride,
    }


def embeddings(given: Scene, seed: int = 0) -> Tensor:
    """Random Fourier features of position and colour: inner products near the kernel."""
    rng = torch.Generator().manual_seed(seed)
    grid = torch.stack(torch.meshgrid(*2 * [torch.arange(given.side)], indexing="ij"), -1)
    place = grid.float() * given.stride / 80
    features = torch.cat([place, torch.from_numpy(given.image).float() / 13], -1)
    waves = torch.randn(features.shape[-1], RANK, generator=rng)
    phases = 2 * torch.pi * torch.rand(RANK, generator=rng)
    return (2 / RANK) ** 0.5 * torch.cos(features @ waves + phases).movedim(-1, 0).contiguous()


def per_label(given: Scene) -> Tensor:
    """The same for each label, with a seeded sign and strength of each pair of rank and label."""
    rng = torch.Generator().manual_seed(1)
    strength = torch.randn(RANK, LABELS, 1, 1, generator=rng)
    return embeddings(given).unsqueeze(1) * strength


def scaled(factor: Tensor, largest: float) -> Tensor:
    """Times what makes `largest` the largest eigenvalue of its Gram matrix."""
    flat = factor.flatten(1)
    eigenvalues = torch.linalg.eigvalsh((flat @ flat.T).double())
    return factor * (largest / float(eigenvalues[-1])) ** 0.5


def weights(given: Scene) -> list[Tensor]:
    """Contrast of neighbours to the right and below; at most 4 of them meet in a pixel."""
    image = torch.from_numpy(given.image).float()
    right, down = image[:, 1:] - image[:, :-1], image[1:] - image[:-1]
    most = (CONDITION - 1) / (CONDITION + 1) / (LABELS - 1)
    contrasts = [torch.exp(-each.square().sum(-1) / (2 * 13.0**2)) for each in (right, down)]
    return [most / 4 * each for each in contrasts]


def inputs_of(given: Scene, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a network would hand to each Gaussian field; made once, and not timed.

    With λ = 1 the eigenvalues of the three go from 1 to 1 + σ², from 1 - σ² to 1 + (L - 1)σ², and
    from 1 - (L - 1)μ to 1 + (L - 1)μ.
    """
    potts = (CONDITION - 1) / (CONDITION + LABELS - 1)
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        "low-rank-gcrf": lambda: {"embeddings": scaled(per_label(given), CONDITION - 1)},
        "low-rank-potts-gcrf": lambda: {"embeddings": scaled(embeddings(given), potts)},
        "grid-gcrf-potts": lambda: {"weights": weights(given)},
    }
    return {name: makers[name]() for name in names}
