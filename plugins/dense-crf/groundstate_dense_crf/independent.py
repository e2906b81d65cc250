"""Independent labels as an energy: what a network that gives beliefs hands to losses."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Views
from groundstate.factors import FactorGraph
from groundstate.space import Discrete
from groundstate_mrf.groups.tables import TableGroup


@dataclass(frozen=True, kw_only=True)
class IndependentLabels:
    """E(y) = -Σ_i log q_i(y_i): normalised, so -E is the log probability.

    Attributes:
        log_beliefs: log q, `[*batch, height, width, labels]`.
    """

    log_beliefs: Float[Tensor, "*batch height width labels"]

    @property
    def space(self) -> Discrete:
        return self._space

    @cached_property
    def _space(self) -> Discrete:
        *batch, height, width, labels = self.log_beliefs.shape
        counts = torch.full((height, width), labels, device=self.log_beliefs.device)
        return Discrete(counts=counts, batch_shape=tuple(batch))

    @property
    def views(self) -> Views:
        return {FactorGraph: lambda: self.graph}

    @property
    def graph(self) -> FactorGraph:
        """A factor for each pixel."""
        costs = -self.log_beliefs.flatten(-3, -2)
        *batch, pixels, labels = costs.shape
        scope = torch.arange(pixels, device=costs.device).unsqueeze(-1)
        group = TableGroup(scope=scope, first=scope * labels, tables=costs, total=pixels * labels)
        return FactorGraph(
            counts=self.space.counts.flatten(), groups=(group,), constant=costs.new_zeros(batch)
        )

    def __call__(self, x: Int[Tensor, "*shape height width"], /) -> Float[Tensor, "*shape"]:
        self.space.validate(x)
        chosen = self.log_beliefs.expand(*x.shape, -1).gather(-1, x.unsqueeze(-1))
        return -chosen.squeeze(-1).sum((-2, -1))
