"""What the tests of several energies share: random tensors, dense matrices, gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solving import solve
from groundstate.testing.oracles import dense_matrix
from groundstate.testing.typed import linear_solve
from groundstate.views import Quadratic
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.label_grid import OFFSETS

EXACT = ConjugateGradients(tolerance=1e-14)


def normal(seed: int, *shape: int, size: float = 1.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return size * torch.randn(shape, generator=rng, dtype=torch.float64)


def per_offset(
    seed: int, neighbours: int, height: int, width: int, *labels: int, size: float = 0.3
) -> list[Tensor]:
    return [
        normal(seed + i, max(height - dy, 0), max(width - abs(dx), 0), *labels, size=size)
        for i, (dy, dx) in enumerate(OFFSETS[neighbours])
    ]


def dense(energy: Energy) -> Tensor:
    """A over the flattened event."""
    return dense_matrix(view(energy, Quadratic), energy.space)


def gradients(
    build: Callable[..., Energy], *parameters: Tensor
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The minimiser x, g = A⁻¹ ∂L/∂x for a fixed linear loss, and ∂L/∂parameter of each."""
    leaves = [each.clone().requires_grad_(True) for each in parameters]
    energy = build(*leaves)
    x = solve(energy, EXACT, gradient="implicit").x
    weights = normal(99, *x.shape)
    found = torch.autograd.grad((x * weights).sum(), leaves)
    matrix = dense(build(*parameters))
    adjoint = linear_solve(matrix, weights.flatten()).reshape(x.shape)
    return x.detach(), adjoint, list(found)


def gradcheck(build: Callable[..., Energy], *parameters: Tensor) -> bool:
    """Gradients of the minimiser against finite differences."""
    leaves = tuple(each.clone().requires_grad_(True) for each in parameters)

    def minimiser(*given: Tensor) -> Tensor:
        return solve(build(*given), EXACT, gradient="implicit").x

    return torch.autograd.gradcheck(minimiser, leaves, atol=1e-6)
