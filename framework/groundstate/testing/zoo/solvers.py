"""Wrong solvers, made from a few correct toys."""

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
        return self._judged(energy, energy.space.sample(rng) if x0 is None else x0.clone())

    def step(self, energy: Energy, state: Sloped, deadline: Deadline) -> Sloped:
        quadratic, layout = view(energy, Quadratic), energy.space.layout
        rest = quadratic.linear - quadratic.matvec(state.x)
        top, bottom = layout.dot(rest, rest), layout.dot(rest, quadratic.matvec(rest))
        if self.shared:
            top, bottom = top.sum().expand_as(top), bottom.sum().expand_as(bottom)
        length = torch.where(bottom > 0, top, 0.0) / torch.where(bottom > 0, bottom, 1.0)
        length = torch.where(state.ended == Status.RUNNING, length, 0.0)
        length = length.detach() if self.cut else length
        moved = self._judged(energy, state.x + layout.expand(length) * rest)
        lost = (bottom < 0) & (state.ended == Status.RUNNING)
        ended = torch.where(lost, int(Status.INDEFINITE), moved.ended)
        running = state.ended == Status.RUNNING
        return replace(moved, ended=torch.where(running, ended, state.ended))

    def status(self, state: Sloped) -> Int[Tensor, "*batch"]:
        return state.ended

    def _judged(self, energy: Energy, x: Tensor) -> Sloped:
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


def _same_state(energy: Energy, state: Any) -> Any:
    return state


def _same_status(status: Tensor, state: Any) -> Tensor:
    return status


@dataclass(frozen=True, kw_only=True)
class Twisted:
    """A correct solver with something changed after `init`, `step` and `status`."""

    inner: Any
    after_init: Callable[[Energy, Any], Any] = _same_state
    after_step: Callable[[Energy, Any], Any] = _same_state
    told: Callable[[Tensor, Any], Tensor] = _same_status

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> Any:
        return self.after_init(energy, self.inner.init(energy, x0, rng))

    def step(self, energy: Energy, state: Any, deadline: Deadline) -> Any:
        return self.after_step(energy, self.inner.step(energy, state, deadline))

    def status(self, state: Any) -> Int[Tensor, "..."]:
        return self.told(self.inner.status(state), state)


def _twisted(inner: Any, change: Callable[[Energy, Any], Any]) -> Twisted:
    return Twisted(inner=inner, after_init=change, after_step=change)


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
        return replace(Descent()._judged(energy, x), ended=after.ended)  # pyright: ignore

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


def _tired(energy: Energy, state: Any) -> Any:
    time.sleep(0.4)
    return state


def _uphill(energy: Energy, state: Any) -> Any:
    return replace(state, x=1.5 * state.x + 1)


def _incomplete(energy: Energy, state: Any) -> Any:
    return replace(state, x=torch.where(state.ended == Status.RUNNING, state.x - 1, state.x))


def _restless(energy: Energy, state: Any) -> Any:
    layout = energy.space.layout
    over = layout.expand(state.ended == Status.CONVERGED)
    return replace(state, x=torch.where(over, state.x + 1, state.x))


def _elsewhere(energy: Energy, state: Any) -> Any:
    return replace(state, x=torch.zeros_like(state.x), energy=None, residual=None, bound=None)


def _beliefs(change: Callable[[Beliefs], Beliefs]) -> Callable[[Energy, Any], Any]:
    def changed(energy: Energy, state: Any) -> Any:
        if state.beliefs is None:
            return state
        return replace(state, beliefs=change(state.beliefs))

    return changed


def _constant(status: Status) -> Callable[[Tensor, Any], Tensor]:
    return lambda told, state: torch.full_like(told, int(status))


def _one_for_all(told: Tensor, state: Any) -> Tensor:
    return told.amin() if told.dim() else told


def _blind_to_nan(told: Tensor, state: Any) -> Tensor:
    return torch.where(told == Status.DIVERGED, int(Status.CONVERGED), told)


def _optimist(told: Tensor, state: Any) -> Tensor:
    return torch.where(told == Status.CONVERGED, int(Status.OPTIMAL), told)


def _hopeful(told: Tensor, state: Any) -> Tensor:
    return torch.where(told == Status.INFEASIBLE, int(Status.OPTIMAL), told)


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


