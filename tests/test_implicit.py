"""Gradients through a minimiser cost one more solve and no memory per step."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from tests.toys import F64, Descent, bowl, tensor
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy, QuadraticEnergy
from groundstate.implicit import attach_gradient
from groundstate.solution import SolveError
from groundstate.solver import Deadline, State
from groundstate.space import Real
from groundstate.views import Quadratic


def dense(a: Tensor, b: Tensor) -> QuadraticEnergy:
    return QuadraticEnergy(
        quadratic=Quadratic(
            matvec=lambda x: x @ a, linear=b, constant=b.new_zeros(()), diagonal=a.diagonal()
        ),
        space=Real(event_shape=(b.shape[-1],), batch_shape=tuple(b.shape[:-1]), dtype=b.dtype),
    )


def minimise(a: Tensor, b: Tensor) -> Tensor:
    return gs.solve(dense(a + a.T, b), Descent(rate=0.2), steps=500, gradient="implicit").x


def test_it_is_the_derivative_by_finite_differences() -> None:
    rng = torch.Generator().manual_seed(0)
    root = torch.randn(3, 3, generator=rng, dtype=F64)
    a = (0.1 * (root @ root.T) + torch.eye(3, dtype=F64)).requires_grad_()
    b = torch.randn(2, 3, generator=rng, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(minimise, (a, b), atol=1e-6)


def test_it_solves_once_more_and_only_once() -> None:
    asked: list[Tensor] = []

    def solve_linear(gradient: Tensor) -> Tensor:
        asked.append(gradient)
        return gradient / 2.0

    b = tensor(4.0).requires_grad_()
    x = attach_gradient(bowl(b, tensor(2.0)), tensor(2.0), solve_linear)
    assert x.tolist() == [2.0]
    assert not asked
    x.sum().backward()
    assert [each.tolist() for each in asked] == [[1.0]]
    assert b.grad is not None and b.grad.tolist() == [0.5]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Steepest descent that notes what it was asked to prepare for."""

    asked: list[Energy]
    inner: Descent = field(default_factory=lambda: Descent(rate=0.2))
    ready: bool = False

    def prepared(self, energy: Energy) -> "Prepared":
        self.asked.append(energy)
        return replace(self, ready=True)

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        assert self.ready
        return self.inner.init(energy, x0, rng)

    def step(self, energy: Energy, state: Any, deadline: Deadline) -> State:
        return self.inner.step(energy, state, deadline)

    def status(self, state: Any) -> Tensor:
        return self.inner.status(state)


def test_the_matrix_is_prepared_once_for_both_solves() -> None:
    solver = Prepared(asked=[])
    a = torch.tensor([[2.0, 0.5], [0.5, 3.0]], dtype=F64)
    b = torch.ones(2, dtype=F64, requires_grad=True)
    energy = dense(a, b)
    assert isinstance(solver, gs.PreparableSolver)
    gs.solve(energy, solver, steps=500, gradient="implicit").x.sum().backward()
    assert solver.asked == [energy] and b.grad is not None
    torch.testing.assert_close(b.grad, torch.linalg.solve(a, torch.ones(2, dtype=F64)))


def test_without_a_gradient_nothing_is_prepared() -> None:
    solver = Prepared(asked=[], ready=True)
    gs.solve(dense(torch.eye(2, dtype=F64), torch.ones(2, dtype=F64)), solver, steps=500)
    assert not solver.asked


def test_the_gradient_of_an_indefinite_form_is_refused() -> None:
    with pytest.raises(SolveError):
        gs.solve(
            bowl(tensor(1.0).requires_grad_(), tensor(-1e200)),
            Descent(rate=1.0),
            steps=50,
            gradient="implicit",
        )


def test_the_inner_value_is_not_changed_by_asking_for_a_gradient() -> None:
    b = tensor(1.0, -3.0).requires_grad_()
    plain, graph = (gs.solve(bowl(b), Descent(), gradient=kind) for kind in ("none", "implicit"))
    assert torch.equal(plain.x, graph.x.detach())
    assert graph.x.requires_grad
