"""The best configuration seen in a solve, for each problem of a batch."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.certify import rounding
from groundstate.energy import Energy
from groundstate.space import Real


@dataclass(kw_only=True)
class Incumbent:
    """The best so far.

    Attributes:
        x: the configuration; None before the first.
        energy: its energy, in nats.
        lowest: the lowest energy seen, which a later configuration may stand for within rounding.
    """

    x: Shaped[Tensor, "..."] | None = None
    energy: Float[Tensor, "..."] | None = None
    lowest: Float[Tensor, "..."] | None = None

    @property
    def configuration(self) -> Shaped[Tensor, "..."]:
        """The best; there is one once something was kept."""
        assert self.x is not None
        return self.x

    def keep(self, energy: Energy, x: Shaped[Tensor, "..."], value: Float[Tensor, "..."]) -> None:
        """Keep the best. Real configurations that rounding cannot tell apart: the later one.

        Close to a minimum energies are equal long before configurations are converged. They are
        held against the lowest seen, so that many small rises do not add up to a large one.
        """
        if self.x is None or self.energy is None or self.lowest is None:
            self.x, self.energy, self.lowest = x, value, value
            return
        better = (value <= self.lowest) | self.energy.isnan()
        if isinstance(energy.space, Real) and not bool(better.all()):
            slack = rounding(energy, x, value)
            # terms that overflow tell nothing apart: they must not excuse a diverged configuration
            slack = torch.where(slack.isfinite(), slack, 0.0)
            better = better | (value <= self.lowest + slack)
        if bool(better.all()):
            self.x, self.energy = x, value
        else:
            self.x = torch.where(energy.space.layout.expand(better), x, self.x)
            self.energy = torch.where(better, value, self.energy)
        self.lowest = torch.fmin(self.lowest, value)
