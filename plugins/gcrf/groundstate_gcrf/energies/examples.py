"""Small instances of the energies, in float64, for the laws of the test kit."""

import torch
from torch import Tensor

from groundstate_gcrf.energies.affinity import affinity_gcrf
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.label_grid import OFFSETS
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.multi_resolution import multi_resolution_gcrf, potts_blocks
from groundstate_gcrf.energies.quadratic_sum import OverFrames, QuadraticSum, quadratic_sum
from groundstate_gcrf.energies.sparse import (
    graph_gcrf,
    graph_gcrf_potts,
    grid_gcrf_general,
    grid_gcrf_potts,
)
from groundstate_gcrf.energies.video import video_gcrf


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


def affinities() -> list[GaussianCrf]:
    """Pins alone; two channels and a shared region; held by λ alone; few neighbours each."""
    pinned = torch.zeros(3, 4, dtype=torch.bool)
    pinned[0, 0] = pinned[2, 1] = True
    regions = torch.zeros(2, 3, 4, dtype=torch.bool)
    regions[0, 0, 1:3] = regions[0, 2, 3] = True
    regions[1, 1, :2] = True
    return [
        affinity_gcrf(embeddings=_normal(0, 3, 3, 4), pinned=pinned, values=_normal(1, 3, 4)),
        affinity_gcrf(
            embeddings=_normal(2, 3, 3, 4),
            pinned=pinned,
            values=_normal(3, 2, 3, 4),
            regions=regions,
            strength=1.0,
            tie=3.0,
        ),
        affinity_gcrf(
            embeddings=_normal(4, 2, 1, 3, 2, 2),
            pinned=torch.zeros(2, 2, dtype=torch.bool),
            values=_normal(5, 2, 3, 2, 2),
            diagonal=0.5,
        ),
        affinity_gcrf(
            embeddings=_normal(6, 2, 3, 4),
            pinned=pinned,
            values=_normal(7, 2, 3, 4),
            regions=regions,
            neighbours=3,
            window=3,
            likeness="distance",
            itself=False,
            weakest=0.01,
            smoothness=2.0,
        ),
    ]


def videos() -> list[GaussianCrf]:
    """Every neighbourhood; definite by a bound, by the Gram blocks and by rescaling; batches."""
    return [
        video_gcrf(
            unary=_normal(0, 3, 2, 2, 2),
            spatial=_normal(1, 3, 2, 2, 2, 2),
            temporal=_normal(2, 3, 3, 2, 2, 2, size=0.3),
            diagonal=2.0,
        ),
        video_gcrf(
            unary=_normal(3, 2, 6, 1, 2, 2),
            spatial=_normal(4, 6, 2, 1, 2, 2),
            temporal=_normal(5, 6, 3, 1, 2, 2),
            neighbourhood="6-multiscale",
            temporal_diagonal="gram",
            diagonal=0.5,
        ),
        video_gcrf(
            unary=_normal(6, 2, 4, 2, 1, 2),
            spatial=_normal(7, 2, 4, 2, 2, 1, 2),
            temporal=_normal(8, 2, 4, 1, 2, 1, 2),
            neighbourhood="2",
            guard="rescale",
        ),
    ]


def resolutions() -> list[GaussianCrf]:
    """Coupled with shared weights, batched; decoupled with general blocks."""
    sizes = [(4, 3), (2, 2), (1, 1)]
    pairs = [(4, 3), (4, 3), (2, 2)]
    coupled = multi_resolution_gcrf(
        unaries=[_normal(i, 2, 2, *size) for i, size in enumerate(sizes)],
        terms=[
            [potts_blocks(each, 2) for each in _per_offset(3 + 4 * i, 8, size)]
            for i, size in enumerate(sizes)
        ],
        between=[potts_blocks(0.2 * _normal(20 + i, *size), 2) for i, size in enumerate(pairs)],
        diagonal=6.0,
    )
    apart = multi_resolution_gcrf(
        unaries=[_normal(i, 2, *size) for i, size in enumerate(sizes)],
        terms=[_per_offset(30 + 4 * i, 4, size, 2, 2) for i, size in enumerate(sizes)],
        diagonal=4.0,
    )
    return [coupled, apart]


def inverses() -> list[GaussianCrf]:
    """Fewer ranks than variables and more; batches."""
    return [
        inverse_gcrf(unary=_normal(0, 2, 2, 3), embeddings=_normal(1, 3, 2, 2, 3), diagonal=0.5),
        inverse_gcrf(
            unary=_normal(2, 2, 3, 2, 2, 2),
            embeddings=_normal(3, 3, 9, 2, 2, 2),
            diagonal=torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64),
        ),
    ]


def sums() -> list[QuadraticSum]:
    """Dense plus sparse, of which one is batched; terms within frames plus terms in time."""
    dense = low_rank_gcrf(unary=_normal(0, 2, 3, 2), embeddings=_normal(1, 3, 2, 3, 2))
    sparse = grid_gcrf_potts(
        unary=_normal(2, 2, 2, 3, 2), weights=_per_offset(3, 4, (3, 2)), diagonal=4.0
    )
    frames = grid_gcrf_potts(
        unary=_normal(4, 3, 2, 2, 2), weights=_per_offset(5, 4, (2, 2)), diagonal=4.0
    )
    video = videos()[0]
    return [
        quadratic_sum(energies=[dense, sparse]),
        quadratic_sum(energies=[OverFrames(energy=frames), video]),
    ]