def animals() -> list[Animal]:
    """The wrong solvers."""
    siblings = correct()

    def wrong(
        name: str,
        fault: str,
        solver: Any,
        sibling: str,
        law: str,
        claims: tuple[str, ...] | None = None,
    ) -> Animal:
        twin = siblings[sibling]
        made = component(
            "solver",
            name,
            lambda: [solver],
            target=Twisted,
            needs=twin.needs,
            claims=twin.claims if claims is None else claims,
        )
        return Animal(fault=fault, component=made, sibling=twin, caught_by=law)

    descent, greedy, every = Descent(), Greedy(), Enumerating()
    return [
        wrong(
            "boaster",
            "claims a lower energy than it has",
            _twisted(descent, lambda e, s: replace(s, energy=s.energy - 1)),
            "descent",
            "claimed_energy_is_true",
        ),
        wrong(
            "high-bound",
            "claims a bound above the minimum",
            _twisted(descent, lambda e, s: replace(s, bound=s.energy + 0.5)),
            "descent",
            "bound_is_below_minimum",
        ),
        wrong(
            "no-bound",
            "claims a bound and gives none",
            _twisted(greedy, lambda e, s: replace(s, bound=None)),
            "greedy",
            "bound_is_given",
        ),
        wrong(
            "false-residual",
            "reports a residual that it has not",
            _twisted(descent, lambda e, s: replace(s, residual=0.1 * s.residual)),
            "descent",
            "claimed_residual_is_true",
        ),
        wrong(
            "no-residual",
            "claims a residual and gives none",
            _twisted(descent, lambda e, s: replace(s, residual=None)),
            "descent",
            "residual_is_told",
        ),
        wrong(
            "never-out-of-steps",
            "calls every state converged",
            Twisted(inner=descent, told=_constant(Status.CONVERGED)),
            "descent",
            "reports_running_out",
        ),
        wrong(
            "optimist",
            "calls a local minimum optimal",
            Twisted(inner=greedy, told=_optimist),
            "greedy",
            "optimal_means_minimum",
        ),
        wrong(
            "exact-in-name",
            "claims to be exact and is not",
            greedy,
            "greedy",
            "reaches_the_minimum",
            ("exact",),
        ),
        wrong(
            "exact-on-no-tree",
            "claims to be exact on trees and stays where it is",
            Twisted(inner=greedy, told=_constant(Status.CONVERGED)),
            "greedy",
            "is_exact_on_trees",
            ("exact-on-trees",),
        ),
        wrong(
            "blind-to-contradiction",
            "calls a contradiction solved",
            Twisted(inner=every, told=_hopeful),
            "enumerating",
            "no_minimum_is_not_called_converged",
        ),
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
            Twisted(inner=descent, after_step=_writes_to_problem),
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
            "one-status",
            "gives one status for the whole batch",
            Twisted(inner=descent, told=_one_for_all),
            "descent",
            "status_is_one_per_problem",
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
            "uphill",
            "claims to be monotone and rises",
            Twisted(inner=descent, after_step=_uphill),
            "descent",
            "energy_never_rises",
        ),
        wrong(
            "blind-to-nan",
            "calls NaN converged",
            Twisted(inner=descent, told=_blind_to_nan),
            "descent",
            "nan_start_is_diverged",
        ),
        wrong(
            "single",
            "works in float32 whatever it is given",
            _twisted(descent, _in_single),
            "descent",
            "float32_and_float64",
        ),
        wrong(
            "ignores-deadline",
            "claims to keep a deadline and does not",
            Twisted(inner=descent, after_step=_tired),
            "descent",
            "stops_at_the_deadline",
            ("anytime",),
        ),
        wrong(
            "incomplete",
            "has labels of -1 where it is not decided",
            _twisted(greedy, _incomplete),
            "greedy",
            "x_is_complete_at_every_step",
        ),
        wrong(
            "restless",
            "moves away once it has converged",
            Twisted(inner=Descent(tolerance=1e-3), after_step=_restless),
            "descent",
            "converged_stays_put",
        ),
        wrong(
            "elsewhere",
            "starts where it likes",
            Twisted(inner=descent, after_init=_elsewhere),
            "descent",
            "zero_steps_returns_start",
        ),
        wrong(
            "cut-gradient",
            "its unrolled gradient leaves the step length out",
            Descent(cut=True),
            "descent",
            "unrolled_gradient_equals_finite_differences",
        ),
        wrong(
            "wrong-temperature",
            "samples from another temperature",
            HeatBath(temperature=2.0),
            "heat-bath",
            "samples_follow_the_density",
        ),
        wrong(
            "unnormalised",
            "its marginals do not sum to one",
            Twisted(
                inner=every,
                after_step=_beliefs(lambda b: replace(b, marginals=0.9 * b.marginals)),
            ),
            "enumerating",
            "marginals_are_distributions",
        ),
        wrong(
            "uniform",
            "claims exact marginals and gives uniform ones",
            Twisted(inner=every, after_step=_uniform_beliefs),
            "enumerating",
            "marginals_are_exact",
        ),
        wrong(
            "high-lower-bound",
            "its lower bound lies above log Z",
            Twisted(inner=every, after_step=_beliefs(_raised_lower)),
            "enumerating",
            "log_partition_lies_between_its_bounds",
        ),
    ]


def _raised_lower(beliefs: Beliefs) -> Beliefs:
    assert beliefs.lower is not None
    return replace(beliefs, lower=beliefs.lower + 1, log_partition=None, upper=None)


def _uniform_beliefs(energy: Energy, state: Any) -> Any:
    graph = view(energy, FactorGraph)
    share = (1.0 / graph.counts.double())[graph.variable_of_entry]
    marginals = share.expand_as(state.beliefs.marginals).clone()
    return replace(state, beliefs=Beliefs(marginals=marginals))
