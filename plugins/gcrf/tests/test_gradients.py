"""Gradients through the minimiser of a grid energy found by conjugate gradients (f)."""

from collections.abc import Callable
from typing import Literal, cast

import pytest
import torch
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd
from torch import Tensor

from groundstate.solving import solve
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.grid import GridGcrf, grid_gcrf

SOLVER = ConjugateGradients(tolerance=1e-14, check_every=16)
NAMES = ("right", "down", "pinned", "values", "strength", "diagonal")


def minimiser(gradient: Literal["implicit", "unrolled"]) -> Callable[..., Tensor]:
    def solved(*parameters: Tensor) -> Tensor:
        energy = GridGcrf(**dict(zip(NAMES, parameters, strict=True)))
        return solve(energy, SOLVER, gradient=gradient).x

    return solved


def parameters(batch: tuple[int, ...] = ()) -> tuple[Tensor, ...]:
    energy = random_grid(3, height=2, width=3, batch=batch)
    # away from 0, where pins may not become negative
    found = {**{name: getattr(energy, name) for name in NAMES}, "pinned": energy.pinned + 0.5}
    return tuple(found[name].clone().requires_grad_(True) for name in NAMES)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_implicit_gradient_in_every_parameter(batch: tuple[int, ...]) -> None:
    assert torch.autograd.gradcheck(minimiser("implicit"), parameters(batch), atol=1e-7)


def test_unrolled_gradient_is_the_same() -> None:
    given = parameters()
    weights = torch.randn(2, 3, generator=generator(1), dtype=torch.float64)
    implicit = torch.autograd.grad((weights * minimiser("implicit")(*given)).sum(), given)
    unrolled = torch.autograd.grad((weights * minimiser("unrolled")(*given)).sum(), given)
    for one, other in zip(implicit, unrolled, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-8)


def test_implicit_gradient_reaches_the_image_and_the_settings() -> None:
    rng = generator(2)
    image = torch.rand(2, 3, 2, generator=rng, dtype=torch.float64)
    values = torch.randn(2, 2, 3, generator=rng, dtype=torch.float64)
    pinned = torch.zeros(2, 3, dtype=torch.bool)
    pinned[0, 0] = pinned[1, 2] = True
    scalars = torch.tensor([2.0, 0.5, 1.5, 0.2], dtype=torch.float64)

    def solved(image: Tensor, scalars: Tensor) -> Tensor:
        energy = grid_gcrf(
            image=image,
            pinned=pinned,
            values=values,
            smoothness=scalars[0],
            contrast=scalars[1],
            strength=scalars[2],
            diagonal=scalars[3],
        )
        return solve(energy, SOLVER, gradient="implicit").x

    inputs = (image.requires_grad_(True), scalars.requires_grad_(True))
    assert torch.autograd.gradcheck(solved, inputs, atol=1e-7)


@pytest.mark.parametrize("gradient", ["implicit", "unrolled"])
def test_gradient_of_a_dense_system_in_matrix_and_right_hand_side(
    gradient: Literal["implicit", "unrolled"],
) -> None:
    factor = cast(Tensor, torch.linalg.cholesky(spd(5, 0))).requires_grad_(True)
    linear = torch.randn(2, 5, generator=generator(3), dtype=torch.float64).requires_grad_(True)

    def solved(factor: Tensor, linear: Tensor) -> Tensor:
        return solve(dense_energy(factor @ factor.mT, linear), SOLVER, gradient=gradient).x

    assert torch.autograd.gradcheck(solved, (factor, linear), atol=1e-6)


def test_backward_is_one_more_solve_whatever_the_iterations() -> None:
    calls = [0]

    def counted(product: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        def matvec(x: Tensor) -> Tensor:
            calls[0] += 1
            return product(x)

        return matvec

    energy = dense_energy(spd(20, 1), torch.ones(20, dtype=torch.float64).requires_grad_(True))
    quadratic = energy.quadratic
    object.__setattr__(quadratic, "matvec", counted(quadratic.matvec))
    x = solve(energy, SOLVER, gradient="implicit").x
    forward, calls[0] = calls[0], 0
    x.sum().backward()
    assert 0 < calls[0] <= 1.5 * forward
