"""Correct toy solvers, some with a fault to be switched on."""

import itertools
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.component import Component
from groundstate.energy import Energy, view
from groundstate.errors import ViewError
from groundstate.factors import FactorGraph
from groundstate.solver import Beliefs, Deadline, State, generator_from
from groundstate.space import Discrete, Space
from groundstate.status import Status
from groundstate.testing.oracles import enumerate_labellings
from groundstate.testing.typed import ints
from groundstate.testing.zoo.animal import Animal, component
from groundstate.testing.zoo.twisting import Twisted
from groundstate.views import Quadratic


@dataclass(frozen=True, kw_only=True)
class Sloped(State):
    """Adds the status, which steps find out."""

    ended: Int[Tensor, "*batch"]


@dataclass(frozen=True, kw_only=True)
class Descent:
    """Steepest descent with the exact step length, each problem on its own.

    Attributes:
        tolerance: of the relative residual.
        shared: (a fault) one step length for the whole batch.
        cut: (a fault) no gradient through the step length.
    """

    tolerance: float = 1e-7
    shared: bool = False
    cut: bool = False

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        view(energy, Quadratic)
        return self.judged(energy, energy.space.sample(rng) if x0 is None else x0.clone())

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        rest = quadratic.linear - quadratic.matvec(state.x)
        top, bottom = layout.dot(rest, rest), layout.dot(rest, quadratic.matvec(rest))
        if self.shared:
            top, bottom = top.sum().expand_as(top), bottom.sum().expand_as(bottom)
        length = torch.where(bottom > 0, top, 0.0) / torch.where(bottom > 0, bottom, 1.0)
        length = torch.where(state.ended == Status.RUNNING, length, 0.0)
        length = length.detach() if self.cut else length
        moved = self.judged(energy, state.x + layout.expand(length) * rest)
        lost = (bottom < 0) & (state.ended == Status.RUNNING)
        ended = torch.where(lost, int(Status.INDEFINITE), moved.ended)
        running = state.ended == Status.RUNNING
        return replace(moved, ended=torch.where(running, ended, state.ended))

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return state.ended

    def judged(self, energy: Energy, x: Tensor) -> Sloped:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        rest = (quadratic.linear - quadratic.matvec(x)).detach()
        size = layout.dot(rest, rest)
        linear = quadratic.linear.expand_as(x)
        right = layout.dot(linear, linear).sqrt().detach()
        residual = size.sqrt() / torch.where(right > 0, right, 1.0)
        value = energy(x.detach()).detach()
        bound = None if quadratic.floor is None else value - size / (2 * quadratic.floor)
        ended = torch.where(residual <= self.tolerance, int(Status.CONVERGED), int(Status.RUNNING))
        ended = torch.where(residual.isnan(), int(Status.DIVERGED), ended)
        coarse = x.dtype != torch.float64  # in float32 a bound is no better than its rounding
        room = 1e-5 * (1 + value.abs()) if coarse else 0.0
        return Sloped(
            x=x,
            energy=value,
            residual=residual,
            bound=None if bound is None else bound - room,
            ended=ended,
        )


@dataclass(frozen=True, kw_only=True)
class Greedy:
    """Takes the best move of one variable, until none helps."""

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        graph = _one_shape(energy)
        x = energy.space.sample(rng) if x0 is None else x0.clone()
        running = torch.full(energy.space.layout.batch_shape, int(Status.RUNNING))
        return Sloped(x=x, energy=energy(x), bound=graph.bound().clone(), ended=running)

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        graph = _one_shape(energy)
        labels = _flat(energy.space, state.x)
        moves = graph.moves(labels)
        best = graph.best_labels(moves)
        now = moves.gather(-1, graph.offsets + labels)
        gain = (now - moves.gather(-1, graph.offsets + best)).nan_to_num(0.0, posinf=1e30)
        chosen = gain.argmax(-1, keepdim=True)
        helps = gain.gather(-1, chosen) > 1e-12
        taken = torch.where(helps, best.gather(-1, chosen), labels.gather(-1, chosen))
        x = labels.scatter(-1, chosen, taken).reshape(state.x.shape)
        ended = torch.where(helps[..., 0], int(Status.RUNNING), int(Status.CONVERGED))
        return replace(state, x=x, energy=energy(x), ended=ended)

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return state.ended


