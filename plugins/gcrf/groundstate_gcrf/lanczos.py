"""Log det A estimated by stochastic Lanczos quadrature, with its error and its gradient.

log det A = tr log A ≈ mean over random signs z of n Σ_j τ_j log θ_j, with the eigenvalues θ of the
Lanczos matrix of (A, z) and the squared first entries τ of its eigenvectors (Ubaru, Chen, Saad
2017). The gradient of log det A is tr(A⁻¹ dA), estimated with the same z.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Solver
from groundstate.space import Layout
from groundstate.views import Quadratic
from groundstate_gcrf.linear_algebra import eigen
from groundstate_gcrf.minima import minimum_of, with_sides


@dataclass(frozen=True, kw_only=True)
class Quadrature:
    """An estimate of log det A of each problem.

    Attributes:
        value: in nats, with the gradient of the estimate; NaN where A is not positive definite.
        error: its standard error plus what the last Lanczos step changed.
    """

    value: Float[Tensor, "*batch"]
    error: Float[Tensor, "*batch"]


def estimate(
    energy: Energy, *, probes: int, steps: int, rng: torch.Generator, solver: Solver[Any]
) -> Quadrature:
    """The mean over `probes` sign vectors, each after at most `steps` Lanczos steps."""
    layout = energy.space.layout
    shape = (probes, *layout.shape)
    coins = torch.randint(0, 2, shape, generator=rng, device=rng.device)
    signs = (2.0 * coins - 1.0).to(device=energy.space.device, dtype=energy.space.dtype)
    with torch.no_grad():
        sizes = layout.dot(signs, signs)  # n of each problem
        alpha, beta = _tridiagonal(energy, signs, min(steps, int(sizes.max())))
        values, before = (_quadrature(*each) for each in ((alpha, beta), _shorter(alpha, beta)))
        each = sizes * values
        change = (sizes * (values - before)).abs().mean(0)
        value = each.mean(0)
        error = each.std(0) / probes**0.5 + change
        if bool(value.isnan().any()):
            return Quadrature(value=value, error=error)
    return Quadrature(value=value + _zero_with_gradient(energy, signs, solver), error=error)


def _tridiagonal(energy: Energy, signs: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Diagonals of the Lanczos matrices `[*probes_and_batch, steps]`, fully reorthogonalised."""
    layout: Layout = energy.space.layout
    matvec = view(energy, Quadratic).matvec
    current = signs / layout.expand(layout.dot(signs, signs).sqrt())
    basis, alphas, betas = [current], list[Tensor](), list[Tensor]()
    going = torch.ones_like(layout.dot(signs, signs), dtype=torch.bool)
    for _ in range(steps):
        product = matvec(current)
        size = layout.dot(product, product).sqrt()
        alpha = layout.dot(current, product)
        for _ in range(2):
            for other in basis:
                product = product - layout.expand(layout.dot(other, product)) * other
        beta = layout.dot(product, product).sqrt()
        # beyond an invariant subspace the matrix goes on as the identity, which adds log 1
        alphas.append(torch.where(going, alpha, 1.0))
        going = going & (beta > 1e3 * torch.finfo(beta.dtype).eps * size)
        betas.append(torch.where(going, beta, 0.0))
        safe = torch.where(going, beta, 1.0)
        current = torch.where(layout.expand(going), product / layout.expand(safe), 0.0)
        basis.append(current)
    return torch.stack(alphas, -1), torch.stack(betas, -1)


def _shorter(alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """The same after one step less, where there were two."""
    length = max(1, alpha.shape[-1] - 1)
    return alpha[..., :length], beta[..., :length]


def _quadrature(alpha: Tensor, beta: Tensor) -> Tensor:
    """Σ_j τ_j log θ_j; NaN where an eigenvalue is not positive."""
    beside = torch.diag_embed(beta[..., : alpha.shape[-1] - 1], offset=1)
    if alpha.shape[-1] == 1:
        beside = torch.zeros_like(torch.diag_embed(alpha))
    values, vectors = eigen((torch.diag_embed(alpha) + beside + beside.mT).double())
    logs = torch.where(values > 0, values, torch.nan).log()
    return (vectors[..., 0, :].square() * logs).sum(-1).to(alpha.dtype)


def _zero_with_gradient(energy: Energy, signs: Tensor, solver: Solver[Any]) -> Tensor:
    """0 whose gradient is that of log det A: the mean of (A⁻¹z)ᵀ A(θ) z."""
    layout = energy.space.layout
    products = view(energy, Quadratic).matvec(signs)
    if not products.requires_grad:
        return torch.zeros_like(layout.dot(signs, signs)[0])
    if layout.segments is not None:
        raise ValueError("the gradient of problems that lie end to end is not estimated")
    with torch.no_grad():
        many = with_sides(energy, signs)
        inverse = minimum_of(many, solver, what="the gradient of log det A")
    traces = layout.dot(inverse, products).mean(0)
    return traces - traces.detach()
