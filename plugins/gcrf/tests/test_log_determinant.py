"""log det A and the density of a quadratic energy, against the closed form."""

from typing import Any, cast

import pytest
import torch
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd
from torch import Tensor

from groundstate.energy import Energy
from groundstate.testing.oracles import solve_densely
from groundstate.unions import union
from groundstate_gcrf.density import gaussian_density, log_partition
from groundstate_gcrf.grid import GridGcrf
from groundstate_gcrf.log_determinant import Method, log_determinant

NAMES = ("right", "down", "pinned", "values", "strength", "diagonal")


def exact(energy: Energy) -> Tensor:
    return solve_densely(energy).spectrum.log().sum(-1)


@pytest.mark.parametrize("method", ["auto", "cholesky", "sparse"])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_exact_methods(method: Method, batch: tuple[int, ...]) -> None:
    energy = random_grid(0, batch=batch)
    found = log_determinant(energy, method=method)
    torch.testing.assert_close(found.value, exact(energy), rtol=1e-12, atol=1e-12)
    assert not bool(found.error.any())


@pytest.mark.parametrize("seed", range(4))
def test_lanczos_is_within_its_error(seed: int) -> None:
    energy = random_grid(seed, height=12, width=12, batch=(2,))
    found = log_determinant(energy, method="lanczos", probes=64, rng=generator(seed))
    off = (found.value - exact(energy)).abs()
    assert bool((off <= 4 * found.error).all()) and float(found.error.max()) < 3.0


def test_lanczos_is_exact_on_a_diagonal_matrix_of_few_values() -> None:
    diagonal = torch.tensor([1.0, 2.0, 5.0]).double().repeat(5)
    energy = dense_energy(diagonal.diag(), torch.ones(15, dtype=torch.float64))
    found = log_determinant(energy, method="lanczos", probes=4)
    torch.testing.assert_close(found.value, diagonal.log().sum(), rtol=1e-10, atol=1e-10)
    assert float(found.error) < 1e-9


def test_problems_end_to_end() -> None:
    parts = [random_grid(5, height=3, width=4), random_grid(6, height=5, width=1)]
    found = log_determinant(union(parts))
    torch.testing.assert_close(found.value, torch.stack([exact(part) for part in parts]))


def test_density_is_that_of_the_closed_form() -> None:
    energy = random_grid(1, batch=(3,))
    oracle = solve_densely(energy)
    x = torch.randn(4, 3, 5, 4, generator=generator(2), dtype=torch.float64)
    normal: Any = torch.distributions.MultivariateNormal(
        oracle.mean, precision_matrix=oracle.matrix, validate_args=False
    )
    expected = normal.log_prob(x.flatten(-2))
    torch.testing.assert_close(gaussian_density(energy).log_prob(x), cast(Tensor, expected))
    torch.testing.assert_close(log_partition(energy).value, oracle.log_partition)
    estimate = log_determinant(energy, method="lanczos", probes=64)
    rough = log_partition(energy, determinant=estimate)
    assert bool(((rough.value - oracle.log_partition).abs() <= 4 * rough.error).all())


def parameters(seed: int) -> list[Tensor]:
    base = random_grid(seed, height=2, width=3)
    given = [getattr(base, name).clone() for name in NAMES]
    given[2] = given[2] + 0.5
    return [each.requires_grad_(True) for each in given]


def test_gradient_of_the_log_density_in_every_parameter() -> None:
    x = torch.randn(2, 3, generator=generator(3), dtype=torch.float64)

    def log_prob(*parts: Tensor) -> Tensor:
        energy = GridGcrf(**dict(zip(NAMES, parts, strict=True)))
        return gaussian_density(energy).log_prob(x)

    assert torch.autograd.gradcheck(log_prob, parameters(4), atol=1e-6)


def test_gradient_of_the_estimate_is_that_of_the_trace() -> None:
    given = parameters(5)
    energy = GridGcrf(**dict(zip(NAMES, given, strict=True)))
    found: Any = torch.autograd.grad(
        log_determinant(energy, method="lanczos", probes=4000).value, given, allow_unused=True
    )
    true: Any = torch.autograd.grad(
        log_determinant(energy, method="cholesky").value, given, allow_unused=True
    )
    for one, other in zip(found, true, strict=True):
        if other is not None:
            torch.testing.assert_close(one, other, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("method", ["cholesky", "lanczos"])
def test_not_positive_definite_is_refused(method: Method) -> None:
    matrix = spd(12, 0) - 5 * torch.eye(12, dtype=torch.float64)
    energy = dense_energy(matrix, torch.ones(12, dtype=torch.float64))
    with pytest.raises(ValueError, match="positive definite"):
        log_determinant(energy, method=method)


def test_too_few_probes_are_refused() -> None:
    with pytest.raises(ValueError, match="probes must be at least 2"):
        log_determinant(random_grid(0), probes=1)
