"""A = (J - I) ⊗ Ψ + λI: one coupling Ψ over the pixels, shared by all pairs of different labels.

Gaussian CRF spec §3 (sparse Ψ) and §7 (Ψ = ψᵀψ). The eigenvalues are λ + (L - 1)μ and λ - μ for the
eigenvalues μ of Ψ, so A is positive definite if and only if -λ / (L - 1) < μ < λ for all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Views
from groundstate.views import SparseMatrix
from groundstate_gcrf.energies.label_grid import GridCoupling
from groundstate_gcrf.energies.matrix import spread
from groundstate_gcrf.structure import PottsStructure, common_shape


@runtime_checkable
class Coupling(Protocol):
    """Ψ: a symmetric matrix over pixels; a frozen dataclass of tensors."""

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the independent matrices."""
        ...

    @property
    def pixel_shape(self) -> tuple[int, ...]:
        """Shape of the pixels, such as height and width."""
        ...

    def apply(self, v: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """Ψv on `[*sample, *batch, columns, *pixels]`."""
        ...

    def product_with_others(
        self, x: Float[Tensor, "..."], scale: Float[Tensor, "..."], /
    ) -> Float[Tensor, "..."]:
        """λx_k + Ψ(S - x_k) for each column k, S the sum of all columns, λ one for each problem."""
        ...

    def spectrum(
        self, lowest: Float[Tensor, "..."], highest: Float[Tensor, "..."], /
    ) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """Certified bounds below and above all eigenvalues; beyond these two need be no better."""
        ...

    @property
    def factor(self) -> Float[Tensor, "..."] | None:
        """ψ `[*batch, rank, *pixels]` with Ψ = ψᵀψ, where there is one."""
        ...

    @property
    def sparse(self) -> Callable[[], SparseMatrix] | None:
        """Makes the entries of Ψ, where it is sparse."""
        ...


@dataclass(frozen=True, kw_only=True)
class PottsMatrix:
    """(J - I) ⊗ Ψ + λI over `[labels, *pixels]`.

    Attributes:
        coupling: Ψ.
        labels: how many.
        scale: λ, broadcastable to the batch.
    """

    coupling: Coupling
    labels: int
    scale: Float[Tensor, "..."]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return common_shape(self.coupling.batch_shape, self.scale.shape)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.labels, *self.coupling.pixel_shape)

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """With the sum over labels made once, not one product per pair of labels."""
        return self.coupling.product_with_others(x, self.scale)

    def diagonal(self) -> Float[Tensor, "..."]:
        # a label is not coupled with itself, so Ψ plays no part
        return spread(self.scale, len(self.event_shape))

    def floor(self) -> Float[Tensor, "..."]:
        if self.labels == 1:
            return self.scale
        others = self.labels - 1
        low, high = self.coupling.spectrum(-self.scale / others, self.scale)
        return torch.minimum(self.scale + others * low, self.scale - high)

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        potts = {PottsStructure: self._potts}
        return potts if self.coupling.sparse is None else {**potts, SparseMatrix: self._sparse}

    def _potts(self) -> PottsStructure:
        coupling, pixels = self.coupling, self.coupling.pixel_shape
        grid = coupling.neighbours if isinstance(coupling, GridCoupling) else None
        dimensions = len(pixels)

        def apply(v: Tensor) -> Tensor:
            return coupling.apply(v.reshape(*v.shape[:-1], *pixels)).flatten(-dimensions)

        factor = coupling.factor
        return PottsStructure(
            labels=self.labels,
            apply=apply,
            scale=self.scale,
            factor=None if factor is None else factor.flatten(-dimensions),
            sparse=coupling.sparse,
            neighbours=grid,
        )

    def _sparse(self) -> SparseMatrix:
        make = self.coupling.sparse
        assert make is not None
        one = make()
        pixels, device = torch.Size(self.coupling.pixel_shape).numel(), one.indices.device
        label = torch.arange(self.labels, device=device)
        pairs = torch.cartesian_prod(label, label).reshape(-1, 2)
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        block = one.indices[:, None] + pixels * pairs.mT[:, :, None]
        own = torch.arange(self.labels * pixels, device=device).expand(2, -1)
        batch = common_shape(one.values.shape[:-1], self.scale.shape)
        repeated = one.values[..., None, :].expand(*batch, len(pairs), -1)
        ridge = self.scale[..., None].expand(*batch, own.shape[-1])
        return SparseMatrix(
            indices=torch.cat([block.flatten(1), own], dim=-1),
            values=torch.cat([repeated.flatten(-2), ridge], dim=-1),
        )
