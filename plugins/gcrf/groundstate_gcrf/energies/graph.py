"""Pairwise terms on the edges of any graph: general L×L blocks, or one weight shared by labels.

Gaussian CRF spec §2 and §3. An edge is given once and fills both triangles of A, so its parameter
counts once: dLoss/da_e[l, m] = -(g_{i,l} x_{j,m} + g_{j,m} x_{i,l}).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Views
from groundstate.space import Layout
from groundstate.views import SparseMatrix
from groundstate_gcrf.energies.block_kernel import block_product, serves
from groundstate_gcrf.energies.guard import radius_bound
from groundstate_gcrf.energies.matrix import spread
from groundstate_gcrf.structure import EdgeBlocks, common_shape


@dataclass(frozen=True, kw_only=True)
class GraphMatrix:
    """λI plus a block `terms[e]` that couples the labels of i with those of j for each edge (i, j).

    The event is `[labels, nodes]`.

    Attributes:
        edge_index: i and j of each edge; each pair once, in either order.
        terms: `[*batch, edges, labels, labels]`; entry [l, m] couples label l of i with label m of
            j; positive discourages both from being large.
        scale: λ, broadcastable to the batch.
        nodes: how many.

    Raises:
        ValueError: for edges that are loops, double or out of range, or shapes that do not fit.
    """

    edge_index: Int[Tensor, "2 edges"]
    terms: Float[Tensor, "*batch edges labels labels"]
    scale: Float[Tensor, "..."]
    nodes: int

    def __post_init__(self) -> None:
        check_edges(self.edge_index, self.nodes)
        edges, labels = self.edge_index.shape[-1], self.terms.shape[-1]
        if tuple(self.terms.shape[-3:]) != (edges, labels, labels):
            raise ValueError(
                f"terms must end in (edges, labels, labels) = ({edges}, {labels}, {labels}), got "
                f"the shape {tuple(self.terms.shape)}"
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(self.terms.shape[:-3], self.scale.shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.terms.shape[-1], self.nodes)

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """A times x; several right-hand sides of one matrix read each block once."""
        batch = tuple(self.terms.shape[:-3])
        if batch == tuple(x.shape[:-2])[max(x.dim() - 2 - len(batch), 0) :] and serves(
            [self.terms], x
        ):
            coupled = block_product([(self.terms, self.edge_index)], x)
            return torch.addcmul(coupled, spread(self.scale, 2), x)
        begin, end = self.edge_index
        nodewise = x.mT
        there = torch.einsum("...elm,...em->...el", self.terms, nodewise[..., end, :])
        back = torch.einsum("...elm,...el->...em", self.terms, nodewise[..., begin, :])
        zeros = there.new_zeros((*there.shape[:-2], self.nodes, there.shape[-1]))
        coupled = zeros.index_add(-2, begin, there).index_add(-2, end, back)
        return spread(self.scale, 2) * x + coupled.mT

    def diagonal(self) -> Float[Tensor, "..."]:
        return spread(self.scale, 2)

    def radius(self, goal: Float[Tensor, "..."] | None = None) -> Float[Tensor, "..."]:
        """A certified bound on the largest |eigenvalue| of the pairwise part."""
        absolute = replace(self, terms=self.terms.abs(), scale=torch.zeros_like(self.scale))
        layout = Layout(batch_shape=self.batch_shape, event_shape=self.event_shape)
        return radius_bound(absolute.matvec, self.terms.new_ones(layout.shape), layout, goal)

    def floor(self) -> Float[Tensor, "..."]:
        return self.scale - self.radius(self.scale)

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        blocks = EdgeBlocks(parts=((self.terms, self.edge_index),), scale=self.scale)
        return {SparseMatrix: self._sparse, EdgeBlocks: lambda: blocks}

    def _sparse(self) -> SparseMatrix:
        labels, nodes = self.event_shape
        begin, end = self.edge_index
        label = torch.arange(labels, device=begin.device)
        row = begin[:, None, None] + nodes * label[:, None]
        column = end[:, None, None] + nodes * label
        shape = (len(begin), labels, labels)
        block = torch.stack([row.expand(shape).flatten(), column.expand(shape).flatten()])
        own = torch.arange(labels * nodes, device=begin.device).expand(2, -1)
        batch = self.batch_shape
        values = self.terms.flatten(-3).expand(*batch, -1)
        ridge = self.scale[..., None].expand(*batch, labels * nodes)
        return SparseMatrix(
            indices=torch.cat([block, block.flip(0), own], dim=-1),
            values=torch.cat([values, values, ridge], dim=-1),
        )


@dataclass(frozen=True, kw_only=True)
class GraphCoupling:
    """Ψ with one weight per edge of a graph.

    Attributes:
        edge_index: the two ends of each edge; each pair once, in either order.
        weights: Ψ_ij of each edge.
        nodes: how many.
    """

    edge_index: Int[Tensor, "2 edges"]
    weights: Float[Tensor, "*batch edges"]
    nodes: int

    def __post_init__(self) -> None:
        check_edges(self.edge_index, self.nodes)
        if self.weights.shape[-1] != self.edge_index.shape[-1]:
            raise ValueError(
                f"weights must end in {self.edge_index.shape[-1]} edges, got the shape "
                f"{tuple(self.weights.shape)}"
            )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.weights.shape[:-1])

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        return (self.nodes,)

    def apply(self, v: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        begin, end = self.edge_index
        weights = self.weights[..., None, :]
        there, back = weights * v[..., end], weights * v[..., begin]
        zeros = there.new_zeros((*there.shape[:-1], self.nodes))
        return zeros.index_add(-1, begin, there).index_add(-1, end, back)

    def product_with_others(
        self, x: Float[Tensor, "..."], scale: Float[Tensor, "..."], /
    ) -> Float[Tensor, "..."]:
        return torch.addcmul(self.apply(x.sum(-2, keepdim=True) - x), spread(scale, 2), x)

    def radius(self, goal: Float[Tensor, "..."] | None = None) -> Float[Tensor, "..."]:
        """A certified bound on the largest |eigenvalue|."""
        absolute = replace(self, weights=self.weights.abs())
        return bound_coupling(absolute.apply, self.weights, self.batch_shape, (self.nodes,), goal)

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
        indices = torch.cat([self.edge_index, self.edge_index.flip(0)], dim=-1)
        return SparseMatrix(indices=indices, values=torch.cat([self.weights] * 2, dim=-1))


def bound_coupling(
    absolute: Callable[[Tensor], Tensor],
    like: Tensor,
    batch_shape: tuple[int, ...],
    pixel_shape: tuple[int, ...],
    goal: Float[Tensor, "..."] | None,
) -> Float[Tensor, "..."]:
    """The bound of `radius_bound` for a coupling over pixels, which takes columns."""
    layout = Layout(batch_shape=batch_shape, event_shape=(1, *pixel_shape))
    return radius_bound(absolute, like.new_ones(layout.shape), layout, goal)


def check_edges(edge_index: Int[Tensor, "2 edges"], nodes: int) -> None:
    """Refuse loops, double edges and nodes that do not exist.

    Raises:
        TypeError: for nodes that are no whole numbers.
        ValueError: naming the edge, or the shape.
    """
    if edge_index.is_floating_point() or edge_index.is_complex() or edge_index.dtype == torch.bool:
        raise TypeError(f"edge_index must hold whole numbers, got {edge_index.dtype}")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"edge_index must be [2, edges], the two ends of each edge, got the shape "
            f"{tuple(edge_index.shape)}"
        )
    if not edge_index.shape[-1]:
        return
    low, high = (each.long() for each in (edge_index.amin(0), edge_index.amax(0)))
    if int(low.min()) < 0 or int(high.max()) >= nodes:
        raise ValueError(
            f"edge_index must hold nodes 0 ... {nodes - 1}, got {int(low.min())} ... "
            f"{int(high.max())}"
        )
    if bool((low == high).any()):
        node = int(low[low == high][0])
        raise ValueError(
            f"an edge must join two different nodes, got a loop at node {node}; what a node has "
            "with itself belongs to `diagonal`"
        )
    ordered = (low * nodes + high).sort().values
    double = ordered[1:] == ordered[:-1]
    if bool(double.any()):
        pair = int(ordered[1:][double][0])
        raise ValueError(
            f"each edge must be given once, in one direction, got {pair // nodes} - "
            f"{pair % nodes} twice; add the parameters of both"
        )
