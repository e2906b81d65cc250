"""`energy/truncated-linear`: label costs per pixel, and a price for labels that are apart.

For labels that are amounts, such as disparities or grey values, on the 4-neighbour grid:

    E(y) = Σ_i u_i(y_i) + Σ_ij w_ij min(|y_i - y_j|, truncation)
    w_ij = smoothness · exp(-‖I_i - I_j‖² / (2 σ²))

where σ² is `contrast` times the mean of ‖I_i - I_j‖² over all neighbours (Boykov, Veksler, Zabih:
Fast Approximate Energy Minimization via Graph Cuts, 2001; Scharstein, Szeliski: A Taxonomy of
Dense Two-Frame Stereo, 2002, for prices that fall where the image has an edge).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Views
from groundstate.factors import FactorGraph
from groundstate.space import Discrete
from groundstate_mrf.groups.distance import DistanceGroup, truncated_linear
from groundstate_mrf.groups.grid import neighbours
from groundstate_mrf.groups.tables import TableGroup

_FOUR = ((0, 1), (1, 0))


@dataclass(frozen=True, kw_only=True)
class TruncatedLinear:
    """Costs per pixel and label, and a price for labels of neighbours that are apart.

    Attributes:
        unary: cost of each label of each pixel, in nats.
        image: the photo, `[*batch, height, width, channels]`, in any unit.
        smoothness: price, in nats, of labels that differ by 1 on neighbours of the same colour.
        truncation: the difference from which on the price grows no more.
        contrast: how strong an edge must be to go free, in mean squared differences.
    """

    unary: Float[Tensor, "*batch height width labels"]
    image: Shaped[Tensor, "*batch height width channels"]
    smoothness: Annotated[float, Ge(0)] = 1.0
    truncation: Annotated[float, Gt(0)] = 4.0
    contrast: Annotated[float, Gt(0)] = 1.0

    def __post_init__(self) -> None:
        if self.unary.dim() < 3 or self.unary.shape[:-1] != self.image.shape[:-1]:
            raise ValueError(
                f"`unary` [*batch, height, width, labels] and `image` [*batch, height, width, "
                f"channels] must agree but for their last axes; got {tuple(self.unary.shape)} and "
                f"{tuple(self.image.shape)}"
            )
        if self.unary.shape[-1] < 1:
            raise ValueError("`unary` needs at least one label, got none")
        for name, values in (("unary", self.unary), ("image", self.image)):
            if bool(values.isnan().any()):
                raise ValueError(f"`{name}` must not hold NaN, got {int(values.isnan().sum())}")

    @property
    def space(self) -> Discrete:
        return self._space

    @cached_property
    def _space(self) -> Discrete:
        *batch, height, width, labels = self.unary.shape
        counts = torch.full((height, width), labels, device=self.unary.device)
        return Discrete(counts=counts, batch_shape=tuple(batch))

    @property
    def views(self) -> Views:
        return {FactorGraph: lambda: self.graph}

    def __call__(self, x: Int[Tensor, "*shape height width"], /) -> Float[Tensor, "*shape"]:
        self.space.validate(x)
        costs = self.unary.expand(*x.shape, -1).gather(-1, x.unsqueeze(-1))
        total = costs.squeeze(-1).sum((-2, -1))
        for offset, weights in zip(_FOUR, self.weights, strict=True):
            here, there = neighbours(offset)
            apart = (x[here] - x[there]).abs().clamp(max=self.truncation)
            total = total + (weights * apart).sum((-2, -1))
        return total

    @property
    def weights(self) -> tuple[Float[Tensor, "*batch rows columns"], ...]:
        """W of each pixel and its neighbour to the right and below."""
        image = self.image.to(self.unary.dtype)
        squares = [
            (image[(*here, slice(None))] - image[(*there, slice(None))]).square().sum(-1)
            for here, there in map(neighbours, _FOUR)
        ]
        pairs = sum(square.shape[-2] * square.shape[-1] for square in squares)
        mean = torch.stack([square.sum((-2, -1)) for square in squares]).sum(0) / max(pairs, 1)
        # an image of one colour has no edges to spare: every weight is `smoothness`
        variance = (self.contrast * mean).clamp(min=torch.finfo(mean.dtype).tiny)[..., None, None]
        return tuple(self.smoothness * torch.exp(-square / (2 * variance)) for square in squares)

    @property
    def graph(self) -> FactorGraph:
        """The factors on the flattened grid, row by row."""
        tracked = self.unary.requires_grad or self.image.requires_grad
        # what may be learned may change under us, so nothing made from it is kept
        return self._make_graph() if tracked else self._plain_graph

    @cached_property
    def _plain_graph(self) -> FactorGraph:
        return self._make_graph()

    def _make_graph(self) -> FactorGraph:
        *batch, height, width, labels = self.unary.shape
        device, total = self.unary.device, height * width * labels
        pixels = torch.arange(height * width, device=device)
        grid = pixels.reshape(height, width)
        pairs = [
            torch.stack([grid[here[1:]], grid[there[1:]]], -1).flatten(0, 1)
            for here, there in map(neighbours, _FOUR)
        ]
        edges = torch.cat(pairs)
        unary = TableGroup(
            scope=pixels.unsqueeze(-1),
            first=pixels.unsqueeze(-1) * labels,
            tables=self.unary.flatten(-3, -2),
            total=total,
        )
        distances = DistanceGroup(
            edges=edges,
            first=edges * labels,
            weights=torch.cat([each.flatten(-2) for each in self.weights], -1),
            table=truncated_linear(labels, self.truncation, self.unary.dtype).to(device),
            total=total,
        )
        return FactorGraph(
            counts=self.space.counts.flatten(),
            groups=(unary, distances),
            constant=self.unary.new_zeros(batch),
        )
