"""Compiles the kernels of this plugin, so that no time budget is spent on it later."""

import torch

from groundstate.solving import solve
from groundstate_moves.alpha_expansion import AlphaExpansion
from groundstate_moves.fusion import Fusion
from groundstate_moves.graph_cut import GraphCut
from groundstate_moves.lazy_flipper import LazyFlipper
from groundstate_moves.swendsen_wang import SwendsenWang
from groundstate_mrf.factor_graph import factor_graph, potts_edges


def warm() -> None:
    """Solve a small problem with each solver that is compiled; numba keeps what it compiles."""
    counts = torch.full((3,), 2)
    edges = torch.tensor([[0, 1], [1, 2]])
    costs = [((i,), torch.tensor([0.0, 0.5 - i], dtype=torch.float64)) for i in range(3)]
    weights = torch.tensor([0.2, 0.3], dtype=torch.float64)
    energy = factor_graph(counts, costs, potts_edges(counts, edges, weights))
    start = torch.zeros(3, dtype=torch.int64)
    solve(energy, GraphCut(), start)
    solve(energy, AlphaExpansion(violations="refuse"), start)
    solve(energy, Fusion(), start, steps=2)
    solve(energy, LazyFlipper(), start)
    solve(energy, SwendsenWang(), start, steps=2)


if __name__ == "__main__":
    warm()
