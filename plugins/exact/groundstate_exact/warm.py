"""Compiles the kernels of this plugin, so that no time budget is spent on it later."""

import torch

from groundstate.solving import solve
from groundstate_exact.tree_dp import TreeDP
from groundstate_mrf.factor_graph import factor_graph


def warm() -> None:
    """Solve a small chain; numba keeps what it compiles."""
    solve(factor_graph([2, 2], [((0, 1), torch.rand(2, 2))]), TreeDP(marginals=True))


if __name__ == "__main__":
    warm()
