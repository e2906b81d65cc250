"""Pictures to look at: labellings over photos, strokes on photos, plain photos.

All are uint8 tensors [height, width, 3].
"""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from groundstate_vision.palette import palette


def to_bytes(rgb: Float[Tensor, "height width 3"]) -> UInt8[Tensor, "height width 3"]:
    """SRGB in [0, 1] as bytes."""
    return (rgb.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)


def grey(image: Float[Tensor, "height width 3"]) -> Float[Tensor, "height width 3"]:
    """A photo without its colours (luma of Rec. 601)."""
    return (image @ image.new_tensor([0.299, 0.587, 0.114]))[..., None].expand_as(image)


def overlay(
    image: Float[Tensor, "height width 3"],
    labels: Int[Tensor, "height width"],
    opacity: float = 0.6,
) -> UInt8[Tensor, "height width 3"]:
    """A labelling over the grey photo, with white lines between labels.

    Unlabelled pixels (below 0) stay grey. Labels beyond the palette's 16 use its colours again.
    """
    image, labels = image.detach().cpu(), labels.detach().cpu()
    colours = palette().to(image.dtype) / 255
    backdrop = grey(image)
    mixed = torch.lerp(backdrop, colours[labels.clamp(min=0) % len(colours)], opacity)
    picture = torch.where((labels >= 0)[..., None], mixed, backdrop)
    return to_bytes(torch.where(outlines(labels)[..., None], torch.ones_like(picture), picture))


def outlines(labels: Int[Tensor, "height width"]) -> Bool[Tensor, "height width"]:
    """The pixels whose right or lower neighbour has another label."""
    edge = torch.zeros_like(labels, dtype=torch.bool)
    edge[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    edge[:-1] |= labels[1:] != labels[:-1]
    return edge


def with_strokes(
    image: Float[Tensor, "height width 3"], strokes: Int[Tensor, "height width"]
) -> UInt8[Tensor, "height width 3"]:
    """A photo with the strokes on it, in the palette's colours."""
    image, strokes = image.detach().cpu(), strokes.detach().cpu()
    colours = palette().to(image.dtype) / 255
    drawn = colours[strokes.clamp(min=0) % len(colours)]
    return to_bytes(torch.where((strokes >= 0)[..., None], drawn, image))
