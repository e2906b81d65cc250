"""`energy/multi-resolution-gcrf`: one system over several resolutions of an image.

Neighbours are coupled within each resolution, and each pixel with the coarser pixel that it lies in
(Chandra and Kokkinos 2016, §3.4; Gaussian CRF spec §5). Without the terms between resolutions it is
the decoupled variant: the same solves as one by one. The event is `[labels, pixels]` with the
pixels of all resolutions end to end; `split_resolutions` and `fuse_resolutions` read the result.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_gcrf.energies.graph import GraphMatrix
from groundstate_gcrf.energies.guard import Guard
from groundstate_gcrf.energies.guarded import guarded
from groundstate_gcrf.energies.label_grid import GridMatrix, flat_terms, grid_edges
from groundstate_gcrf.energies.matrix import GaussianCrf, as_scale, spread
from groundstate_gcrf.structure import common_shape

Size = tuple[int, int]


def multi_resolution_gcrf(
    *,
    unaries: Sequence[Float[Tensor, "..."]],
    terms: Sequence[Sequence[Float[Tensor, "..."]]],
    between: Sequence[Float[Tensor, "..."]] | None = None,
    diagonal: Annotated[float, Gt(0)] | Tensor = 10.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels at several resolutions, coupled within and between them.

    Args:
        unaries: b of each resolution, `[*batch, labels, height, width]`, finest first.
        terms: of each resolution, as `terms` of `energy/grid-gcrf-general`; `potts_blocks` makes
            them from weights shared by labels.
        between: for each pair of resolutions, in the order (0, 1), (0, 2), ..., (1, 2), ..., the
            blocks that couple each finer pixel with the coarser one it lies in: `[*batch, height,
            width, labels, labels]` of the finer one. None couples no resolutions.
        diagonal: λ, above 0, broadcastable to the batch.
        guard: what to do where A is not proved to be positive definite.
    """
    if len(unaries) != len(terms) or not unaries:
        raise ValueError(
            f"each resolution must have unaries and terms, got {len(unaries)} and {len(terms)}"
        )
    sizes = [_size(each) for each in unaries]
    scale = as_scale(diagonal, unaries[0])
    edges, blocks = _within(sizes, terms, scale)
    if between is not None:
        _extend(edges, blocks, sizes, between)
    batch = common_shape(*(each.shape[:-3] for each in blocks))
    batches = [tuple(each.shape[:-3]) for each in unaries]
    linear = [each.flatten(-2).expand(*common_shape(*batches), -1, -1) for each in unaries]
    matrix = GraphMatrix(
        edge_index=torch.cat(edges, dim=-1),
        terms=torch.cat([each.expand(*batch, *each.shape[-3:]) for each in blocks], dim=-3),
        scale=scale,
        nodes=sum(height * width for height, width in sizes),
    )

    def times(factor: Tensor) -> GraphMatrix:
        return replace(matrix, terms=spread(factor, 3) * matrix.terms)

    whole = torch.cat(linear, dim=-1)
    return guarded(matrix, whole, scale, guard, radius=matrix.radius, times=times)


def potts_blocks(weights: Float[Tensor, "..."], labels: int) -> Float[Tensor, "..."]:
    """Blocks `[..., labels, labels]` with one weight for all pairs of unequal labels."""
    unequal = 1 - torch.eye(labels, dtype=weights.dtype, device=weights.device)
    return spread(weights, 2) * unequal


def partners(fine: Size, coarse: Size) -> Int[Tensor, " fine_pixels"]:
    """The coarser pixel that each finer one lies in: (⌊h·H'/H⌋, ⌊w·W'/W⌋), both flattened."""
    row = torch.arange(fine[0]) * coarse[0] // fine[0]
    column = torch.arange(fine[1]) * coarse[1] // fine[1]
    return (row[:, None] * coarse[1] + column).flatten()


def split_resolutions(x: Float[Tensor, "..."], sizes: Sequence[Size]) -> list[Float[Tensor, "..."]]:
    """The configuration of each resolution, `[..., labels, height, width]`."""
    pieces = torch.split(x, [height * width for height, width in sizes], dim=-1)
    return [
        piece.reshape(*piece.shape[:-1], *size) for piece, size in zip(pieces, sizes, strict=True)
    ]


def fuse_resolutions(x: Float[Tensor, "..."], sizes: Sequence[Size]) -> Float[Tensor, "..."]:
    """The mean over resolutions, each brought to the finest, `[..., labels, height, width]`."""
    finest, *coarser = split_resolutions(x, sizes)
    total = finest
    for each, size in zip(coarser, sizes[1:], strict=True):
        index = partners(sizes[0], size).to(x.device)
        total = total + each.flatten(-2)[..., index].reshape(finest.shape)
    return total / len(sizes)


def _size(unary: Tensor) -> Size:
    if unary.dim() < 3:
        raise ValueError(
            f"unaries must be [*batch, labels, height, width], got the shape {tuple(unary.shape)}"
        )
    return unary.shape[-2], unary.shape[-1]


def _within(
    sizes: Sequence[Size], terms: Sequence[Sequence[Tensor]], scale: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Edges and blocks inside each resolution."""
    edges: list[Tensor] = []
    blocks: list[Tensor] = []
    offset = 0
    for size, each in zip(sizes, terms, strict=True):
        checked = GridMatrix(terms=tuple(each), pixel_shape=size, scale=scale).terms
        edges.append(offset + grid_edges(size, len(checked), scale.device))
        blocks.append(flat_terms(checked, 2))
        offset += size[0] * size[1]
    return edges, blocks


def _extend(
    edges: list[Tensor], blocks: list[Tensor], sizes: Sequence[Size], between: Sequence[Tensor]
) -> None:
    """Append edges and blocks between resolutions."""
    pairs = list(combinations(range(len(sizes)), 2))
    if len(between) != len(pairs):
        raise ValueError(
            f"{len(sizes)} resolutions have the pairs {pairs}, so between must hold {len(pairs)} "
            f"tensors, got {len(between)}"
        )
    begins = [sum(h * w for h, w in sizes[:level]) for level in range(len(sizes))]
    device, labels = blocks[0].device, blocks[0].shape[-1]
    for (fine, coarse), each in zip(pairs, between, strict=True):
        expected = (*sizes[fine], labels, labels)
        if tuple(each.shape[-4:]) != expected:
            raise ValueError(
                f"between of the resolutions {(fine, coarse)} must end in {expected}, got the "
                f"shape {tuple(each.shape)}"
            )
        here = begins[fine] + torch.arange(sizes[fine][0] * sizes[fine][1])
        there = begins[coarse] + partners(sizes[fine], sizes[coarse])
        edges.append(torch.stack([here, there]).to(device))
        blocks.append(each.flatten(-4, -3))
