"""S, whose rows say how much each pixel looks like others: all of them, or few.

Each row is positive and sums to 1. Both kinds answer the same questions, so that one energy serves
both; nothing here forms SᵀS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from groundstate_gcrf.energies.low_rank import apply_rows
from groundstate_gcrf.kept import Kept
from groundstate_gcrf.structure import common_shape

Array = NDArray[Any]

Draw = Callable[..., Tensor]
"""Shape of an event to standard normal numbers for every problem and sample."""


@runtime_checkable
class Similarity(Protocol):
    """A matrix whose rows are positive and sum to 1, over the flattened pixels."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the independent matrices."""
        ...

    def apply(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """Sx on `[*sample, *batch, pixels]`; differentiable in the entries of S, too."""
        ...

    def apply_transposed(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """Sᵀx."""
        ...

    def received(self) -> Float[Tensor, "*batch pixels"]:
        """Sᵀ1: how much all pixels together look like each."""
        ...

    def received_squares(self) -> Float[Tensor, "*batch pixels"]:
        """Σ_i S_ij² of each j."""
        ...

    def own(self) -> Float[Tensor, "*batch pixels"]:
        """S_jj."""
        ...

    def graphs(self, least: float) -> list[csr_array]:
        """Where the entries of each matrix are above `least`, batch flattened."""
        ...

    def differences(self, draw: Draw, /) -> Float[Tensor, "..."]:
        """Σ_ij √S_ij ε_ij (e_i - e_j) with ε from `draw`; its covariance is I + Sᵀ1 - S - Sᵀ."""
        ...


@dataclass(frozen=True, kw_only=True)
class DenseSimilarity:
    """Every pixel looks like every other, more or less.

    Attributes:
        weights: S.
    """

    weights: Float[Tensor, "*batch pixels pixels"]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.weights.shape[:-2])

    def apply(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return apply_rows(self.weights, x)

    def apply_transposed(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return apply_rows(self.weights.mT, x)

    def received(self) -> Float[Tensor, "*batch pixels"]:
        return self.weights.sum(-2)

    def received_squares(self) -> Float[Tensor, "*batch pixels"]:
        return self.weights.square().sum(-2)

    def own(self) -> Float[Tensor, "*batch pixels"]:
        return self.weights.diagonal(dim1=-2, dim2=-1)

    def differences(self, draw: Draw, /) -> Float[Tensor, "..."]:
        edges = positive_root(self.weights) * draw(*self.weights.shape[-2:])
        return edges.sum(-1) - edges.sum(-2)

    def graphs(self, least: float) -> list[csr_array]:
        pixels = self.weights.shape[-1]
        found = (self.weights.detach() > least).reshape(-1, pixels, pixels).cpu().numpy()
        return [csr_array(each) for each in found]


@dataclass(frozen=True, kw_only=True)
class SparseSimilarity:
    """Each pixel looks like a few others.

    Attributes:
        indices: those pixels, `[*batch, pixels, neighbours]`. What repeats one has the weight 0.
        weights: S at them, `[*batch, pixels, neighbours]`.
    """

    indices: Int[Tensor, "*batch pixels neighbours"]
    weights: Float[Tensor, "*batch pixels neighbours"]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return tuple(self.weights.shape[:-2])

    def apply(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        if self._compiled(x):
            straight, _ = self._compressed()
            return _product(straight, x)
        lead, columns = self._spread(x)
        found = x.expand(*lead, -1).gather(-1, columns)
        return (self.weights * found.reshape(*lead, *self.weights.shape[-2:])).sum(-1)

    def apply_transposed(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        if self._compiled(x):
            _, transposed = self._compressed()
            return _product(transposed, x)
        lead, columns = self._spread(x)
        parts = (self.weights * x[..., None]).flatten(-2)
        return x.new_zeros(*lead, x.shape[-1]).scatter_add(-1, columns, parts.expand(*lead, -1))

    def received(self) -> Float[Tensor, "*batch pixels"]:
        return self._gathered(self.weights)

    def received_squares(self) -> Float[Tensor, "*batch pixels"]:
        return self._gathered(self.weights.square())

    def own(self) -> Float[Tensor, "*batch pixels"]:
        pixels = torch.arange(self.weights.shape[-2], device=self.indices.device)
        return (self.weights * (self.indices == pixels[:, None])).sum(-1)

    def differences(self, draw: Draw, /) -> Float[Tensor, "..."]:
        edges = positive_root(self.weights) * draw(*self.weights.shape[-2:])
        columns = self.indices.flatten(-2).expand(*edges.shape[:-2], -1)
        received = edges.new_zeros(edges.shape[:-1]).scatter_add(-1, columns, edges.flatten(-2))
        return edges.sum(-1) - received

    def graphs(self, least: float) -> list[csr_array]:
        pixels, neighbours = self.weights.shape[-2:]
        weights = self.weights.detach().reshape(-1, pixels * neighbours).cpu().numpy()
        columns = self.indices.reshape(-1, pixels * neighbours).cpu().numpy()
        return [
            _rows(each > least, where, pixels) for each, where in zip(weights, columns, strict=True)
        ]

    def _gathered(self, values: Float[Tensor, "..."]) -> Float[Tensor, "*batch pixels"]:
        zeros = values.new_zeros(*values.shape[:-1])
        return zeros.scatter_add(-1, self.indices.flatten(-2), values.flatten(-2))

    def _spread(self, x: Tensor) -> tuple[tuple[int, ...], Int[Tensor, "..."]]:
        """Shape of all problems of x, and the columns of the entries for each of them."""
        lead = common_shape(x.shape[:-1], self.batch_shape)
        return lead, self.indices.flatten(-2).expand(*lead, -1)

    def _compiled(self, x: Tensor) -> bool:
        """Whether scipy's product does: one matrix on a CPU, and no gradients to follow."""
        learned = torch.is_grad_enabled() and (self.weights.requires_grad or x.requires_grad)
        return not learned and self.weights.dim() == 2 and x.device.type == "cpu"

    @cached_property
    def _kept(self) -> Kept[tuple[csr_array, csr_array]]:
        return Kept()

    def _compressed(self) -> tuple[csr_array, csr_array]:
        """S and Sᵀ as compressed rows."""
        return self._kept.get((self.weights,), self._compress)

    def _compress(self) -> tuple[csr_array, csr_array]:
        values = self.weights.detach().numpy().reshape(-1)
        straight: Any = _rows(values, self.indices.numpy().reshape(-1), len(self.weights))
        return straight, csr_array(straight.T.tocsr())


def _rows(values: Array, columns: Array, pixels: int) -> csr_array:
    """A sparse matrix from as many values in each row, without those that are 0."""
    keep = values > 0
    counts = keep.reshape(pixels, -1).sum(-1)
    ends = np.concatenate([[0], np.cumsum(counts)])
    return csr_array((values[keep], columns[keep], ends), shape=(pixels, pixels))


def _product(matrix: csr_array, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The product with all of x at once: pixels first, so that each entry is read once."""
    columns = np.ascontiguousarray(x.detach().reshape(-1, x.shape[-1]).numpy().T)
    product = cast(Array, matrix @ columns)
    return torch.from_numpy(np.ascontiguousarray(product.T)).reshape(x.shape)


def positive_root(values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Square root with gradient 0, not infinity, at 0: what is absent stays absent."""
    positive = values > 0
    return torch.where(positive, values, 1.0).sqrt() * positive
