"""The records of the energies of this folder."""

from collections.abc import Iterable

from groundstate import Component

_SPARSE = (
    "Chandra, Kokkinos: Fast, Exact and Multi-Scale Inference for Semantic Image Segmentation "
    "with Deep Gaussian CRFs (2016)"
)
_DENSE = "Chandra, Usunier, Kokkinos: Dense and Low-Rank Gaussian CRFs Using Deep Embeddings (2017)"
_HERE = "groundstate_gcrf.energies"


def energies() -> Iterable[Component]:
    """What there is."""
    yield Component(
        kind="energy",
        name="grid-gcrf-general",
        target=f"{_HERE}.sparse:grid_gcrf_general",
        summary="label scores on a pixel grid, 4, 8 or 12 neighbours coupled by L×L blocks",
        source=_SPARSE,
        gives=("Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:general_grids",
    )
    yield Component(
        kind="energy",
        name="grid-gcrf-potts",
        target=f"{_HERE}.sparse:grid_gcrf_potts",
        summary="label scores on a pixel grid, neighbours coupled by one weight for unequal labels",
        source=_SPARSE,
        gives=("Quadratic", "PottsStructure", "SparseMatrix"),
        examples=f"{_HERE}.examples:potts_grids",
    )
    yield Component(
        kind="energy",
        name="graph-gcrf",
        target=f"{_HERE}.sparse:graph_gcrf",
        summary="label scores on any graph, coupled by L×L blocks",
        source=_SPARSE,
        gives=("Quadratic", "SparseMatrix"),
        examples=f"{_HERE}.examples:graphs",
    )
    yield Component(
        kind="energy",
        name="graph-gcrf-potts",
        target=f"{_HERE}.sparse:graph_gcrf_potts",
        summary="label scores on any graph, coupled by one weight for unequal labels",
        source=_SPARSE,
        gives=("Quadratic", "PottsStructure", "SparseMatrix"),
        examples=f"{_HERE}.examples:potts_graphs",
    )
    yield Component(
        kind="energy",
        name="low-rank-gcrf",
        target=f"{_HERE}.low_rank:low_rank_gcrf",
        summary="all pixels and labels coupled by inner products of embeddings",
        source=_DENSE,
        gives=("Factored", "LowRank", "Quadratic"),
        examples=f"{_HERE}.examples:low_ranks",
    )
    yield Component(
        kind="energy",
        name="low-rank-potts-gcrf",
        target=f"{_HERE}.low_rank_potts:low_rank_potts_gcrf",
        summary="all pixels coupled by embeddings, shared by all pairs of unequal labels",
        source=_DENSE,
        gives=("PottsStructure", "Quadratic"),
        examples=f"{_HERE}.examples:low_rank_potts",
    )
