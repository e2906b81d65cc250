"""Problems that several test files use."""

from typing import cast

import torch
from torch import Tensor

from groundstate.energy import QuadraticEnergy
from groundstate.space import Real
from groundstate.testing.oracles import dense_matrix
from groundstate.views import Quadratic
from groundstate_gcrf.grid import GridGcrf


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_grid(
    seed: int = 0,
    *,
    height: int = 5,
    width: int = 4,
    batch: tuple[int, ...] = (),
    diagonal: float = 0.3,
    dtype: torch.dtype = torch.float64,
) -> GridGcrf:
    """Random weights, pins and values; `batch` right-hand sides of one matrix."""
    rng = generator(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=rng, dtype=torch.float64)

    pinned = (uniform(height, width) < 0.3).double()
    pinned[0, 0] = 1.0
    return GridGcrf(
        right=(0.1 + uniform(height, width - 1)).to(dtype),
        down=(0.1 + uniform(height - 1, width)).to(dtype),
        pinned=pinned.to(dtype),
        values=torch.randn(*batch, height, width, generator=rng, dtype=torch.float64).to(dtype),
        strength=torch.tensor(2.0, dtype=dtype),
        diagonal=torch.tensor(diagonal, dtype=dtype),
    )


def dense_energy(matrix: Tensor, linear: Tensor, *, floor: Tensor | None = None) -> QuadraticEnergy:
    """½xᵀAx - bᵀx for a matrix `[n, n]` and right-hand sides `[*batch, n]`, without a stencil."""
    batch = tuple(linear.shape[:-1])
    return QuadraticEnergy(
        quadratic=Quadratic(
            matvec=lambda x: x @ matrix.mT,
            linear=linear,
            constant=linear.new_zeros(batch),
            diagonal=matrix.diagonal(),
            floor=floor,
        ),
        space=Real(event_shape=(matrix.shape[-1],), batch_shape=batch, dtype=linear.dtype),
    )


def spd(n: int, seed: int, condition: float = 40.0) -> Tensor:
    """A symmetric matrix with eigenvalues spread evenly in the logarithm from 1 to `condition`."""
    basis = cast(
        Tensor, torch.linalg.qr(torch.randn(n, n, generator=generator(seed), dtype=torch.float64)).Q
    )
    eigenvalues = torch.logspace(0, torch.tensor(condition).log10().item(), n, dtype=torch.float64)
    matrix = (basis * eigenvalues) @ basis.mT
    return 0.5 * (matrix + matrix.mT)


def dense_of(energy: GridGcrf) -> Tensor:
    """A over the flattened pixels."""
    return dense_matrix(energy.quadratic, energy.space)


def smallest_eigenvalue(matrix: Tensor) -> float:
    values = cast(Tensor, torch.linalg.eigvalsh(matrix))
    return float(values[0])
