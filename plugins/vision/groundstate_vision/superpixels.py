"""Superpixel graphs: regions of similar colour, who touches whom, and along how much boundary.

Source: SLIC (Achanta et al., PAMI 2012), by scikit-image.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_vision.learn import slic_labels


@dataclass(frozen=True, kw_only=True)
class SuperpixelGraph:
    """The regions of a photo as a graph.

    Attributes:
        regions: The region of each pixel, 0 to nodes - 1.
        edge_index: Pairs of regions that touch, each once, smaller index first, sorted.
        boundaries: For each edge, the number of 4-neighbour pixel pairs across it.
        colours: Mean sRGB of each region, in [0, 1].
        sizes: Pixels in each region.
    """

    regions: Int[Tensor, "height width"]
    edge_index: Int[Tensor, "2 edges"]
    boundaries: Float[Tensor, " edges"]
    colours: Float[Tensor, "nodes 3"]
    sizes: Int[Tensor, " nodes"]


def superpixels(
    image: Float[Tensor, "height width 3"], *, segments: int = 200, compactness: float = 10.0
) -> SuperpixelGraph:
    """Cuts a photo into about `segments` connected regions.

    Args:
        image: SRGB in [0, 1].
        segments: Regions wanted; SLIC gives somewhat more or fewer.
        compactness: Weight of position against Lab colour: high for squares, low for regions that
            follow edges.
    """
    found = slic_labels(image.double().cpu().numpy().astype(np.float64), segments, compactness)
    return region_graph(torch.as_tensor(found, device=image.device), image)


def region_graph(
    regions: Int[Tensor, "height width"], image: Float[Tensor, "height width 3"]
) -> SuperpixelGraph:
    """The graph of any partition of a photo into regions 0 to nodes - 1."""
    nodes = int(regions.max()) + 1
    across = torch.cat(
        [
            torch.stack([regions[:, :-1].reshape(-1), regions[:, 1:].reshape(-1)]),
            torch.stack([regions[:-1].reshape(-1), regions[1:].reshape(-1)]),
        ],
        dim=1,
    )
    across = across[:, across[0] != across[1]].sort(dim=0).values
    keys = (across[0] * nodes + across[1]).cpu().numpy()
    pairs, counts = (torch.as_tensor(found) for found in np.unique(keys, return_counts=True))
    pairs = pairs.to(regions.device)
    return SuperpixelGraph(
        regions=regions,
        edge_index=torch.stack([pairs // nodes, pairs % nodes]),
        boundaries=counts.to(image),
        colours=region_mean(regions, image),
        sizes=torch.bincount(regions.reshape(-1), minlength=nodes),
    )


def region_mean(
    regions: Int[Tensor, "height width"], values: Float[Tensor, "height width channels"]
) -> Float[Tensor, "nodes channels"]:
    """The mean over each region, for example of unary costs."""
    flat = regions.reshape(-1)
    nodes = int(flat.max()) + 1
    total = values.new_zeros(nodes, values.shape[-1])
    total = total.index_add(0, flat, values.reshape(-1, values.shape[-1]))
    return total / torch.bincount(flat, minlength=nodes)[:, None]
