"""Compiles the kernels of this plugin, so that no time budget is spent on it later."""

import torch

from groundstate.solving import solve
from groundstate_messages.dual_decomposition import DualDecomposition
from groundstate_messages.trw import TRWBP
from groundstate_messages.trws import TRWS
from groundstate_mrf.factor_graph import factor_graph


def warm() -> None:
    """Solve a small problem; numba keeps what it compiles."""
    pairs = [((i, i + 1), torch.rand(2, 2)) for i in range(2)]
    energy = factor_graph([2, 2, 2], [*pairs, ((0, 2), torch.rand(2, 2))])
    solve(energy, DualDecomposition(), steps=3)
    solve(energy, TRWS(), steps=3)
    solve(energy, TRWBP(), steps=3)


if __name__ == "__main__":
    warm()
