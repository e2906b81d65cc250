"""Systems of label scores on real images, in the setting of the Gaussian CRF theses (spec §12, C1).

Neighbouring pixels are coupled by w = exp(-50 ‖I_i - I_j‖²): "attractive" has A = λI - W ⊗ I, which
pulls the scores of neighbours together, "Potts" has A = λI + W ⊗ (J - I), which pushes different
labels of neighbours apart. λ is a multiple of |λ_min| of the pairwise part, so 1 would be singular.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import eigsh
from skimage import data, io
from skimage.transform import resize

from groundstate.energy import view
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.energies.label_grid import OFFSETS
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.sparse import grid_gcrf_general, grid_gcrf_potts

PHOTOS = ("astronaut", "cat", "coffee", "rocket")
"""Colour photos that come inside the scikit-image wheel."""
Kind = Literal["Potts", "attractive", "general"]


@dataclass(frozen=True, kw_only=True)
class LabelSystem:
    """One system Ax = b over labels and pixels.

    Attributes:
        name: of the image.
        energy: the field.
        matrix: all of A, assembled, for peers and true residuals.
        right: b, flattened.
    """

    name: str
    energy: GaussianCrf
    matrix: csr_array
    right: np.ndarray

    def times(self, x: np.ndarray) -> np.ndarray:
        return self.matrix @ x


def photo(name: str, height: int, width: int) -> np.ndarray:
    """A photo of the wheel at this size, colours from 0 to 1."""
    return np.asarray(resize(getattr(data, name)(), (height, width), anti_aliasing=True))


def images(count: int, height: int, width: int) -> Iterator[tuple[str, np.ndarray]]:
    """Crops of photos, and of frames of CamVid where they are: about half and half."""
    frames = camvid_frames()
    crops = count if not frames else (count + 1) // 2
    for i in range(crops):
        name = PHOTOS[i % len(PHOTOS)]
        whole = photo(name, 2 * height, 2 * width)
        top, left = divmod(i // len(PHOTOS), 2)
        crop = whole[top * height :, left * width :][:height, :width]
        yield f"{name} {i // len(PHOTOS) + 1}", crop
    chosen = np.linspace(0, len(frames) - 1, count - crops).astype(int) if frames else ()
    for index in chosen:
        small = resize(io.imread(frames[index]), (height, width), anti_aliasing=True)
        yield f"camvid {frames[index].stem}", np.asarray(small)


def camvid_frames() -> list[Path]:
    """The validation frames below $GROUNDSTATE_DATA, or none."""
    folder = os.environ.get("GROUNDSTATE_DATA")
    return sorted(Path(folder, "camvid", "val").glob("*.jpg")) if folder else []


def contrast_weights(image: np.ndarray, neighbours: int = 4) -> list[np.ndarray]:
    """exp(-50 ‖I_i - I_j‖²) for each offset of the neighbourhood."""
    height, width = image.shape[:2]
    weights: list[np.ndarray] = []
    for dy, dx in OFFSETS[neighbours]:
        left = max(-dx, 0)
        here = image[: height - dy, left : width - max(dx, 0)]
        there = image[dy:, left + dx :][: height - dy, : here.shape[1]]
        weights.append(np.exp(-50 * ((here - there) ** 2).sum(-1)))
    return weights


def scores(image: np.ndarray, labels: int, seed: int = 0) -> np.ndarray:
    """Noisy scores: how near each pixel's colour is to those of `labels` random pixels."""
    rng = np.random.default_rng(seed)
    flat = image.reshape(-1, image.shape[-1])
    centres = flat[rng.choice(len(flat), labels, replace=False)]
    distance = ((image[None] - centres[:, None, None]) ** 2).sum(-1)
    return -10 * distance + 0.5 * rng.standard_normal(distance.shape)


def label_system(
    name: str,
    image: np.ndarray,
    *,
    labels: int,
    kind: Kind,
    factor: float,
    neighbours: int = 4,
    dtype: torch.dtype = torch.float64,
) -> LabelSystem:
    """A field on an image, with λ = `factor` |λ_min|.

    "general" has an L×L block per edge: that weight times one of a random symmetric matrix of unit
    norm, so |λ_min| is at most the radius of the weights, which stands in for it.
    """
    weights = contrast_weights(image, neighbours)
    radius = _radius(weights, image.shape[:2], neighbours)
    unary = torch.from_numpy(scores(image, labels)).to(dtype)
    if kind == "Potts":
        energy = grid_gcrf_potts(
            unary=unary,
            weights=[torch.from_numpy(each).to(dtype) for each in weights],
            diagonal=factor * (labels - 1) * radius,
            guard="report",
        )
    else:
        block = np.eye(labels) * -1.0 if kind == "attractive" else _random_block(labels)
        terms = [torch.from_numpy(each[..., None, None] * block).to(dtype) for each in weights]
        energy = grid_gcrf_general(
            unary=unary, terms=terms, diagonal=factor * radius, guard="report"
        )
    return assembled(name, energy)


def assembled(name: str, energy: GaussianCrf) -> LabelSystem:
    """The system with its matrix in CSR, 32-bit indices, no zeros kept."""
    sparse, linear = view(energy, SparseMatrix), view(energy, Quadratic).linear
    rows, columns = sparse.indices.numpy()
    n = linear.numel()
    matrix = csr_array(coo_array((sparse.values.numpy(), (rows, columns)), shape=(n, n)))
    matrix.eliminate_zeros()
    matrix.sort_indices()
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
    return LabelSystem(
        name=name, energy=energy, matrix=matrix, right=linear.reshape(-1).numpy().copy()
    )


def _random_block(labels: int) -> np.ndarray:
    drawn = np.random.default_rng(7).standard_normal((labels, labels))
    block = drawn + drawn.T
    return block / np.abs(np.linalg.eigvalsh(block)).max()


def _radius(weights: list[np.ndarray], shape: tuple[int, ...], neighbours: int) -> float:
    """The largest eigenvalue of the weights as a matrix over pixels."""
    height, width = shape
    pixel = np.arange(height * width).reshape(height, width)
    parts = []
    for each, (dy, dx) in zip(weights, OFFSETS[neighbours], strict=True):
        left = max(-dx, 0)
        here = pixel[: height - dy, left : width - max(dx, 0)]
        parts.append(
            coo_array(
                (each.ravel(), (here.ravel(), (here + dy * width + dx).ravel())),
                shape=(pixel.size, pixel.size),
            )
        )
    upper = csr_array(sum(csr_array(part) for part in parts))
    return float(eigsh(upper + upper.T, k=1, which="LA", return_eigenvectors=False)[0])