@dataclass(frozen=True, kw_only=True)
class Enumerating:
    """Looks at every labelling in its one step; gives exact marginals."""

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        graph = _one_shape(energy)
        if int(graph.counts.double().log2().sum()) > 16:
            raise ValueError("at most 2^16 labellings are looked at")
        x = energy.space.sample(rng) if x0 is None else x0.clone()
        running = torch.full(energy.space.layout.batch_shape, int(Status.RUNNING))
        return Sloped(x=x, ended=running)

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        found = enumerate_labellings(energy)
        feasible = found.minimum.isfinite()
        log_partition = found.log_partition
        return Sloped(
            x=found.minimiser,
            energy=energy(found.minimiser),
            bound=found.minimum,
            beliefs=Beliefs(
                marginals=found.marginals.nan_to_num(0.0),
                log_partition=log_partition,
                lower=log_partition,
                upper=log_partition,
            ),
            ended=torch.where(feasible, int(Status.OPTIMAL), int(Status.INFEASIBLE)),
        )

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return state.ended


@dataclass(frozen=True, kw_only=True)
class HeatBath:
    """Gibbs sampling: each step draws every variable once, given the others.

    Attributes:
        temperature: of what it draws from; only 1 is right.
        source: where its random numbers come from.
    """

    temperature: float = 1.0
    source: str = "state"

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Sloped:
        _one_shape(energy)
        x = energy.space.sample(rng) if x0 is None else x0.clone()
        running = torch.full(energy.space.layout.batch_shape, int(Status.RUNNING))
        return Sloped(x=x, ended=running, rng=rng.get_state())

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        graph = _one_shape(energy)
        assert state.rng is not None
        rng = generator_from(state.rng, torch.device("cpu"))
        labels = _flat(energy.space, state.x).clone()
        for variable, (first, count) in enumerate(
            zip(ints(graph.offsets), ints(graph.counts), strict=True)
        ):
            moves = graph.moves(labels)[..., first : first + count]
            chances = torch.softmax(-moves / self.temperature, -1).nan_to_num(1.0 / count)
            uniform = self._uniform(labels.shape[:-1], rng)
            drawn = (chances.cumsum(-1) < uniform[..., None]).sum(-1)
            labels[..., variable] = drawn.clamp(max=count - 1)
        return replace(state, x=labels.reshape(state.x.shape), rng=rng.get_state())

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return state.ended

    def _uniform(self, shape: torch.Size, rng: torch.Generator) -> Float[Tensor, "..."]:
        if self.source == "global":
            return torch.rand(shape, dtype=torch.float64)
        if self.source == "clock":
            rng = torch.Generator().manual_seed(time.perf_counter_ns() % (1 << 31))
        if self.source == "fixed":
            rng = torch.Generator().manual_seed(next(_CALLS))
        return torch.rand(shape, dtype=torch.float64, generator=rng)


_CALLS = itertools.count()


def _one_shape(energy: Energy) -> FactorGraph:
    graph = view(energy, FactorGraph)
    if graph.segments is not None:
        raise ViewError("this toy takes no problems that lie end to end")
    return graph


def _flat(space: Space, x: Tensor) -> Tensor:
    assert isinstance(space, Discrete)
    return x.flatten(x.dim() - space.counts.dim())


_DESCENT = ("batched", "bound", "monotone", "residual", "unrolled-gradient", "implicit-gradient")
_GREEDY = ("batched", "bound", "higher-order-moves", "monotone")
_ENUMERATING = ("batched", "beliefs", "bound", "exact", "exact-beliefs", "exact-on-trees")


def correct() -> dict[str, Component]:
    """The correct solvers by name."""

    def make(name: str, solver: Any, view_name: str, claims: tuple[str, ...]) -> Component:
        return component(
            "solver", name, lambda: [solver], target=Twisted, needs=(view_name,), claims=claims
        )

    return {
        "descent": make("descent", Descent(), "Quadratic", _DESCENT),
        "greedy": make("greedy", Greedy(), "FactorGraph", _GREEDY),
        "enumerating": make("enumerating", Enumerating(), "FactorGraph", _ENUMERATING),
        "heat-bath": make("heat-bath", HeatBath(), "FactorGraph", ("sampler",)),
    }


def wrong(
    name: str,
    fault: str,
    solver: Any,
    sibling: str,
    law: str,
    claims: tuple[str, ...] | None = None,
) -> Animal:
    """A solver with one fault, made from the correct one of that name."""
    twin = correct()[sibling]
    made = component(
        "solver",
        name,
        lambda: [solver],
        target=Twisted,
        needs=twin.needs,
        claims=twin.claims if claims is None else claims,
    )
    return Animal(fault=fault, component=made, sibling=twin, caught_by=law)
