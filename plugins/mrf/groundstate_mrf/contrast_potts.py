"""`energy/contrast-potts`: label costs per pixel, and a price for edges where the image has none.

Boykov, Jolly: Interactive Graph Cuts (2001), with the contrast of Rother, Kolmogorov, Blake:
GrabCut (2004) on the 8-neighbour grid:

    E(y) = Σ_i u_i(y_i) + Σ_ij w_ij 1[y_i ≠ y_j]
    w_ij = smoothness · exp(-‖I_i - I_j‖² / (2 σ²)) / distance(i, j)

where σ² is `contrast` times the mean of ‖I_i - I_j‖² over all neighbours.
"""

from dataclasses import dataclass
from functools import cached_property
from math import hypot
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Views
from groundstate.factors import FactorGraph
from groundstate.space import Discrete
from groundstate_mrf.groups.grid import EIGHT, GridPottsGroup, neighbours
from groundstate_mrf.groups.tables import TableGroup


@dataclass(frozen=True, kw_only=True)
class ContrastPotts:
    """Costs per pixel and label, and a contrast-weighted Potts price between 8 neighbours.

    Attributes:
        unary: cost of each label of each pixel, in nats.
        image: the photo, `[*batch, height, width, channels]`, in any unit.
        smoothness: price, in nats, of two labels on neighbours of the same colour at distance 1.
        contrast: how strong an edge must be to go free, in mean squared differences.
    """

    unary: Float[Tensor, "*batch height width labels"]
    image: Shaped[Tensor, "*batch height width channels"]
    smoothness: Annotated[float, Ge(0)] = 4.0
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
        for offset, weights in zip(EIGHT, self.weights, strict=True):
            here, there = neighbours(offset)
            total = total + torch.where(x[here] != x[there], weights, 0.0).sum((-2, -1))
        return total

    @property
    def weights(self) -> tuple[Float[Tensor, "*batch rows columns"], ...]:
        """W of each pixel and its neighbour to the right, below, and on the two diagonals."""
        # what may be learned may change under us, so nothing made from it is kept
        return self._weigh() if self.image.requires_grad else self._plain_weights

    @cached_property
    def _plain_weights(self) -> tuple[Float[Tensor, "*batch rows columns"], ...]:
        return self._weigh()

    def _weigh(self) -> tuple[Float[Tensor, "*batch rows columns"], ...]:
        image = self.image.to(self.unary.dtype)
        squares = [
            (image[(*here, slice(None))] - image[(*there, slice(None))]).square().sum(-1)
            for here, there in map(neighbours, EIGHT)
        ]
        pairs = sum(square.shape[-2] * square.shape[-1] for square in squares)
        mean = torch.stack([square.sum((-2, -1)) for square in squares]).sum(0) / max(pairs, 1)
        # an image of one colour has no edges to spare: every weight is `smoothness`
        variance = (self.contrast * mean).clamp(min=torch.finfo(mean.dtype).tiny)[..., None, None]
        return tuple(
            self.smoothness / hypot(*offset) * torch.exp(-square / (2 * variance))
            for offset, square in zip(EIGHT, squares, strict=True)
        )

    @property
    def graph(self) -> FactorGraph:
        """The factors on the flattened grid, row by row."""
        tracked = self.unary.requires_grad or self.image.requires_grad
        return self._make_graph() if tracked else self._plain_graph

    @cached_property
    def _plain_graph(self) -> FactorGraph:
        return self._make_graph()

    def _make_graph(self) -> FactorGraph:
        *batch, height, width, labels = self.unary.shape
        pixels = torch.arange(height * width, device=self.unary.device).unsqueeze(-1)
        total = height * width * labels
        unary = TableGroup(
            scope=pixels, first=pixels * labels, tables=self.unary.flatten(-3, -2), total=total
        )
        potts = [
            GridPottsGroup(
                weights=weights,
                offset=offset,
                height=height,
                width=width,
                labels=labels,
                total=total,
            )
            for offset, weights in zip(EIGHT, self.weights, strict=True)
        ]
        return FactorGraph(
            counts=self.space.counts.flatten(),
            groups=(unary, *potts),
            constant=self.unary.new_zeros(batch),
        )
