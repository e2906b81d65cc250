"""Heads that turn features into the parameters of a Gaussian CRF.

Gaussian CRF spec §9.2 and §9.4 (Chandra and Kokkinos 2016; Chandra, Usunier and Kokkinos 2017). All
pairwise heads begin at or near 0, so that training starts from x = b/λ, the unary scores alone.
"""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, softplus

from groundstate_gcrf.energies.label_grid import OFFSETS, Connectivity
from groundstate_labelling.backbone import normalised
from groundstate_labelling.couplings import neighbours
from groundstate_labelling.shapes import unflatten


class EdgeHead(nn.Module):
    """One vector for each pair of neighbouring pixels, the same whichever of them comes first.

    It sees the sum and the absolute difference of what is at both pixels, features and colour, so
    that it can tell an edge of the image. Potts terms have one number per pair; general terms L².

    Attributes:
        offsets: (down, right) to half of the neighbours.
    """

    def __init__(
        self, *, features: int, outputs: int, connectivity: Connectivity, hidden: int = 24
    ) -> None:
        super().__init__()
        self.offsets = OFFSETS[connectivity]
        self.reduce = normalised(features + 3, hidden)
        self.mix = nn.ModuleList(nn.Conv2d(2 * hidden + 3, hidden, 1) for _ in self.offsets)
        self.out = nn.ModuleList(nn.Conv2d(hidden, outputs, 1) for _ in self.offsets)
        for each in self.out:
            _constant(cast(nn.Conv2d, each), 0.0)

    @property
    def reach(self) -> int:
        """How many rows or columns away the farthest neighbour is."""
        return max(abs(step) for offset in self.offsets for step in offset)

    def forward(
        self,
        features: Float[Tensor, "batch channels height width"],
        colour: Float[Tensor, "batch 3 height width"],
    ) -> list[Float[Tensor, "batch outputs tall wide"]]:
        reduced = self.reduce(torch.cat([features, colour], dim=1))
        seen = torch.cat([reduced, colour], dim=1)
        channels = reduced.shape[1]
        edges: list[Tensor] = []
        for offset, mix, out in zip(self.offsets, self.mix, self.out, strict=True):
            here, there = neighbours(seen, offset)
            total = here[:, :channels] + there[:, :channels]
            pair = torch.cat([total, (here - there).abs()], dim=1)
            edges.append(out(torch.relu(mix(pair))))
        return edges


class EmbeddingHead(nn.Module):
    """A free vector of length `rank` for each pixel, or for each label at each pixel.

    It sees features, colour and place. The embeddings are divided by √P, so that the eigenvalues of
    their Gram matrix do not grow with the size of the image.

    Attributes:
        rank: length of an embedding.
        labels: how many embeddings a pixel has, one per label; None where labels share it (Potts).
    """

    def __init__(
        self,
        *,
        features: int,
        rank: int,
        labels: int | None = None,
        hidden: int = 32,
        size: float = 0.1,
    ) -> None:
        super().__init__()
        self.rank, self.labels = rank, labels
        self.reduce = normalised(features + 5, hidden)
        self.out = nn.Conv2d(hidden, rank * (labels or 1), 1)
        self.log_size = nn.Parameter(torch.tensor(size).log())

    def forward(
        self,
        features: Float[Tensor, "batch channels height width"],
        colour: Float[Tensor, "batch 3 height width"],
    ) -> Float[Tensor, "batch rank *labels height width"]:
        pixels = features.shape[-2] * features.shape[-1]
        seen = torch.cat([features, colour, places(features)], dim=1)
        embeddings = self.out(self.reduce(seen)) * self.log_size.exp() / pixels**0.5
        return embeddings if self.labels is None else unflatten(embeddings, 1, (self.rank, -1))


class RegionHead(nn.Module):
    """Embeddings that share each pixel out among some regions, so that they are never negative.

    Pixels of one region pull each other's scores together (see `couplings.smoothing_embeddings`;
    the embeddings of the thesis are free). The head sees colour, place and the labels' chances, and
    has few parameters: what it learns from some dozen frames must hold for others.

    Attributes:
        rank: how many regions there are.
    """

    def __init__(self, *, labels: int, rank: int, hidden: int = 24, strength: float = -2.0) -> None:
        super().__init__()
        self.rank = rank
        self.hidden = nn.Conv2d(labels + 5, hidden, 1)
        self.share = nn.Conv2d(hidden, rank, 1)
        self.strength = nn.Conv2d(hidden, 1, 1)
        _constant(self.strength, strength)

    def forward(
        self,
        scores: Float[Tensor, "batch labels height width"],
        colour: Float[Tensor, "batch 3 height width"],
        frames: int = 1,
    ) -> Float[Tensor, "batch rank height width"]:
        """The embeddings; `frames` in a row of the batch share their regions."""
        seen = torch.cat([scores.softmax(1), colour, places(scores)], dim=1)
        hidden = torch.relu(self.hidden(seen))
        # sharper than a fresh layer's outputs: regions that all pixels share alike are one
        share = (4 * self.share(hidden)).softmax(1)
        size = share.sum((-2, -1), keepdim=True)
        size = unflatten(size, 0, (-1, frames)).sum(1, keepdim=True)
        size = size.expand(-1, frames, -1, -1, -1)
        return softplus(self.strength(hidden)) * share / (size.flatten(0, 1) + 1).sqrt()


def places(like: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch 2 _ _"]:
    """Row and column of each pixel, from -1 to 1."""
    batch, _, height, width = like.shape
    rows = torch.linspace(-1, 1, height, dtype=like.dtype, device=like.device)
    columns = torch.linspace(-1, 1, width, dtype=like.dtype, device=like.device)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
    return grid.expand(batch, -1, -1, -1)


def colour_at(
    image: Float[Tensor, "batch 3 height width"], size: tuple[int, int]
) -> Float[Tensor, "batch 3 small_height small_width"]:
    """The mean colour of the patch of the image that belongs to each pixel of the output."""
    return adaptive_avg_pool2d(image, size)


def _constant(layer: nn.Conv2d, value: float) -> None:
    """A layer that says `value` whatever it sees."""
    nn.init.zeros_(layer.weight)
    nn.init.constant_(cast(Tensor, layer.bias), value)
