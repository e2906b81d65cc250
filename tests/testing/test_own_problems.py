"""A plugin's own energies as problems of its solvers: batches and gradients by dense solves."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from groundstate.energy import Views, evaluate_quadratic
from groundstate.space import Real
from groundstate.testing.laws.gradients import implicit_gradient_equals_finite_differences
from groundstate.testing.laws.solver import batch_equals_loop
from groundstate.testing.problems.problem import Problem
from groundstate.testing.problems.quadratic import positive_definite, quadratic
from groundstate.testing.saying import Broken
from groundstate.testing.zoo.toys import Descent
from groundstate.views import Quadratic


@dataclass(frozen=True, kw_only=True)
class Chain:
    """λ‖x‖² / 2 plus half the weighted squares of neighbours' differences, minus bᵀx."""

    weights: Tensor
    scale: Tensor
    linear: Tensor

    @property
    def space(self) -> Real:
        shape = self.linear.shape
        return Real(event_shape=shape[-1:], batch_shape=shape[:-1], dtype=self.linear.dtype)

    @property
    def views(self) -> Views:
        return {Quadratic: lambda: self.quadratic}

    @property
    def quadratic(self) -> Quadratic:
        none = self.weights.new_zeros(1)
        return Quadratic(
            matvec=self.matvec,
            linear=self.linear,
            constant=self.linear.new_zeros(self.linear.shape[:-1]),
            diagonal=self.scale + torch.cat([self.weights, none]) + torch.cat([none, self.weights]),
        )

    def matvec(self, x: Tensor) -> Tensor:
        flow = self.weights * x.diff(dim=-1)
        none = torch.zeros_like(x[..., :1])
        return self.scale * x - torch.cat([flow, none], -1) + torch.cat([none, flow], -1)

    def __call__(self, x: Tensor, /) -> Tensor:
        return evaluate_quadratic(self.quadratic, self.space, x)


def chain() -> Chain:
    rng = torch.Generator().manual_seed(0)
    return Chain(
        weights=torch.rand(4, generator=rng, dtype=torch.float64),
        scale=torch.tensor(0.7, dtype=torch.float64),
        linear=torch.randn(3, 5, generator=rng, dtype=torch.float64),
    )


def test_gradient_in_the_tensors_of_an_energy() -> None:
    problem = Problem(name="chain", energy=chain(), own=True)
    implicit_gradient_equals_finite_differences(Descent(tolerance=1e-9), problem)
    with pytest.raises(Broken, match="in the tensors of the energy"):
        implicit_gradient_equals_finite_differences(Descent(tolerance=0.3), problem)


def test_a_batch_that_cannot_be_taken_apart() -> None:
    matrices = positive_definite(6, 2, batch=(2, 2))
    linear = torch.randn(2, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for energy in (chain(), quadratic(matrices, linear)):
        problem = Problem(name="batch", energy=energy, own=True)
        batch_equals_loop(Descent(), problem)
        with pytest.raises(Broken, match="problem 0"):
            batch_equals_loop(Descent(shared=True), problem)
