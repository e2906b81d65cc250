"""log det A of a quadratic energy, exactly or estimated, and the density that it makes of it.

p(x) = exp(-E(x)) / Z with log Z = ½ (n log 2π - log det A) - min E (Gaussian CRF spec §1.2). By
Lanczos quadrature (Ubaru, Chen, Saad 2017) log det A = tr log A ≈ mean over random signs z of
n Σ_j τ_j log θ_j, with the eigenvalues θ of the Lanczos matrix of (A, z) and the squared first
entries τ of its eigenvectors. The gradient of log det A is tr(A⁻¹ dA), with the same z.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.solution import SolveError, summarise
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.space import Layout, Real
from groundstate.status import Status
from groundstate.views import Density, MatrixView, Quadratic, SparseMatrix
from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.dense import written_out
from groundstate_gcrf.linear_algebra import cholesky, eigen
from groundstate_gcrf.sides import Sides
from groundstate_gcrf.sparse_direct import factors_of

Method = Literal["auto", "cholesky", "sparse", "lanczos"]

_DENSE = 2048
_SPARSE = 100_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number per problem and how far off it may be.

    Attributes:
        value: the number, in nats; differentiable in the energy's parameters.
        error: its standard error plus what the quadrature changed in its last step; 0 where exact.
        method: how it was found.
    """

    value: Float[Tensor, "*batch"]
    error: Float[Tensor, "*batch"]
    method: str


def log_determinant(
    energy: Energy,
    *,
    method: Method = "auto",
    probes: int = 16,
    steps: int = 32,
    rng: torch.Generator | None = None,
    solver: Solver[Any] | None = None,
) -> Estimate:
    """Log det A of each problem.

    Args:
        energy: one that gives `Quadratic`.
        method: "cholesky" writes A out; "sparse" factors its entries, without a gradient;
            "lanczos" needs products only, and estimates; "auto" takes the first that fits.
        probes: random sign vectors of "lanczos"; the error falls with their root.
        steps: Lanczos steps for each, so the degree of exactness is twice that.
        rng: what draws the signs; None is seed 0.
        solver: solves Ag = z for the gradient of "lanczos".

    Raises:
        ValueError: if A is not positive definite, or `method` does not fit the energy.
    """
    if probes < 2 or steps < 1:
        raise ValueError(f"probes must be at least 2 and steps at least 1, got {probes}, {steps}")
    n = math.prod(energy.space.layout.event_shape)
    if method == "auto":
        method = _choose(energy, n)
    if method == "cholesky":
        return _by_cholesky(energy, n)
    if method == "sparse":
        return _by_sparse_factors(energy, n)
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    return _by_lanczos(energy, probes, steps, rng, AutoQuadratic() if solver is None else solver)


def _choose(energy: Energy, n: int) -> Method:
    if n <= _DENSE:
        return "cholesky"
    if SparseMatrix in energy.views and n <= _SPARSE:
        values = view(energy, SparseMatrix).values
        if not (values.requires_grad and torch.is_grad_enabled()):
            return "sparse"
    return "lanczos"


def _refuse_where(bad: Tensor) -> None:
    if bool(bad.any()):
        raise ValueError(
            "A must be positive definite, for otherwise there is no density; it is not in "
            f"{int(bad.sum())} of {bad.numel()} problems: raise the energy's diagonal"
        )


def _by_cholesky(energy: Energy, n: int) -> Estimate:
    dense = written_out(energy, max(n, _DENSE))
    factor, definite = cholesky(dense.matrix)
    _refuse_where(~definite)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    # what fills up problems of unequal size is the identity, which adds log 1
    value = dense.sides.spread(2 * diagonal.log().sum(-1))
    return Estimate(value=value, error=torch.zeros_like(value).detach(), method="cholesky")


def _by_sparse_factors(energy: Energy, n: int) -> Estimate:
    sparse, layout = view(energy, SparseMatrix), energy.space.layout
    if sparse.values.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            "sparse factors carry no gradient; use method='cholesky' or 'lanczos', or torch.no_grad"
        )
    factors = factors_of(sparse, n)
    _refuse_where(factors.verdicts != Status.RUNNING)
    sides = Sides(batch=layout.batch_shape, own=factors.own)
    value = sides.spread(factors.log_determinants).to(sparse.values)
    return Estimate(value=value, error=torch.zeros_like(value), method="sparse")


