"""`none` and `jacobi`: M⁻¹ is a diagonal."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.views import Quadratic


@dataclass(frozen=True, kw_only=True)
class Diagonal:
    """M⁻¹ = diag(`inverse`), which kernels may fuse.

    Attributes:
        inverse: broadcastable to a configuration.
    """

    inverse: Float[Tensor, "..."]

    def apply(self, remainder: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return remainder * self.inverse


def identity(energy: Energy) -> Diagonal:
    """M = I."""
    return Diagonal(inverse=torch.ones_like(view(energy, Quadratic).diagonal))


def jacobi(energy: Energy) -> Diagonal:
    """M = diag(A), with 1 where that is not positive: such a problem is never iterated."""
    diagonal = view(energy, Quadratic).diagonal
    return Diagonal(inverse=torch.where(diagonal > 0, diagonal, 1.0).reciprocal())
