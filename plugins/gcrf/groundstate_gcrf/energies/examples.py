"""Small instances of the energies, in float64, for the laws of the test kit."""

import torch
from torch import Tensor

from groundstate_gcrf.energies.label_grid import OFFSETS
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.sparse import (
    graph_gcrf,
    graph_gcrf_potts,
    grid_gcrf_general,
    grid_gcrf_potts,
)


def _normal(seed: int, *shape: int, size: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return size * torch.randn(shape, generator=rng, dtype=torch.float64)


def _per_offset(
    seed: int, neighbours: int, pixels: tuple[int, int], *labels: int, batch: tuple[int, ...] = ()
) -> list[Tensor]:
    height, width = pixels
    return [
        _normal(seed + i, *batch, max(height - dy, 0), max(width - abs(dx), 0), *labels, size=0.3)
        for i, (dy, dx) in enumerate(OFFSETS[neighbours])
    ]


def general_grids() -> list[GaussianCrf]:
    """4, 8 and 12 neighbours; a batch; right-hand sides of one matrix; rescaled."""
    return [
        grid_gcrf_general(
            unary=_normal(0, 2, 3, 4), terms=_per_offset(1, 4, (3, 4), 2, 2), diagonal=4.0
        ),
        grid_gcrf_general(
            unary=_normal(2, 2, 3, 2, 3, 3),
            terms=_per_offset(3, 8, (3, 3), 2, 2, batch=(3,)),
            diagonal=5.0,
        ),
        grid_gcrf_general(
            unary=_normal(4, 2, 3, 3, 2),
            terms=_per_offset(5, 12, (3, 2), 3, 3),
            diagonal=0.5,
            guard="rescale",
        ),
    ]


def potts_grids() -> list[GaussianCrf]:
    """The same with weights shared by labels."""
    return [
        grid_gcrf_potts(unary=_normal(0, 3, 3, 4), weights=_per_offset(1, 4, (3, 4)), diagonal=4.0),
        grid_gcrf_potts(
            unary=_normal(2, 2, 3, 2, 3, 3),
            weights=_per_offset(3, 8, (3, 3), batch=(3,)),
            diagonal=5.0,
        ),
        grid_gcrf_potts(
            unary=_normal(4, 2, 3, 3, 2),
            weights=_per_offset(5, 12, (3, 2)),
            diagonal=0.5,
            guard="rescale",
        ),
    ]


def _edges() -> Tensor:
    return torch.tensor([[0, 1, 3, 4, 0], [1, 2, 2, 0, 3]])


def graphs() -> list[GaussianCrf]:
    """A graph with a cycle; a batch of parameters."""
    return [
        graph_gcrf(
            unary=_normal(0, 2, 5), edge_index=_edges(), terms=_normal(1, 5, 2, 2), diagonal=5.0
        ),
        graph_gcrf(
            unary=_normal(2, 2, 3, 3, 6),
            edge_index=_edges(),
            terms=_normal(3, 3, 5, 3, 3),
            diagonal=1.0,
            guard="rescale",
        ),
    ]


def potts_graphs() -> list[GaussianCrf]:
    """The same with weights shared by labels."""
    return [
        graph_gcrf_potts(
            unary=_normal(0, 3, 5), edge_index=_edges(), weights=_normal(1, 5), diagonal=9.0
        ),
        graph_gcrf_potts(
            unary=_normal(2, 2, 3, 3, 6),
            edge_index=_edges(),
            weights=_normal(3, 3, 5),
            diagonal=1.0,
            guard="rescale",
        ),
    ]


def low_ranks() -> list[GaussianCrf]:
    """Fewer ranks than variables and more; batches."""
    return [
        low_rank_gcrf(unary=_normal(0, 2, 2, 3), embeddings=_normal(1, 3, 2, 2, 3), diagonal=0.5),
        low_rank_gcrf(
            unary=_normal(2, 2, 3, 2, 2, 2),
            embeddings=_normal(3, 3, 9, 2, 2, 2),
            diagonal=torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64),
        ),
    ]


def low_rank_potts() -> list[GaussianCrf]:
    """Definite as given, and rescaled; batches."""
    return [
        low_rank_potts_gcrf(
            unary=_normal(0, 3, 2, 3), embeddings=_normal(1, 4, 2, 3, size=0.3), diagonal=2.0
        ),
        low_rank_potts_gcrf(
            unary=_normal(2, 2, 3, 2, 3, 2),
            embeddings=_normal(3, 3, 2, 3, 2),
            diagonal=1.0,
            guard="rescale",
        ),
    ]
