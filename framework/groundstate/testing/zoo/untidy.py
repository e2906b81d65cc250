"""Wrong solvers: they write where they must not, forget, mix problems, draw from elsewhere."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate.testing.zoo.animal import Animal
from groundstate.testing.zoo.toys import Descent, Greedy, HeatBath, Sloped, wrong
from groundstate.testing.zoo.twisting import Twisted, twisted
from groundstate.views import Quadratic


@dataclass(frozen=True, kw_only=True)
class WritesToStart:
    """Works on x0 itself."""

    inner: Descent = field(default_factory=Descent)

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        state = self.inner.init(energy, x0, rng)
        if x0 is not None:
            x0.zero_()
        return state

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        return self.inner.step(energy, state, deadline)

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return self.inner.status(state)


@dataclass(frozen=True, kw_only=True)
class WritesInPlace:
    """Moves the x of the state it was given."""

    inner: Descent = field(default_factory=Descent)

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        return self.inner.init(energy, x0, rng)

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        after = self.inner.step(energy, state, deadline)
        state.x.copy_(after.x)
        return replace(after, x=state.x)

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return self.inner.status(state)


@dataclass(frozen=True, kw_only=True)
class Remembers:
    """Keeps how many steps it took in itself, where a resumed run does not find it."""

    memory: dict[str, int] = field(default_factory=dict[str, int])

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        self.memory["steps"] = 0
        return Descent().init(energy, x0, rng)

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        self.memory["steps"] = self.memory.get("steps", 0) + 1
        after = Descent().step(energy, state, deadline)
        x = state.x + (after.x - state.x) / self.memory["steps"]
        return replace(Descent().judged(energy, x), ended=after.ended)

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return state.ended


@dataclass(kw_only=True)
class Thawed:
    """Its settings can be changed under way."""

    inner: Descent = field(default_factory=Descent)

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        return self.inner.init(energy, x0, rng)

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        return self.inner.step(energy, state, deadline)

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return self.inner.status(state)


def _writes_to_problem(energy: Energy, state: Any) -> Any:
    view(energy, Quadratic).linear.mul_(1.5)
    return state


def _in_single(energy: Energy, state: Any) -> Any:
    return replace(state, x=state.x.float())


def _incomplete(energy: Energy, state: Any) -> Any:
    return replace(state, x=torch.where(state.ended == Status.RUNNING, state.x - 1, state.x))


def _elsewhere(energy: Energy, state: Any) -> Any:
    return replace(state, x=torch.zeros_like(state.x), energy=None, residual=None, bound=None)


def animals() -> list[Animal]:
    """Solvers that do not keep to themselves."""
    return [
        wrong(
            "writes-to-start",
            "writes to x0",
            WritesToStart(),
            "descent",
            "start_is_not_written_to",
        ),
        wrong(
            "writes-to-problem",
            "writes to the energy",
            Twisted(inner=Descent(), after_step=_writes_to_problem),
            "descent",
            "problem_is_not_written_to",
        ),
        wrong(
            "writes-in-place",
            "writes to the state before",
            WritesInPlace(),
            "descent",
            "earlier_states_are_not_written_to",
        ),
        wrong(
            "cross-talk",
            "takes one step length for the whole batch",
            Descent(shared=True),
            "descent",
            "batch_equals_loop",
        ),
        wrong(
            "global-randomness",
            "draws from the global generator",
            HeatBath(source="global"),
            "heat-bath",
            "global_randomness_is_untouched",
        ),
        wrong(
            "not-reproducible",
            "draws another seed each time",
            HeatBath(source="fixed"),
            "heat-bath",
            "same_seed_same_result",
        ),
        wrong(
            "remembers",
            "keeps its state in itself and loses it on resume",
            Remembers(),
            "descent",
            "resumes_where_it_stopped",
        ),
        wrong(
            "thawed",
            "its settings can be assigned",
            Thawed(),
            "descent",
            "settings_are_frozen",
        ),
        wrong(
            "single",
            "works in float32 whatever it is given",
            twisted(Descent(), _in_single),
            "descent",
            "float32_and_float64",
        ),
        wrong(
            "incomplete",
            "has labels of -1 where it is not decided",
            twisted(Greedy(), _incomplete),
            "greedy",
            "x_is_complete_at_every_step",
        ),
        wrong(
            "elsewhere",
            "starts where it likes",
            Twisted(inner=Descent(), after_init=_elsewhere),
            "descent",
            "zero_steps_returns_start",
        ),
    ]
