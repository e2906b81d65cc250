"""The records of the energies of this folder."""

from collections.abc import Iterable

from groundstate import Component

_SPARSE = (
    "Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference for Semantic Image Segmentation "
    "with Deep Gaussian CRFs (2016)"
)
_DENSE = "Chandra, Usunier, Kokkinos: Dense and Low-Rank Gaussian CRFs Using Deep Embeddings (2017)"
_VIDEO = (
    "Chandra, Couprie, Kokkinos: Deep Spatio-Temporal Random Fields for Efficient Video "
    "Segmentation (2018)"
)
_AFFINITY = (
    "Messaoud, Forsyth, Schwing: Structural Consistency and Controllability for Diverse "
    "Colorization (2018)"
)
_HERE = "groundstate_gcrf.energies"


def energies() -> Iterable[Component]:
    """What there is."""
    yield Component(
        kind="energy",
        name="grid-gcrf-general",
        target=f"{_HERE}.sparse:grid_gcrf_general",
        summary="label scores on a pixel grid, 4, 8 or 12 neighbours coupled by L×L blocks",
        source=_SPARSE,
        gives=("Density", "EdgeBlocks", "Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:general_grids",
    )
    yield Component(
        kind="energy",
        name="grid-gcrf-potts",
        target=f"{_HERE}.sparse:grid_gcrf_potts",
        summary="label scores on a pixel grid, neighbours coupled by one weight for unequal labels",
        source=_SPARSE,
        gives=("Density", "PottsStructure", "Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:potts_grids",
    )
    yield Component(
        kind="energy",
        name="graph-gcrf",
        target=f"{_HERE}.sparse:graph_gcrf",
        summary="label scores on any graph, coupled by L×L blocks",
        source=_SPARSE,
        gives=("Density", "EdgeBlocks", "Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:graphs",
    )
    yield Component(
        kind="energy",
        name="graph-gcrf-potts",
        target=f"{_HERE}.sparse:graph_gcrf_potts",
        summary="label scores on any graph, coupled by one weight for unequal labels",
        source=_SPARSE,
        gives=("Density", "PottsStructure", "Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:potts_graphs",
    )
    yield Component(
        kind="energy",
        name="low-rank-gcrf",
        target=f"{_HERE}.low_rank:low_rank_gcrf",
        summary="all pixels and labels coupled by inner products of embeddings",
        source=_DENSE,
        gives=("Density", "Factored", "LowRank", "Quadratic"),
        examples=f"{_HERE}.examples:low_ranks",
    )
    yield Component(
        kind="energy",
        name="low-rank-potts-gcrf",
        target=f"{_HERE}.low_rank_potts:low_rank_potts_gcrf",
        summary="all pixels coupled by embeddings, shared by all pairs of unequal labels",
        source=_DENSE,
        gives=("Density", "PottsStructure", "Quadratic"),
        examples=f"{_HERE}.examples:low_rank_potts",
    )
    yield Component(
        kind="energy",
        name="affinity-gcrf",
        target=f"{_HERE}.affinity:affinity_gcrf",
        summary="each pixel the mean of those that look alike; pins; regions that share a value",
        source=_AFFINITY,
        gives=("Density", "Factored", "Quadratic"),
        examples=f"{_HERE}.examples:affinities",
    )
    yield Component(
        kind="energy",
        name="video-gcrf",
        target=f"{_HERE}.video:video_gcrf",
        summary="label scores in a video, frames coupled in time by embeddings",
        source=_VIDEO,
        gives=("Density", "Factored", "Quadratic", "VideoStructure"),
        examples=f"{_HERE}.examples:videos",
    )
    yield Component(
        kind="energy",
        name="multi-resolution-gcrf",
        target=f"{_HERE}.multi_resolution:multi_resolution_gcrf",
        summary="label scores at several resolutions in one system, coupled or not",
        source=_SPARSE,
        gives=("Density", "EdgeBlocks", "Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:resolutions",
    )
    yield Component(
        kind="energy",
        name="inverse-gcrf",
        target=f"{_HERE}.inverse:inverse_gcrf",
        summary="a covariance of low rank is given, so the minimum needs no solve",
        source=_DENSE,
        gives=("Covariance", "Density", "Factored", "LowRank", "Quadratic"),
        examples=f"{_HERE}.examples:inverses",
    )
    yield Component(
        kind="energy",
        name="quadratic-sum",
        target=f"{_HERE}.quadratic_sum:quadratic_sum",
        summary="several quadratic energies at once, such as dense plus sparse plus temporal",
        source=_VIDEO,
        gives=("Density", "Quadratic"),
        examples=f"{_HERE}.examples:sums",
    )
