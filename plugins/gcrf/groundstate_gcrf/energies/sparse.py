"""`energy/grid-gcrf-general`, `-potts`, `energy/graph-gcrf`, `-potts`: sparse Gaussian CRFs.

E(x) = ½xᵀ(A + λI)x - bᵀx with A on the edges of a graph (Chandra and Kokkinos 2016; Gaussian CRF
spec §2, §3). Nothing in the model makes it positive definite: see `guard`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, TypeVar

from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_gcrf.energies.graph import GraphCoupling, GraphMatrix
from groundstate_gcrf.energies.guard import Guard
from groundstate_gcrf.energies.guarded import guarded
from groundstate_gcrf.energies.label_grid import GridCoupling, GridMatrix
from groundstate_gcrf.energies.matrix import GaussianCrf, as_scale, spread
from groundstate_gcrf.energies.potts import PottsMatrix


def grid_gcrf_general(
    *,
    unary: Float[Tensor, "..."],
    terms: Sequence[Float[Tensor, "..."]],
    diagonal: Annotated[float, Gt(0)] | Tensor = 10.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels on a pixel grid, neighbours coupled by general L×L blocks.

    Args:
        unary: b, `[*batch, labels, height, width]`.
        terms: for each offset of `label_grid.OFFSETS` (2, 4 or 6 of them for 4, 8 or 12
            neighbours), `[*batch, height - |dy|, width - |dx|, labels, labels]`.
        diagonal: λ, above 0, broadcastable to the batch.
        guard: what to do where A is not proved to be positive definite.
    """
    _check_unary(unary, 3, "[*batch, labels, height, width]")
    scale = as_scale(diagonal, unary)
    # blocks of a network come with other strides, and every product would copy them
    parts = tuple(each.contiguous() for each in terms)
    matrix = GridMatrix(terms=parts, pixel_shape=tuple(unary.shape[-2:]), scale=scale)

    def times(factor: Tensor) -> GridMatrix:
        return replace(matrix, terms=tuple(spread(factor, 4) * each for each in parts))

    return guarded(matrix, unary, scale, guard, radius=matrix.radius, times=times)


def grid_gcrf_potts(
    *,
    unary: Float[Tensor, "..."],
    weights: Sequence[Float[Tensor, "..."]],
    diagonal: Annotated[float, Gt(0)] | Tensor = 10.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels on a pixel grid, neighbours coupled by one weight for all unequal labels.

    Args:
        unary: b, `[*batch, labels, height, width]`.
        weights: Ψ, for each offset of `label_grid.OFFSETS` `[*batch, height - |dy|, width -
            |dx|]`; positive discourages different labels.
        diagonal: λ, above 0, broadcastable to the batch.
        guard: what to do where A is not proved to be positive definite.
    """
    _check_unary(unary, 3, "[*batch, labels, height, width]")
    coupling = GridCoupling(weights=tuple(weights), pixel_shape=tuple(unary.shape[-2:]))

    def times(factor: Tensor) -> GridCoupling:
        return replace(coupling, weights=tuple(spread(factor, 2) * each for each in weights))

    return _shared_by_labels(unary, unary.shape[-3], diagonal, coupling, times, guard)


def graph_gcrf(
    *,
    unary: Float[Tensor, "..."],
    edge_index: Int[Tensor, "2 edges"],
    terms: Float[Tensor, "..."],
    diagonal: Annotated[float, Gt(0)] | Tensor = 10.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels on the nodes of a graph, coupled by general L×L blocks.

    Args:
        unary: b, `[*batch, labels, nodes]`.
        edge_index: the two ends of each edge, each edge once.
        terms: `[*batch, edges, labels, labels]`; [l, m] couples label l of the first end with label
            m of the second.
        diagonal: λ, above 0, broadcastable to the batch.
        guard: what to do where A is not proved to be positive definite.
    """
    _check_unary(unary, 2, "[*batch, labels, nodes]")
    scale, nodes = as_scale(diagonal, unary), unary.shape[-1]
    matrix = GraphMatrix(edge_index=edge_index, terms=terms.contiguous(), scale=scale, nodes=nodes)

    def times(factor: Tensor) -> GraphMatrix:
        return replace(matrix, terms=spread(factor, 3) * matrix.terms)

    return guarded(matrix, unary, scale, guard, radius=matrix.radius, times=times)


def graph_gcrf_potts(
    *,
    unary: Float[Tensor, "..."],
    edge_index: Int[Tensor, "2 edges"],
    weights: Float[Tensor, "..."],
    diagonal: Annotated[float, Gt(0)] | Tensor = 10.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels on the nodes of a graph, coupled by one weight for all unequal labels.

    Args:
        unary: b, `[*batch, labels, nodes]`.
        edge_index: the two ends of each edge, each edge once.
        weights: Ψ, `[*batch, edges]`; positive discourages different labels.
        diagonal: λ, above 0, broadcastable to the batch.
        guard: what to do where A is not proved to be positive definite.
    """
    _check_unary(unary, 2, "[*batch, labels, nodes]")
    labels, nodes = unary.shape[-2:]
    coupling = GraphCoupling(edge_index=edge_index, weights=weights, nodes=nodes)

    def times(factor: Tensor) -> GraphCoupling:
        return replace(coupling, weights=spread(factor, 1) * weights)

    return _shared_by_labels(unary, labels, diagonal, coupling, times, guard)


C = TypeVar("C", GridCoupling, GraphCoupling)


def _shared_by_labels(
    unary: Tensor,
    labels: int,
    diagonal: float | Tensor,
    coupling: C,
    times: Callable[[Tensor], C],
    guard: Guard,
) -> GaussianCrf:
    """The energy of one coupling for all pairs of unequal labels."""
    matrix = PottsMatrix(coupling=coupling, labels=labels, scale=as_scale(diagonal, unary))
    return guarded(
        matrix,
        unary,
        matrix.scale,
        guard,
        radius=lambda: (labels - 1) * coupling.radius(),
        times=lambda factor: replace(matrix, coupling=times(factor)),
    )


def _check_unary(unary: Tensor, dimensions: int, shape: str) -> None:
    if unary.dim() < dimensions or not unary.is_floating_point():
        raise ValueError(
            f"unary must be {shape} of a floating-point type, got the shape {tuple(unary.shape)} "
            f"of {unary.dtype}"
        )
