"""Which pixels look alike, and how much: the rows of S from embeddings.

A row is a softmax over all pixels (Messaoud et al. 2018), or over few candidates: the most similar
ones, found with a k-d tree, and those around the pixel. The choice of candidates is no smooth
function of the embeddings: gradients go through the softmax over those chosen, and not through the
choice.
"""

from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from groundstate_gcrf.energies.similarity import DenseSimilarity, SparseSimilarity

Likeness = Literal["inner-product", "distance"]
"""What makes two pixels alike: f_i·f_j, as in the paper, or -½‖f_i - f_j‖²."""

Array = NDArray[Any]


def dense_similarity(
    embeddings: Float[Tensor, "*batch length height width"],
    *,
    likeness: Likeness,
    itself: bool,
    weakest: float,
) -> DenseSimilarity:
    """S over all pixels."""
    flat = embeddings.flatten(-2)
    if likeness == "distance":
        # distances do not see where 0 is; products of vectors far from it cancel
        flat = flat - flat.mean(-1, keepdim=True)
    logits = flat.mT @ flat
    if likeness == "distance":
        # -½‖f_i‖² is the same in a whole row, and softmax does not see it
        logits = logits - 0.5 * flat.square().sum(-2)[..., None, :]
    others = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device)
    if not itself:
        others.fill_diagonal_(False)
    return DenseSimilarity(weights=_softmax(logits, others, weakest))


def sparse_similarity(
    embeddings: Float[Tensor, "*batch length height width"],
    *,
    neighbours: int,
    window: int,
    likeness: Likeness,
    itself: bool,
    weakest: float,
) -> SparseSimilarity:
    """S over the `neighbours` most similar pixels of each, and those of the window around it."""
    with torch.no_grad():
        indices, counted = candidates(
            embeddings, neighbours=neighbours, window=window, likeness=likeness, itself=itself
        )
    flat = embeddings.flatten(-2)
    shape = (*flat.shape[:-2], flat.shape[-2], -1)
    others = flat.gather(-1, indices.flatten(-2)[..., None, :].expand(*shape))
    others = others.reshape(*others.shape[:-1], *indices.shape[-2:])
    if likeness == "distance":
        logits = -0.5 * (flat[..., None] - others).square().sum(-3)
    else:
        logits = (flat[..., None] * others).sum(-3)
    return SparseSimilarity(indices=indices, weights=_softmax(logits, counted, weakest))


def candidates(
    embeddings: Float[Tensor, "*batch length height width"],
    *,
    neighbours: int,
    window: int,
    likeness: Likeness,
    itself: bool,
) -> tuple[Int[Tensor, "*batch pixels candidates"], Bool[Tensor, "*batch pixels candidates"]]:
    """Pixels that each pixel is compared with, and which of these places count.

    Each pixel is counted once, and the pixel itself only where `itself` says so.
    """
    height, width = embeddings.shape[-2:]
    pixels = height * width
    vectors = (
        embeddings.detach().double().cpu().flatten(-2).mT.reshape(-1, pixels, embeddings.shape[-3])
    )
    around = _window(height, width, window)
    rows = [_nearest(each.numpy(), min(neighbours, pixels), likeness) for each in vectors]
    found = np.stack([np.concatenate([each, around], axis=-1) for each in rows])
    found.sort(axis=-1)
    counted = np.ones(found.shape, dtype=bool)
    counted[..., 1:] = found[..., 1:] != found[..., :-1]
    if not itself:
        counted &= found != np.arange(pixels)[:, None]
    shape = (*embeddings.shape[:-3], *found.shape[1:])
    device = embeddings.device
    return (
        torch.from_numpy(found).reshape(shape).to(device),
        torch.from_numpy(counted).reshape(shape).to(device),
    )


def _nearest(vectors: Array, count: int, likeness: Likeness) -> Array:
    """The `count` most similar pixels of each."""
    points, queries = vectors, vectors
    if likeness == "inner-product":
        # f_i·f_j is largest where (f_j, √(R² - ‖f_j‖²)) is nearest to (f_i, 0)
        squares = (vectors**2).sum(-1)
        lift = np.sqrt(np.maximum(squares.max() - squares, 0))
        points = np.concatenate([vectors, lift[:, None]], axis=-1)
        queries = np.concatenate([vectors, np.zeros_like(lift)[:, None]], axis=-1)
    _, found = cast(tuple[Array, Array], KDTree(points).query(queries, k=count))
    return found.reshape(len(vectors), count).astype(np.int64)


def _window(height: int, width: int, side: int) -> Array:
    """The pixels of the window around each, itself in the place of those outside the image."""
    own = np.arange(height * width).reshape(height, width)
    row, column = np.mgrid[:height, :width]
    reach = range(-(side // 2), side // 2 + 1)
    places = [
        np.where(
            (row + y >= 0) & (row + y < height) & (column + x >= 0) & (column + x < width),
            own + y * width + x,
            own,
        )
        for y in reach
        for x in reach
    ]
    return np.stack([each.reshape(-1) for each in places], axis=-1)


def _softmax(
    logits: Float[Tensor, "..."], counted: Bool[Tensor, "..."], weakest: float
) -> Float[Tensor, "..."]:
    """Softmax over what is counted, and the share `weakest` of each row spread evenly over it."""
    soft = logits.masked_fill(~counted, -torch.inf).softmax(-1)
    even = counted / counted.sum(-1, keepdim=True)
    return (1 - weakest) * soft + weakest * even.to(soft.dtype)
