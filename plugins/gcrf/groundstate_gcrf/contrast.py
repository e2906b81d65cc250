"""Weights between neighbouring pixels, small where the image changes.

w = smoothness · (exp(-‖I_i - I_j‖² / (2σ²)) + weakest) is the contrast term of Boykov and Jolly
(2001); σ² taken from the image as the mean of ‖I_i - I_j‖² over its edges is GrabCut's (2004).
"""

import torch
from jaxtyping import Float
from torch import Tensor


def contrast_weights(
    image: Float[Tensor, "*batch height width channels"],
    *,
    smoothness: float | Tensor = 1.0,
    contrast: float | Tensor | None = None,
    weakest: float = 1e-3,
) -> tuple[Float[Tensor, "*batch height width-1"], Float[Tensor, "*batch height-1 width"]]:
    """Weights of the edges to the right and down, differentiable in everything given as a tensor.

    Args:
        image: whose edges the weights respect.
        smoothness: weight of an edge inside a flat region, nearly.
        contrast: σ, in the units of `image`; None takes the root mean square difference between
            neighbouring pixels of each image.
        weakest: smallest weight, as a share of `smoothness`; above 0 no edge is cut altogether.
    """
    right = (image[..., :, 1:, :] - image[..., :, :-1, :]).square().sum(-1)
    down = (image[..., 1:, :, :] - image[..., :-1, :, :]).square().sum(-1)
    variance = _mean_square(right, down) if contrast is None else contrast**2
    return (
        smoothness * (torch.exp(-right / (2 * variance)) + weakest),
        smoothness * (torch.exp(-down / (2 * variance)) + weakest),
    )


def _mean_square(
    right: Float[Tensor, "*batch height across"], down: Float[Tensor, "*batch along width"]
) -> Float[Tensor, "*batch 1 1"]:
    edges = right.shape[-1] * right.shape[-2] + down.shape[-1] * down.shape[-2]
    total = right.sum((-2, -1), keepdim=True) + down.sum((-2, -1), keepdim=True)
    mean = total / max(edges, 1)
    # an image of one colour has no contrast to measure, and any σ gives the same weights
    return torch.where(mean > 0, mean, torch.ones_like(mean))
