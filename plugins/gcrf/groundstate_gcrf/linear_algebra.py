"""The few functions of `torch.linalg` used here, with types."""

# pyright: basic

import torch
from jaxtyping import Bool, Float
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
    return (torch.linalg.pinv(matrix) @ right[..., None])[..., 0]
