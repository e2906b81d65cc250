"""The few functions of `torch.linalg` and scipy used here, with types."""

# pyright: basic

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.linalg import splu
from torch import Tensor


def cholesky(
    matrix: Float[Tensor, "*batch n n"],
) -> tuple[Float[Tensor, "*batch n n"], Bool[Tensor, "*batch"]]:
    """The lower factor, and where there is one; it never raises."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return factor, info == 0


def cholesky_solve(
    lower: Float[Tensor, "*batch n n"], right: Float[Tensor, "*batch n columns"]
) -> Float[Tensor, "*batch n columns"]:
    """(LLᵀ)⁻¹ b."""
    return torch.cholesky_solve(right, lower)


def eigen(
    matrix: Float[Tensor, "*batch n n"],
) -> tuple[Float[Tensor, "*batch n"], Float[Tensor, "*batch n n"]]:
    """Eigenvalues of a symmetric matrix, ascending, and its eigenvectors as columns."""
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


def eigenvalues(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n"]:
    """Those of a symmetric matrix, ascending."""
    return torch.linalg.eigvalsh(matrix)


def least_squares(
    matrix: Float[Tensor, "*batch rows columns"], right: Float[Tensor, "*batch rows"]
) -> Float[Tensor, "*batch columns"]:
    """The shortest minimiser of ‖Ax - b‖."""
    finite = torch.where(matrix.isfinite(), matrix, 0.0)  # SVD raises on what is not
    return (torch.linalg.pinv(finite) @ right[..., None])[..., 0]


def all_finite(matrix: Float[Tensor, "*batch rows columns"]) -> Bool[Tensor, "*batch"]:
    """Whether a matrix has neither NaN nor infinity; `isfinite` would need two copies of it."""
    if not matrix.numel():
        return matrix.new_ones(matrix.shape[:-2], dtype=torch.bool)
    lowest, highest = torch.aminmax(matrix.flatten(-2), dim=-1)
    return lowest.isfinite() & highest.isfinite()


def factor_lu(matrix: Float[Tensor, "*batch n n"]) -> tuple[Tensor, Tensor]:
    """LU factors and pivots."""
    factors, pivots = torch.linalg.lu_factor(matrix)
    return factors, pivots


def solve_lu(
    factors: tuple[Tensor, Tensor], right: Float[Tensor, "*batch n columns"]
) -> Float[Tensor, "*batch n columns"]:
    """A⁻¹b."""
    return torch.linalg.lu_solve(*factors, right)


def log_absolute_determinant(matrix: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch"]:
    """The logarithm of the size of det A."""
    return torch.linalg.slogdet(matrix).logabsdet


@dataclass(frozen=True, kw_only=True)
class SparseFactors:
    """LU factors of a sparse matrix whose pivots were wanted on the diagonal.

    Attributes:
        superlu: scipy's own object.
        pivots: the diagonal of U.
    """

    superlu: Any
    pivots: NDArray[Any]

    def solve(self, right: NDArray[Any]) -> NDArray[Any]:
        """A⁻¹b for the columns of `[n, columns]`."""
        return self.superlu.solve(right)

    @property
    def symmetric(self) -> bool:
        """Whether every pivot came from the diagonal of A."""
        return bool(np.array_equal(self.superlu.perm_r, self.superlu.perm_c))

    @property
    def entries(self) -> int:
        """How many numbers are kept."""
        return int(self.superlu.nnz)

    @property
    def lower(self) -> csc_array:
        """L, with ones on its diagonal."""
        return self.superlu.L

    @property
    def order(self) -> NDArray[Any]:
        """Which row and column of the factors each row and column of A became."""
        return self.superlu.perm_c


def sparse_factors(matrix: csc_array) -> SparseFactors:
    """SuperLU with a fill-reducing order, and pivots off the diagonal only where those on it are 0.

    Raises:
        RuntimeError: for an exactly singular matrix.
    """
    factors = splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    return SparseFactors(superlu=factors, pivots=factors.U.diagonal())
