"""Pairwise terms between the neighbours of a pixel grid, with 4, 8 or 12 neighbours each.

Gaussian CRF spec §2.2. Each offset (dy, dx) has one tensor of parameters, for the pixels p = (h, w)
whose neighbour q = (h + dy, w + dx) exists, in the order of p; it fills both triangles of A.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Views
from groundstate.space import Layout
from groundstate.views import SparseMatrix
from groundstate_gcrf.energies import grid_kernel
from groundstate_gcrf.energies.block_kernel import block_product, serves
from groundstate_gcrf.energies.graph import GraphMatrix, bound_coupling
from groundstate_gcrf.energies.guard import radius_bound
from groundstate_gcrf.energies.matrix import spread
from groundstate_gcrf.structure import EdgeBlocks, GridNeighbours, common_shape

Connectivity = Literal[4, 8, 12]
OFFSETS: dict[int, tuple[tuple[int, int], ...]] = {
    4: ((0, 1), (1, 0)),
    8: ((0, 1), (1, 0), (1, 1), (1, -1)),
    12: ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)),
}
"""(down, right) to half of the neighbours; the other half mirrors them."""


@dataclass(frozen=True, kw_only=True)
class GridCoupling:
    """Ψ with one weight for each pair of neighbouring pixels.

    Attributes:
        weights: for each offset of `OFFSETS`, `[*batch, height - |dy|, width - |dx|]`.
        pixel_shape: height and width.
    """

    weights: tuple[Float[Tensor, "..."], ...]
    pixel_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        _check(self.weights, self.pixel_shape, trailing=0)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(*(each.shape[:-2] for each in self.weights))

    def apply(self, v: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        lead = common_shape(v.shape[:-3], self.batch_shape)
        product = v.new_zeros((*lead, *v.shape[-3:]))
        for weights, offset in zip(self.weights, _offsets(self.weights), strict=True):
            here, there = _pair(offset, self.pixel_shape)
            each = weights[..., None, :, :]
            # writing into views of a fresh tensor is seen by autograd, and saves temporaries
            product[(..., *here)].addcmul_(each, v[(..., *there)])
            product[(..., *there)].addcmul_(each, v[(..., *here)])
        return product

    def product_with_others(
        self, x: Float[Tensor, "..."], scale: Float[Tensor, "..."], /
    ) -> Float[Tensor, "..."]:
        if grid_kernel.serves((*self.weights, scale), x):
            return grid_kernel.product_with_others(self.neighbours, x, scale)
        return torch.addcmul(self.apply(x.sum(-3, keepdim=True) - x), spread(scale, 3), x)

    @cached_property
    def neighbours(self) -> GridNeighbours:
        return GridNeighbours(
            offsets=_offsets(self.weights), weights=self.weights, pixel_shape=self.pixel_shape
        )

    def radius(self, goal: Float[Tensor, "..."] | None = None) -> Float[Tensor, "..."]:
        """A certified bound on the largest |eigenvalue|."""
        absolute = replace(self, weights=tuple(each.abs() for each in self.weights))
        return bound_coupling(
            absolute.apply, self.weights[0], self.batch_shape, self.pixel_shape, goal
        )

    def spectrum(
        self, lowest: Float[Tensor, "..."], highest: Float[Tensor, "..."], /
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        radius = self.radius(torch.minimum(-lowest, highest))
        return -radius, radius

    @property
    def factor(self) -> None:
        return None

    @property
    def sparse(self) -> Callable[[], SparseMatrix]:
        return self._sparse

    def _sparse(self) -> SparseMatrix:
        edges = grid_edges(self.pixel_shape, len(self.weights), self.weights[0].device)
        values = flat_terms(self.weights, 0)
        indices = torch.cat([edges, edges.flip(0)], dim=-1)
        return SparseMatrix(indices=indices, values=torch.cat([values, values], dim=-1))


@dataclass(frozen=True, kw_only=True)
class GridMatrix:
    """λI plus an L×L block for each pair of neighbouring pixels; the event is [labels, H, W].

    Attributes:
        terms: for each offset of `OFFSETS`, `[*batch, height - |dy|, width - |dx|, labels,
            labels]`; entry [l, m] couples label l of a pixel with label m of its neighbour.
        pixel_shape: height and width.
        scale: λ, broadcastable to the batch.
    """

    terms: tuple[Float[Tensor, "..."], ...]
    pixel_shape: tuple[int, ...]
    scale: Float[Tensor, "..."]

    def __post_init__(self) -> None:
        _check(self.terms, self.pixel_shape, trailing=2)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(self.batch_of_terms, self.scale.shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.terms[0].shape[-1], *self.pixel_shape)

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """A times x; several right-hand sides of one matrix read each block once."""
        return torch.addcmul(self._coupled(x), spread(self.scale, 3), x)

    def _coupled(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        batches = {tuple(each.shape[:-4]) for each in self.terms}
        size = len(self.batch_of_terms)
        fitting = batches == {tuple(x.shape[:-3])[max(x.dim() - 3 - size, 0) :]}
        if fitting and serves(self.terms, x):
            flat = [each.flatten(-4, -3) for each in self.terms]
            return block_product(list(zip(flat, self._edges, strict=True)), x.flatten(-2)).reshape(
                x.shape
            )
        pixelwise = x.movedim(-3, -1)
        lead = common_shape(x.shape[:-3], self.batch_of_terms)
        product = x.new_zeros((*lead, *pixelwise.shape[-3:]))
        for terms, offset in zip(self.terms, _offsets(self.terms), strict=True):
            here, there = _pair(offset, self.pixel_shape)
            target = (..., *here, slice(None))
            source = (..., *there, slice(None))
            product[target] += torch.einsum("...hwlm,...hwm->...hwl", terms, pixelwise[source])
            product[source] += torch.einsum("...hwlm,...hwl->...hwm", terms, pixelwise[target])
        return product.movedim(-1, -3)

    @property
    def batch_of_terms(self) -> tuple[int, ...]:
        """The batch dimensions of the blocks, without those of λ."""
        return common_shape(*(each.shape[:-4] for each in self.terms))

    @cached_property
    def _edges(self) -> tuple[Int[Tensor, "2 edges"], ...]:
        """The two ends of the edges of each offset, over flattened pixels."""
        return tuple(
            offset_edges(offset, self.pixel_shape, self.terms[0].device)
            for offset in _offsets(self.terms)
        )

    def diagonal(self) -> Float[Tensor, "..."]:
        return spread(self.scale, 3)

    def radius(self, goal: Float[Tensor, "..."] | None = None) -> Float[Tensor, "..."]:
        """A certified bound on the largest |eigenvalue| of the pairwise part."""
        terms = tuple(each.abs() for each in self.terms)
        absolute = replace(self, terms=terms, scale=torch.zeros_like(self.scale))
        layout = Layout(batch_shape=self.batch_shape, event_shape=self.event_shape)
        return radius_bound(absolute.matvec, self.terms[0].new_ones(layout.shape), layout, goal)

    def floor(self) -> Float[Tensor, "..."]:
        return self.scale - self.radius(self.scale)

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        return {SparseMatrix: self._sparse, EdgeBlocks: self._blocks}

    def _blocks(self) -> EdgeBlocks:
        flat = (each.flatten(-4, -3) for each in self.terms)
        return EdgeBlocks(parts=tuple(zip(flat, self._edges, strict=True)), scale=self.scale)

    def _sparse(self) -> SparseMatrix:
        graph = GraphMatrix(
            edge_index=grid_edges(self.pixel_shape, len(self.terms), self.terms[0].device),
            terms=flat_terms(self.terms, 2),
            scale=self.scale,
            nodes=torch.Size(self.pixel_shape).numel(),
        )
        return cast(SparseMatrix, graph.structure(self.scale)[SparseMatrix]())


def grid_edges(
    pixel_shape: tuple[int, ...], count: int, device: torch.device
) -> Int[Tensor, "2 edges"]:
    """The edges of the first `count` offsets, offset by offset, over flattened pixels."""
    parts = [offset_edges(offset, pixel_shape, device) for offset in OFFSETS[12][:count]]
    return torch.cat(parts, dim=-1)


def offset_edges(
    offset: tuple[int, int], pixel_shape: tuple[int, ...], device: torch.device
) -> Int[Tensor, "2 edges"]:
    """The pixels with a neighbour at this offset, and those neighbours."""
    pixel = torch.arange(torch.Size(pixel_shape).numel(), device=device).reshape(pixel_shape)
    here, there = _pair(offset, pixel_shape)
    return torch.stack([pixel[here].flatten(), pixel[there].flatten()])


def flat_terms(terms: tuple[Tensor, ...], trailing: int) -> Float[Tensor, "..."]:
    """Parameters of all offsets, one after another, in the order of `grid_edges`."""
    axes = 2 + trailing
    batch = common_shape(*(each.shape[: each.dim() - axes] for each in terms))
    flat = [
        each.expand(*batch, *each.shape[each.dim() - axes :]).flatten(-axes, -axes + 1)
        for each in terms
    ]
    return torch.cat(flat, dim=-1 - trailing)


def _offsets(terms: tuple[Tensor, ...]) -> tuple[tuple[int, int], ...]:
    return OFFSETS[12][: len(terms)]


def _pair(
    offset: tuple[int, int], pixel_shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the pixels with a neighbour at this offset are, and where those neighbours are."""
    (dy, dx), (height, width) = offset, pixel_shape
    tall, wide = max(height - dy, 0), max(width - abs(dx), 0)
    left, right = max(-dx, 0), max(dx, 0)
    here = (slice(0, tall), slice(left, left + wide))
    return here, (slice(dy, dy + tall), slice(right, right + wide))


def _check(terms: tuple[Tensor, ...], pixel_shape: tuple[int, ...], trailing: int) -> None:
    if len(terms) not in (2, 4, 6):
        raise ValueError(
            "pairwise terms must be one tensor per offset, 2, 4 or 6 of them for 4, 8 or 12 "
            f"neighbours, got {len(terms)}"
        )
    height, width = pixel_shape
    labels = tuple(terms[0].shape[-1:]) * trailing
    for each, (dy, dx) in zip(terms, _offsets(terms), strict=True):
        expected = (max(height - dy, 0), max(width - abs(dx), 0), *labels)
        if tuple(each.shape[-len(expected) :]) != expected or each.dim() < len(expected):
            raise ValueError(
                f"the terms of the offset {(dy, dx)} (down, right) must end in {expected}, got "
                f"the shape {tuple(each.shape)}"
            )
