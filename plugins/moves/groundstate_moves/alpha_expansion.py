"""`solver/alpha-expansion`: any set of variables at once may change to one label, by minimum cuts.

Boykov, Veksler, Zabih: Fast Approximate Energy Minimization via Graph Cuts (2001), §4-5. Each
expansion is the best there is where V(a, a) + V(b, c) <= V(b, a) + V(a, c) for all labels, that is
for metrics; where no expansion helps, and no cost is negative, the energy is then at most that of a
minimum times 2·max V / min V (over b != c), a factor of 2 for Potts prices (ibid., Theorem 6.1).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline
from groundstate_moves.conditions import require_metric
from groundstate_moves.cycles import (
    MovesState,
    Order,
    Violations,
    begin_moves,
    cycle_moves,
    moves_status,
)
from groundstate_mrf.flat import FlatPairwise, Whole


@dataclass(frozen=True, kw_only=True)
class AlphaExpansion:
    """Expansions of every label in turn. A step is one of each, or as many as the time allows.

    Attributes:
        violations: what to do where an edge is no metric: lower the price it has now until the cut
            can be made, so that the energy still never rises; or raise an error that names the
            edge and the labels.
        order: of the labels; a random one is drawn anew for each step.
    """

    violations: Violations = "truncate"
    order: Order = "fixed"

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> MovesState:
        check = require_metric if self.violations == "refuse" else None
        return begin_moves(energy, x0, rng, lambda labels: labels, self.order, check)

    def step(self, energy: Energy, state: MovesState, deadline: Deadline) -> MovesState:
        return cycle_moves(energy, state, deadline, _expansion)

    def status(self, state: MovesState) -> Int[Tensor, "*batch"]:
        return moves_status(state)


def _expansion(flat: FlatPairwise, labels: Whole, move: int) -> tuple[Whole, Whole] | None:
    """The labelling as it is, and with label `move` wherever there is such a label."""
    right = np.where(flat.counts > move, move, labels)
    return None if np.array_equal(right, labels) else (labels.copy(), right)
