"""`model/potts-grid`: learned costs and couplings of a grid; two labels make an Ising model."""

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from groundstate.learning import Batch
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.tables import TableGroup


class PottsGrid(nn.Module):
    """A Markov random field on the 4-neighbour grid, E(y) = Σ u_i(y_i) + Σ w_ij 1[y_i ≠ y_j].

    Its energies are flat: pixels row by row. The cost of label 0 is fixed at 0, since only
    differences matter, so the parameters are identified.

    Attributes:
        cost: cost of labels 1, 2, ... of each pixel, in nats.
        right: w to the neighbour on the right.
        down: w to the neighbour below.
    """

    def __init__(
        self,
        *,
        height: Annotated[int, Ge(2)],
        width: Annotated[int, Ge(2)],
        labels: Annotated[int, Ge(2)] = 2,
    ) -> None:
        super().__init__()
        self.cost = nn.Parameter(torch.zeros(height, width, labels - 1))
        self.right = nn.Parameter(torch.zeros(height, width - 1))
        self.down = nn.Parameter(torch.zeros(height - 1, width))

    def forward(self, batch: Batch, /) -> FactorGraphEnergy:
        """The energy; it does not depend on the batch."""
        height, width = self.cost.shape[:2]
        labels = self.cost.shape[2] + 1
        pixels = torch.arange(height * width, device=self.cost.device)
        unary = TableGroup(
            scope=pixels.unsqueeze(-1),
            first=pixels.unsqueeze(-1) * labels,
            tables=self._costs(),
            total=height * width * labels,
        )
        potts = [
            GridPottsGroup(
                weights=weights,
                offset=offset,
                height=height,
                width=width,
                labels=labels,
                total=height * width * labels,
            )
            for weights, offset in ((self.right, (0, 1)), (self.down, (1, 0)))
        ]
        return FactorGraphEnergy(
            counts=torch.full((height * width,), labels, device=self.cost.device),
            groups=(unary, *potts),
            constant=self.cost.new_zeros(()),
        )

    def _costs(self) -> Float[Tensor, "pixels labels"]:
        return torch.nn.functional.pad(self.cost.flatten(0, 1), (1, 0))
