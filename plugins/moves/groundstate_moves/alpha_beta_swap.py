"""`solver/alpha-beta-swap`: any set of variables with two labels may exchange them, by cuts.

Boykov, Veksler, Zabih: Fast Approximate Energy Minimization via Graph Cuts (2001), §3. Each swap is
the best there is where V(a, a) + V(b, b) <= V(a, b) + V(b, a) for all labels, that is for
semi-metrics, such as truncated quadratic prices. There is no bound on how far from the minimum it
ends.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline
from groundstate_moves.conditions import require_semi_metric
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
class AlphaBetaSwap:
    """Swaps of every two labels in turn. A step is one of each, or as many as the time allows.

    Attributes:
        violations: what to do where an edge is no semi-metric: lower the price of its first two
            labels until the cut can be made, and make no swap that raises the energy; or raise an
            error that names the edge and the labels.
        order: of the pairs; a random one is drawn anew for each step.
    """

    violations: Violations = "truncate"
    order: Order = "fixed"

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> MovesState:
        check = require_semi_metric if self.violations == "refuse" else None
        return begin_moves(energy, x0, rng, _pairs, self.order, check)

    def step(self, energy: Energy, state: MovesState, deadline: Deadline) -> MovesState:
        labels = max(int(each.flat.counts.max(initial=1)) for each in state.problems)
        pairs = list(combinations(range(labels), 2)) or [(0, 0)]

        def swap(flat: FlatPairwise, now: Whole, move: int) -> tuple[Whole, Whole] | None:
            return _swap(flat, now, *pairs[move])

        return cycle_moves(energy, state, deadline, swap)

    def status(self, state: MovesState) -> Int[Tensor, "*batch"]:
        return moves_status(state)


def _pairs(labels: int) -> int:
    return max(labels * (labels - 1) // 2, 1)


def _swap(flat: FlatPairwise, labels: Whole, low: int, high: int) -> tuple[Whole, Whole] | None:
    """All variables that have one of the two labels, and may have both, with the one or the other.

    A variable without the higher label keeps what it has.
    """
    free = ((labels == low) | (labels == high)) & (flat.counts > high)
    if low == high or not bool(free.any()):
        return None
    return np.where(free, low, labels), np.where(free, high, labels)