def _by_lanczos(
    energy: Energy, probes: int, steps: int, rng: torch.Generator, solver: Solver[Any]
) -> Estimate:
    layout = energy.space.layout
    shape = (probes, *layout.shape)
    coins = torch.randint(0, 2, shape, generator=rng, device=rng.device)
    signs = (2.0 * coins - 1.0).to(device=energy.space.device, dtype=energy.space.dtype)
    with torch.no_grad():
        sizes = layout.dot(signs, signs)  # n of each problem
        alpha, beta = _tridiagonal(energy, signs, min(steps, int(sizes.max())))
        values, before = (_quadrature(*each) for each in ((alpha, beta), _shorter(alpha, beta)))
        _refuse_where(values.isnan().any(0))
        each = sizes * values
        change = (sizes * (values - before)).abs().mean(0)
        value = each.mean(0)
        error = each.std(0) / probes**0.5 + change
    return Estimate(
        value=value + _zero_with_gradient(energy, signs, solver), error=error, method="lanczos"
    )


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
    layout, space = energy.space.layout, energy.space
    quadratic = view(energy, Quadratic)
    products = quadratic.matvec(signs)
    if not products.requires_grad:
        return torch.zeros_like(layout.dot(signs, signs)[0])
    if layout.segments is not None:
        raise ValueError("the gradient of problems that lie end to end is not estimated")
    assert isinstance(space, Real)
    many = QuadraticEnergy(
        quadratic=replace(
            quadratic,
            linear=signs,
            constant=quadratic.constant.new_zeros(()),
            floor=None if quadratic.floor is None else quadratic.floor.expand(space.batch_shape),
        ),
        space=replace(space, batch_shape=(len(signs), *space.batch_shape)),
        structure={k: make for k, make in energy.views.items() if issubclass(k, MatrixView)},
    )
    with torch.no_grad():
        solved = _solved(many, solver)
    traces = layout.dot(solved, products).mean(0)
    return traces - traces.detach()


def _solved(energy: Energy, solver: Solver[Any]) -> Tensor:
    solution = solve(energy, solver, steps=10_000)
    done = (solution.status == Status.CONVERGED) | (solution.status == Status.OPTIMAL)
    if not bool(done.all()):
        raise SolveError(f"a density needs its mean. {summarise(solution.status)}", solution)
    return solution.x.detach()


def log_partition(
    energy: Energy,
    *,
    solver: Solver[Any] | None = None,
    determinant: Estimate | None = None,
) -> Estimate:
    """Log ∫ exp(-E) of each problem, in nats; differentiable.

    Args:
        energy: one that gives `Quadratic`.
        solver: finds the mean; None picks by structure and size.
        determinant: log det A, where `log_determinant(energy)` as it comes is not what is wanted.

    Raises:
        ValueError: if A is not positive definite.
        SolveError: if the mean is not found.
    """
    solver = AutoQuadratic() if solver is None else solver
    if determinant is None:
        determinant = log_determinant(energy, solver=solver)
    layout = energy.space.layout
    mean = _solved(energy, solver)
    # at the minimum E changes with its parameters as if x stood still
    lowest = energy(mean)
    n = layout.sum(torch.ones_like(mean))
    value = 0.5 * (n * math.log(2 * math.pi) - determinant.value) - lowest
    return Estimate(value=value, error=0.5 * determinant.error, method=determinant.method)


def gaussian_density(
    energy: Energy,
    *,
    solver: Solver[Any] | None = None,
    determinant: Estimate | None = None,
) -> Density:
    """The density p(x) ∝ exp(-E(x)) of a quadratic energy, normalised; see `log_partition`."""
    constant = log_partition(energy, solver=solver, determinant=determinant).value

    def log_prob(x: Tensor) -> Tensor:
        return -energy(x) - constant

    return Density(log_prob=log_prob)
