"""Views that this plugin adds: what a matrix is made of, and noise with covariance A.

Each describes A alone. Batch dimensions of their parts need not be equal; they broadcast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.views import MatrixView, SparseMatrix
from groundstate_gcrf.stencil_product import product_with_stencil, serves


@dataclass(frozen=True, kw_only=True)
class GridStencil(MatrixView):
    """A matrix that couples each pixel with its four neighbours and itself.

    The batch dimensions of the parts need not be equal; they broadcast.

    Attributes:
        diagonal: the entries (i, i).
        right: minus the entry that couples a pixel and the one to its right.
        down: minus the entry that couples a pixel and the one below it.
    """

    diagonal: Float[Tensor, "*diagonal_batch height width"]
    right: Float[Tensor, "*right_batch height width-1"]
    down: Float[Tensor, "*down_batch height-1 width"]

    def matvec(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """A times x: in one pass of compiled code, or by slices in five where gradients flow."""
        parts = (self.diagonal, self.right, self.down)
        if serves(parts, x):
            lead = common_shape(*(each.shape[:-2] for each in (x, *parts)))
            return product_with_stencil(parts, x, lead)
        # Writing into views of a fresh tensor is seen by autograd, and saves four temporaries.
        product = self.diagonal * x
        product[..., :, :-1].addcmul_(self.right, x[..., :, 1:], value=-1)
        product[..., :, 1:].addcmul_(self.right, x[..., :, :-1], value=-1)
        product[..., :-1, :].addcmul_(self.down, x[..., 1:, :], value=-1)
        product[..., 1:, :].addcmul_(self.down, x[..., :-1, :], value=-1)
        return product


@dataclass(frozen=True, kw_only=True)
class EdgeBlocks(MatrixView):
    """λI plus a block for each edge, which couples the labels of two nodes.

    The event, flattened behind its first dimension, is [labels, nodes].

    Attributes:
        parts: blocks `[*batch, edges, labels, labels]` and the two ends of each edge, `[2, edges]`;
            entry [l, m] couples label l of the first end with label m of the second.
        scale: λ of each problem, broadcastable to the batch.
    """

    parts: tuple[tuple[Float[Tensor, "..."], Int[Tensor, "2 _"]], ...]
    scale: Float[Tensor, "..."]


@dataclass(frozen=True, kw_only=True)
class Factored(MatrixView):
    """A = FFᵀ for some F that can be applied to white noise.

    Attributes:
        noise: (sample shape, generator) to Fε with ε ~ N(0, I), so draws from N(0, A), of shape
            `[*sample, *batch, *event]`; differentiable in the parameters of A.
    """

    noise: Callable[[tuple[int, ...], torch.Generator], Tensor]


@dataclass(frozen=True, kw_only=True)
class LowRank(MatrixView):
    """A = Fᵀ diag(s) F + λI over the flattened event.

    Attributes:
        factor: F, one row per rank; its batch dimensions broadcast against those of the energy.
        signs: s, +1 or -1 each; all +1 makes A positive definite for every λ > 0.
        scale: λ of each problem, broadcastable to the batch.
    """

    factor: Float[Tensor, "*factor_batch rank variables"]
    signs: Float[Tensor, " rank"]
    scale: Float[Tensor, "*scale_batch"]


@dataclass(frozen=True, kw_only=True)
class GridNeighbours:
    """A symmetric matrix over pixels that couples each with some of its neighbours.

    Attributes:
        offsets: (down, right) to one half of the neighbours; the other half mirrors them.
        weights: for each offset `[*batch, height - |down|, width - |right|]`.
        pixel_shape: height and width.
    """

    offsets: tuple[tuple[int, int], ...]
    weights: tuple[Float[Tensor, "..."], ...]
    pixel_shape: tuple[int, ...]

    @cached_property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(*(each.shape[:-2] for each in self.weights))


@dataclass(frozen=True, kw_only=True)
class PottsStructure(MatrixView):
    """A = (J - I) ⊗ Ψ + λI: labels that differ are coupled by one Ψ over the pixels, all alike.

    J is all ones over the labels. The event is `[labels, *pixels]`. On the mean over labels A acts
    as λI + (labels - 1)Ψ, on deviations from it as λI - Ψ (Gaussian CRF spec §3.2, §3.4).

    Attributes:
        labels: how many there are; the first axis of the event.
        apply: v to Ψv on `[*sample, *batch, columns, pixels]`, pixels flattened; differentiable.
        scale: λ of each problem, broadcastable to the batch.
        factor: ψ with Ψ = ψᵀψ, where Ψ has low rank.
        sparse: makes the entries of Ψ over the flattened pixels, where Ψ is sparse.
        neighbours: Ψ as weights between neighbours, where the pixels are a grid.
    """

    labels: int
    apply: Callable[[Tensor], Tensor]
    scale: Float[Tensor, "*scale_batch"]
    factor: Float[Tensor, "*factor_batch rank pixels"] | None = None
    sparse: Callable[[], SparseMatrix] | None = None
    neighbours: GridNeighbours | None = None


@dataclass(frozen=True, kw_only=True)
class VideoStructure(MatrixView):
    """Block (u, v) of A is c_uv T_uᵀT_v, plus A_vᵀA_v + λI where u = v; an event is frame by frame.

    The first axis of the event is the frame; the variables of a frame are flattened.

    Attributes:
        spatial: A_v of each frame.
        temporal: T_v of each frame.
        coupling: c, symmetric: 1 for frames that are neighbours, 0 for others. Its diagonal is 0
            (the paper's energy) or says how much of the Gram block T_vᵀT_v is added.
        scale: λ of each problem, broadcastable to the batch.
    """

    spatial: Float[Tensor, "*spatial_batch frames rank variables"]
    temporal: Float[Tensor, "*temporal_batch frames other_rank variables"]
    coupling: Float[Tensor, "frames frames"]
    scale: Float[Tensor, "*scale_batch"]


def common_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to."""
    different = {tuple(each) for each in shapes} - {()}
    if len(different) < 2:  # nearly always, and every product asks
        return different.pop() if different else ()
    return tuple(cast(torch.Size, torch.broadcast_shapes(*different)))
