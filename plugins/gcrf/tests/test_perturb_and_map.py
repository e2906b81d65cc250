"""`generator/perturb-and-map`: samples have the mean and the covariance of the Gaussian."""

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any, cast

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, normal
from plugins.gcrf.tests.systems import dense_energy, dense_of, generator, random_grid, spd
from torch import Tensor

from groundstate.energy import view
from groundstate.errors import ViewError
from groundstate.generator import Generator
from groundstate.solution import SolveError
from groundstate.testing.oracles import solve_densely
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.examples import inverses, videos
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.video import Neighbourhood, TemporalDiagonal, video_gcrf
from groundstate_gcrf.grid import GridGcrf
from groundstate_gcrf.perturb_and_map import PerturbAndMap
from groundstate_gcrf.structure import Factored

SOLVER = ConjugateGradients(tolerance=1e-12)
SAMPLES = 20_000


def worst_z_score(samples: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """The largest deviation of a first or second moment, in its own standard errors.

    For Gaussian samples the standard error of (x_i - μ_i)(x_j - μ_j) is √((C_ii C_jj + C_ij²) / n).
    """
    n, centred = len(samples), samples - mean
    variance = covariance.diagonal()
    first = centred.mean(0) / (variance / n).sqrt()
    error = ((variance[:, None] * variance + covariance**2) / n).sqrt()
    second = (centred.mT @ centred / n - covariance) / error
    return float(torch.cat([first, second.flatten()]).abs().max())


def threshold(variables: int) -> float:
    """Of the worst |z| among all moments: exceeded by chance once in 1000 runs (Bonferroni)."""
    moments = variables + variables * (variables + 1) // 2
    return NormalDist().inv_cdf(1 - 1e-3 / (2 * moments))


@pytest.mark.parametrize("diagonal", [0.5, 0.0])
def test_moments_of_the_samples(diagonal: float) -> None:
    energy = random_grid(0, height=3, width=4, diagonal=diagonal)
    samples = PerturbAndMap(energy=energy, solver=SOLVER).sample(SAMPLES, None, generator(1))
    oracle = solve_densely(energy)
    flat = samples.reshape(SAMPLES, 12)
    assert worst_z_score(flat, oracle.mean, oracle.covariance) < threshold(12)


def test_the_moment_test_would_notice_a_wrong_factor() -> None:
    energy = random_grid(0, height=3, width=4, diagonal=0.5)
    samples = PerturbAndMap(energy=energy, solver=SOLVER).sample(SAMPLES, None, generator(1))
    oracle = solve_densely(energy)
    spread = oracle.mean + 1.05 * (samples.reshape(SAMPLES, 12) - oracle.mean)
    assert worst_z_score(spread, oracle.mean, oracle.covariance) > threshold(12)


def test_noise_has_the_covariance_of_the_matrix() -> None:
    energy = random_grid(2, height=3, width=3)
    noise = view(energy, Factored).noise((SAMPLES,), generator(3)).reshape(SAMPLES, 9)
    zero = torch.zeros(9, dtype=torch.float64)
    assert worst_z_score(noise, zero, dense_of(energy)) < threshold(9)


NEIGHBOURHOODS: tuple[Neighbourhood, ...] = ("2", "4", "6-multiscale", "full")


@pytest.mark.parametrize("temporal_diagonal", ["none", "gram"])
@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
def test_noise_of_a_video(
    neighbourhood: Neighbourhood, temporal_diagonal: TemporalDiagonal
) -> None:
    energy = video_gcrf(
        unary=normal(0, 3, 1, 2, 1),
        spatial=normal(1, 3, 2, 1, 2, 1),
        temporal=normal(2, 3, 2, 1, 2, 1),
        neighbourhood=neighbourhood,
        temporal_diagonal=temporal_diagonal,
        diagonal=6.0 if temporal_diagonal == "none" else 0.5,
    )
    draws = view(energy, Factored).noise((SAMPLES,), generator(3)).reshape(SAMPLES, 6)
    zero = torch.zeros(6, dtype=torch.float64)
    assert worst_z_score(draws, zero, dense(energy)) < threshold(6)


def test_noise_of_a_video_that_is_not_proved_definite_is_refused() -> None:
    energy = video_gcrf(
        unary=normal(0, 3, 1, 2, 1),
        spatial=normal(1, 3, 2, 1, 2, 1),
        temporal=normal(2, 3, 2, 1, 2, 1, size=10.0),
        guard="report",
    )
    with pytest.raises(NotPositiveDefinite, match="noise with the covariance A"):
        view(energy, Factored).noise((1,), generator(3))


def test_noise_where_the_covariance_is_given() -> None:
    energy = inverse_gcrf(unary=normal(0, 2, 2, 1), embeddings=normal(1, 2, 2, 2, 1), diagonal=0.5)
    draws = view(energy, Factored).noise((SAMPLES,), generator(3)).reshape(SAMPLES, 4)
    zero = torch.zeros(4, dtype=torch.float64)
    assert worst_z_score(draws, zero, dense(energy)) < threshold(4)


@pytest.mark.parametrize("energy", [*videos(), *inverses()])
def test_noise_of_batches_has_their_shape_and_gradients(energy: GaussianCrf) -> None:
    matrix = cast(Any, energy.matrix)
    scale = cast(Tensor, matrix.scale).clone().requires_grad_()
    learned = replace(energy, matrix=replace(matrix, scale=scale))
    draws = view(learned, Factored).noise((2, 3), generator(3))
    assert draws.shape == (2, 3, *energy.space.layout.shape)
    assert bool(torch.autograd.grad(draws.square().sum(), scale)[0].isfinite().all())


def test_problems_of_a_batch_are_sampled_independently() -> None:
    energy = random_grid(4, height=2, width=2, batch=(2,))
    samples = PerturbAndMap(energy=energy, solver=SOLVER).sample(SAMPLES, None, generator(5))
    oracle = solve_densely(energy)
    covariance = cast(Tensor, torch.block_diag(*oracle.covariance))
    flat = samples.reshape(SAMPLES, 8)
    assert worst_z_score(flat, oracle.mean.flatten(), covariance) < threshold(8)


def test_shape_seed_and_protocol() -> None:
    energy = random_grid(6, batch=(2,))
    sampler = PerturbAndMap(energy=energy, solver=SOLVER)
    assert isinstance(sampler, Generator)
    samples = sampler.sample(3, None, generator(7))
    assert samples.shape == (3, 2, 5, 4) and not samples.requires_grad
    assert torch.equal(samples, sampler.sample(3, None, generator(7)))
    assert not torch.equal(samples, sampler.sample(3, None, generator(8)))
    assert sampler.sample(0, None, generator(7)).shape == (0, 2, 5, 4)


def test_reparametrised_samples_carry_true_gradients() -> None:
    energy = random_grid(9, height=2, width=3)
    names = ("right", "down", "values", "strength", "diagonal")

    def drawn(*parameters: Tensor) -> Tensor:
        changed: GridGcrf = replace(energy, **dict(zip(names, parameters, strict=True)))
        sampler = PerturbAndMap(
            energy=changed, solver=ConjugateGradients(tolerance=1e-14), reparametrised=True
        )
        return sampler.sample(2, None, generator(10))

    given = tuple(getattr(energy, name).clone().requires_grad_(True) for name in names)
    assert torch.autograd.gradcheck(drawn, given, atol=1e-7)


def test_gradient_of_an_expectation() -> None:
    """d/dλ of E[½‖x‖²] = ½tr(A⁻¹) + ½‖μ‖², whose derivative is known in closed form."""
    energy = random_grid(11, height=2, width=2)
    ridge = energy.diagonal.clone().requires_grad_(True)
    sampler = PerturbAndMap(
        energy=replace(energy, diagonal=ridge), solver=SOLVER, reparametrised=True
    )
    samples = sampler.sample(SAMPLES, None, generator(12))
    (found,) = torch.autograd.grad(0.5 * samples.square().sum((-2, -1)).mean(), ridge)
    oracle = solve_densely(energy)
    inverse = oracle.covariance
    expected = -0.5 * inverse.square().sum() - oracle.mean @ inverse @ oracle.mean
    assert float(found) == pytest.approx(float(expected), rel=5 * math.sqrt(2 / SAMPLES))


def test_a_condition_is_refused() -> None:
    sampler = PerturbAndMap(energy=random_grid(0), solver=SOLVER)
    with pytest.raises(ValueError, match="no condition"):
        sampler.sample(1, torch.zeros(1), generator(0))


def test_samples_that_would_not_be_exact_are_refused() -> None:
    sampler = PerturbAndMap(
        energy=random_grid(0), solver=ConjugateGradients(tolerance=1e-12, check_every=1), steps=2
    )
    with pytest.raises(SolveError, match="only if its solve converges"):
        sampler.sample(1, None, generator(0))


def test_an_energy_without_a_factor_is_refused() -> None:
    energy = dense_energy(spd(4, 0), torch.ones(4, dtype=torch.float64))
    with pytest.raises(ViewError, match="Factored is needed"):
        PerturbAndMap(energy=energy, solver=SOLVER).sample(1, None, generator(0))
