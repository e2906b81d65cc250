"""Linear systems from real photos: what colouring a gray photo from hints has to solve."""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from skimage import data
from skimage.color import rgb2gray, rgb2lab
from skimage.transform import resize
from torch import Tensor

from groundstate.energy import view
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.grid import GridGcrf, grid_gcrf

PHOTOS = ("astronaut", "cat", "coffee", "rocket")
"""Colour photos that come inside the scikit-image wheel."""


@dataclass(frozen=True, kw_only=True)
class PhotoSystem:
    """One matrix and its right-hand sides.

    Attributes:
        photo: the guide.
        energy: the field, one problem per right-hand side.
        matrix: its A, for peers.
        right: its b, `[right-hand sides, pixels]`.
    """

    photo: str
    energy: GridGcrf
    matrix: csr_array
    right: np.ndarray


def photo_system(
    photo: str, *, right_hand_sides: int, side: int = 512, patches: int = 50, seed: int = 0
) -> PhotoSystem:
    """The gray photo guides; colour is pinned in random 7 x 7 patches.

    Args:
        photo: one of `PHOTOS`.
        right_hand_sides: up to 8: a and b of this photo, then of the others, at the same pins.
        side: height and width in pixels that photos are resized to.
        patches: how many patches of colour are revealed.
        seed: of their places.
    """
    others = [photo, *(name for name in PHOTOS if name != photo)]
    chroma = [rgb2lab(_load(name, side))[..., 1:] for name in others[: (right_hand_sides + 1) // 2]]
    values = np.concatenate([np.moveaxis(each, -1, 0) for each in chroma])[:right_hand_sides]
    energy = grid_gcrf(
        image=torch.from_numpy(rgb2gray(_load(photo, side)))[..., None],
        pinned=_patches(side, patches, seed),
        values=torch.from_numpy(np.ascontiguousarray(values)),
    )
    sparse, quadratic = view(energy, SparseMatrix), view(energy, Quadratic)
    pixels = side * side
    rows, columns = sparse.indices.numpy()
    matrix = csr_array((sparse.values.numpy(), (rows, columns)), shape=(pixels, pixels))
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    right = np.ascontiguousarray(quadratic.linear.reshape(right_hand_sides, pixels).numpy())
    return PhotoSystem(photo=photo, energy=energy, matrix=matrix, right=right)


def _load(name: str, side: int) -> np.ndarray:
    return np.asarray(resize(getattr(data, name)(), (side, side), anti_aliasing=True))


def _patches(side: int, count: int, seed: int) -> Tensor:
    rng = np.random.default_rng(seed)
    pinned = torch.zeros(side, side, dtype=torch.bool)
    for row, column in rng.integers(0, side - 7, (count, 2)):
        pinned[row : row + 7, column : column + 7] = True
    return pinned
