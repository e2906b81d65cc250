"""Each view that tells how A is made, written out by its definition, is the A of the products."""

import math
from collections.abc import Callable

import pytest
import torch
from plugins.gcrf.tests.crfs import dense
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy, view
from groundstate.solving import solve
from groundstate.targets import examples_of
from groundstate.views import SparseMatrix
from groundstate_gcrf.cholesky import cholesky
from groundstate_gcrf.potts_split import potts_split
from groundstate_gcrf.structure import (
    EdgeBlocks,
    GridStencil,
    LowRank,
    PottsStructure,
    VideoStructure,
)

ENERGIES = [
    (f"{record.component.name} {index}", example)
    for record in gs.load().components()
    if record.plugin == "gcrf" and record.component.kind == "energy"
    for index, example in enumerate(examples_of(record))
    if isinstance(example, Energy)
]


def ridge(scale: Tensor, n: int) -> Tensor:
    return scale[..., None, None] * torch.eye(n, dtype=scale.dtype)


def of_sparse(energy: Energy) -> Tensor:
    sparse, n = view(energy, SparseMatrix), math.prod(energy.space.layout.event_shape)
    own = sparse.values.shape[:-1]
    flat = sparse.indices[0] * n + sparse.indices[1]
    filled = sparse.values.new_zeros(*own, n * n).index_add(-1, flat, sparse.values)
    return filled.reshape(*own, n, n)


def of_low_rank(energy: Energy) -> Tensor:
    low = view(energy, LowRank)
    factor = low.factor
    return factor.mT @ low.signs.diag() @ factor + ridge(low.scale, factor.shape[-1])


def of_potts(energy: Energy) -> Tensor:
    potts = view(energy, PottsStructure)
    pixels, batch = math.prod(energy.space.layout.event_shape[1:]), energy.space.layout.batch_shape
    eye = torch.eye(pixels, dtype=potts.scale.dtype).expand(*batch, -1, -1)
    psi = potts.apply(eye)
    others = 1 - torch.eye(potts.labels, dtype=psi.dtype)
    blocks = torch.einsum("kl,...pq->...kplq", others, psi)
    n = potts.labels * pixels
    return blocks.reshape(*psi.shape[:-2], n, n) + ridge(potts.scale, n)


def of_video(energy: Energy) -> Tensor:
    video = view(energy, VideoStructure)
    own = torch.eye(len(video.coupling), dtype=video.coupling.dtype)
    spatial = torch.einsum("uv,...udp,...vdq->...upvq", own, video.spatial, video.spatial)
    temporal = torch.einsum(
        "uv,...udp,...vdq->...upvq", video.coupling, video.temporal, video.temporal
    )
    blocks = spatial + temporal
    n = blocks.shape[-1] * len(own)
    return blocks.reshape(*blocks.shape[:-4], n, n) + ridge(video.scale, n)


def of_stencil(energy: Energy) -> Tensor:
    stencil, (height, width) = view(energy, GridStencil), energy.space.layout.event_shape
    batch = energy.space.layout.batch_shape
    filled = torch.zeros(*batch, height, width, height, width, dtype=torch.float64)
    for y in range(height):
        for x in range(width):
            filled[..., y, x, y, x] = stencil.diagonal[..., y, x]
            for there, weights in (((y, x + 1), stencil.right), ((y + 1, x), stencil.down)):
                if there[0] < height and there[1] < width:
                    filled[..., y, x, *there] = filled[..., *there, y, x] = -weights[..., y, x]
    return filled.reshape(*batch, height * width, height * width)


def of_blocks(energy: Energy) -> Tensor:
    edges, layout = view(energy, EdgeBlocks), energy.space.layout
    labels, n = layout.event_shape[0], math.prod(layout.event_shape)
    nodes = n // labels
    filled = torch.zeros(*layout.batch_shape, labels, nodes, labels, nodes, dtype=torch.float64)
    for blocks, ends in edges.parts:
        for edge in range(ends.shape[1]):
            i, j = int(ends[0, edge]), int(ends[1, edge])
            filled[..., :, i, :, j] += blocks[..., edge, :, :]
            filled[..., :, j, :, i] += blocks[..., edge, :, :].mT
    return filled.reshape(*layout.batch_shape, n, n) + ridge(edges.scale, n)


WRITTEN: dict[type, Callable[[Energy], Tensor]] = {
    SparseMatrix: of_sparse,
    LowRank: of_low_rank,
    PottsStructure: of_potts,
    VideoStructure: of_video,
    GridStencil: of_stencil,
    EdgeBlocks: of_blocks,
}


@pytest.mark.parametrize("kind", list(WRITTEN))
def test_view_is_the_matrix_of_the_products(kind: type) -> None:
    tried = 0
    for name, energy in ENERGIES:
        if kind in energy.views:
            matrix = dense(energy)
            written = WRITTEN[kind](energy).expand(matrix.shape)
            torch.testing.assert_close(matrix, written, rtol=1e-12, atol=1e-12, msg=name)
            tried += 1
    assert tried >= 2


def test_potts_split_is_the_full_system() -> None:
    tried = 0
    for name, energy in ENERGIES:
        if PottsStructure in energy.views:
            apart, whole = (solve(energy, each()).x for each in (potts_split, cholesky))
            torch.testing.assert_close(apart, whole, rtol=1e-12, atol=1e-12, msg=name)
            tried += 1
    assert tried >= 6
