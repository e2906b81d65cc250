"""What embeddings couple: heat maps of affinity to one pixel, and Gram matrices sorted by label.

Figures 3.3 to 3.5 and 4.7 of the thesis; Gaussian CRF spec §6.6. A_{p*,p}(l*, l) is a cost: low
where the labels l* at p* and l at p go together.
"""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


def affinity_map(
    embeddings: Float[Tensor, "rank *labels height width"],
    pixel: tuple[int, int],
    label: int = 0,
    other: int = 0,
) -> Float[Tensor, "height width"]:
    """The pairwise term between a label at one pixel and a label at every other.

    Args:
        embeddings: of one image; where labels share them (Potts) `label` and `other` only matter
            by being equal, which costs nothing, or not.
        pixel: row and column of the reference.
        label: at the reference.
        other: at the other pixels.
    """
    row, column = pixel
    height, width = embeddings.shape[-2:]
    if not (0 <= row < height and 0 <= column < width):
        raise ValueError(
            f"the reference pixel must lie in {height} × {width}, got row {row}, column {column}"
        )
    if embeddings.dim() == 3:
        product = torch.einsum("d,dhw->hw", embeddings[:, row, column], embeddings)
        return product if label != other else torch.zeros_like(product)
    return torch.einsum("d,dhw->hw", embeddings[:, label, row, column], embeddings[:, other])


def sorted_gram(
    embeddings: Float[Tensor, "rank height width"],
    labels: Int[Tensor, "height width"],
    ignore: int = 11,
) -> tuple[Float[Tensor, "pixels pixels"], Int[Tensor, " pixels"]]:
    """ψᵀψ over the labelled pixels, in the order of their labels, and those labels.

    Blocks on the diagonal are brighter than the rest where embeddings tell the labels apart.
    """
    flat, wanted = embeddings.flatten(1), labels.flatten()
    order = torch.argsort(wanted, stable=True)
    order = order[wanted[order] != ignore]
    chosen = flat[:, order]
    return chosen.mT @ chosen, wanted[order]


def heat(
    values: Float[Tensor, "height width"], *, reference: tuple[int, int] | None = None
) -> UInt8[Tensor, "height width 3"]:
    """Values as colours: blue below 0, white at 0, red above; a reference pixel in black."""
    size = values.abs().max()
    share = values / torch.where(size > 0, size, 1.0)
    warm, cold = share.clamp(min=0), (-share).clamp(min=0)
    colours = torch.stack([1 - cold, 1 - warm - cold, 1 - warm], dim=-1)
    picture = (255 * colours).round().to(torch.uint8)
    if reference is not None:
        picture[reference] = 0
    return picture
