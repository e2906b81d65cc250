"""Tiny energies and solvers whose every answer is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import Energy, FunctionEnergy, QuadraticEnergy, view
from groundstate.solver import Beliefs, Deadline, State, generator_from
from groundstate.space import Discrete, Real
from groundstate.status import Status
from groundstate.views import Quadratic

torch.set_num_threads(1)
F64 = torch.float64


def tensor(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=F64)


def bowl(linear: Tensor, diagonal: Tensor | None = None, event: int = 1) -> QuadraticEnergy:
    """½ Σ a x² - Σ b x, whose minimiser is b / a; the last `event` dimensions are the event."""
    a = torch.ones_like(linear) if diagonal is None else diagonal
    split = linear.dim() - event
    return QuadraticEnergy(
        quadratic=Quadratic(
            matvec=lambda x: a * x,
            linear=linear,
            constant=linear.new_zeros(linear.shape[:split]),
            diagonal=a.expand_as(linear),
        ),
        space=Real(
            event_shape=tuple(linear.shape[split:]),
            batch_shape=tuple(linear.shape[:split]),
            dtype=linear.dtype,
        ),
    )


def table(values: Sequence[float]) -> FunctionEnergy:
    """One variable; the energy of label k is `values[k]`."""
    energies = torch.tensor(values, dtype=F64)
    return FunctionEnergy(
        function=lambda x: energies[x[..., 0]], space=Discrete(counts=torch.tensor([len(values)]))
    )


@dataclass(frozen=True, kw_only=True)
class DescentState(State):
    gradient: Tensor


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Gradient descent on the quadratic view.

    Attributes:
        rate: of a step.
        tolerance: the largest entry of the gradient at which it is done.
        apart: whether each entry of x is a problem of its own.
    """

    rate: float = 0.5
    tolerance: float = 1e-12
    apart: bool = False

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> DescentState:
        quadratic = view(energy, Quadratic)
        x = torch.zeros_like(quadratic.linear) if x0 is None else x0
        return DescentState(x=x, gradient=quadratic.matvec(x) - quadratic.linear)

    def step(self, energy: Energy, state: DescentState, deadline: Deadline) -> DescentState:
        quadratic = view(energy, Quadratic)
        x = state.x - self.rate * state.gradient
        return DescentState(x=x, gradient=quadratic.matvec(x) - quadratic.linear)

    def status(self, state: DescentState) -> Tensor:
        largest = state.gradient.abs() if self.apart else state.gradient.abs().amax(-1)
        small = largest <= self.tolerance
        return torch.where(small, int(Status.CONVERGED), int(Status.RUNNING))


@dataclass(frozen=True, kw_only=True)
class ScriptedState(State):
    step: int


def nothing(step: int) -> None:
    """No claim."""


def always(value: float) -> Callable[[int], Tensor]:
    """The same claim at each step."""
    return lambda step: torch.tensor(value, dtype=F64)


def each(*values: float | Sequence[float]) -> Callable[[int], Tensor]:
    """A claim for each step."""
    return lambda step: torch.tensor(values[step], dtype=F64)


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """Goes through given configurations and makes given claims, true or not.

    Attributes:
        xs: the configuration at each step, along the first dimension.
        done: the status after the last one.
        energy, bound, residual, beliefs: what is claimed at each step.
        during: called at each step.
    """

    xs: Tensor
    done: Tensor = field(default_factory=lambda: torch.tensor(int(Status.CONVERGED)))
    energy: Callable[[int], Tensor | None] = nothing
    bound: Callable[[int], Tensor | None] = nothing
    residual: Callable[[int], Tensor | None] = nothing
    beliefs: Callable[[int], Beliefs | None] = nothing
    during: Callable[[int], None] = nothing

    def at(self, step: int) -> ScriptedState:
        return ScriptedState(
            x=self.xs[step],
            energy=self.energy(step),
            bound=self.bound(step),
            residual=self.residual(step),
            beliefs=self.beliefs(step),
            step=step,
        )

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> ScriptedState:
        return self.at(0)

    def step(self, energy: Energy, state: ScriptedState, deadline: Deadline) -> ScriptedState:
        self.during(state.step + 1)
        return self.at(state.step + 1)

    def status(self, state: ScriptedState) -> Tensor:
        running = torch.full_like(self.done, int(Status.RUNNING))
        return self.done if state.step == len(self.xs) - 1 else running


@dataclass(frozen=True, kw_only=True)
class Walk:
    """A random walk that never ends; its randomness is in its state."""

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        x = energy.space.sample(rng) if x0 is None else x0
        return State(x=x, rng=rng.get_state())

    def step(self, energy: Energy, state: State, deadline: Deadline) -> State:
        assert state.rng is not None
        rng = generator_from(state.rng, torch.device("cpu"))
        moved = state.x + torch.randn(state.x.shape, generator=rng, dtype=state.x.dtype)
        return replace(state, x=moved, rng=rng.get_state())

    def status(self, state: State) -> Tensor:
        return torch.tensor(int(Status.RUNNING))
