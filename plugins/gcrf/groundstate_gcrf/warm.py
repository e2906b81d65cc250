"""Compiles the kernels of this plugin, so that no time budget is spent on it later."""

import torch

from groundstate.energy import view
from groundstate.move import to
from groundstate.solving import solve
from groundstate.views import SparseMatrix
from groundstate_gcrf.colouring import colour
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.examples import graphs
from groundstate_gcrf.energies.label_grid import OFFSETS
from groundstate_gcrf.energies.low_rank import apply_columns, gram_product
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.sparse import grid_gcrf_general, grid_gcrf_potts
from groundstate_gcrf.examples import grids
from groundstate_gcrf.grid import GridGcrf, grid_gcrf
from groundstate_gcrf.log_determinant import log_determinant
from groundstate_gcrf.potts_cg import PottsConjugateGradients
from groundstate_gcrf.skinny_kernel import combine, inner_products


def warm() -> None:
    """Solve small problems in each floating-point type; numba keeps what it compiles."""
    for dtype in (torch.float32, torch.float64):
        solve(to(grids()[0], dtype=dtype), ConjugateGradients(tolerance=1e-3))
        for neighbours in (4, 8, 12):
            solve(_blocks(neighbours, dtype), ConjugateGradients(tolerance=1e-3))
        solve(to(graphs()[0], dtype=dtype), ConjugateGradients(tolerance=1e-3))
        for neighbours in (4, 8, 12):
            solve(_labels(neighbours, dtype), PottsConjugateGradients(tolerance=1e-3))
        factor = torch.ones(8, 4, dtype=dtype)
        gram_product(factor, factor[0])
        apply_columns(factor, factor[:, 0])
        combine(inner_products(factor, factor), factor, factor.new_ones(()), factor)
        coarsened = ConjugateGradients(tolerance=1e-3, preconditioner="multigrid")
        solve(to(_large_grid(), dtype=dtype), coarsened)
    colour(view(grids()[0], SparseMatrix), 12)
    learned = to(grids()[0], dtype=torch.float64)
    learned.diagonal.requires_grad_()
    log_determinant(learned, method="sparse").value.backward()


def _labels(neighbours: int, dtype: torch.dtype) -> GaussianCrf:
    """Two labels that share the weights of a grid."""
    weights = [torch.ones(4 - dy, 4 - abs(dx), dtype=dtype) for dy, dx in OFFSETS[neighbours]]
    unary = torch.rand(2, 4, 4, dtype=dtype)
    return grid_gcrf_potts(unary=unary, weights=weights, diagonal=20.0)


def _blocks(neighbours: int, dtype: torch.dtype) -> GaussianCrf:
    """Two labels coupled by a block for each edge of a grid."""
    shapes = [(4 - dy, 4 - abs(dx), 2, 2) for dy, dx in OFFSETS[neighbours]]
    terms = [torch.ones(shape, dtype=dtype) for shape in shapes]
    unary = torch.rand(2, 4, 4, dtype=dtype)
    return grid_gcrf_general(unary=unary, terms=terms, diagonal=30.0)


def _large_grid() -> GridGcrf:
    """One that multigrid makes coarser."""
    ones = torch.ones(10, 10)
    return grid_gcrf(image=ones[..., None], pinned=ones, values=ones)


if __name__ == "__main__":
    warm()
