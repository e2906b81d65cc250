"""`solver/auto-discrete`: reads the structure, picks solvers, and improves until the time is up.

First those are asked that are exact where they fit: each refuses what it cannot solve before it
works. If none fits, improving solvers take turns, each from the best labelling so far, with one
step, then two, four, ... of each; the best labelling and the best bound are kept. When all have
ended, the best labelling is disturbed at random and improved again. Turns are counted in steps, not
in seconds, so the same seed gives the same course.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

import groundstate
from groundstate.energy import Energy
from groundstate.errors import GroundstateError
from groundstate.registry import Registry
from groundstate.solver import Deadline, Solver, State, generator_from
from groundstate.status import Status
from groundstate_mrf.problem import Problem, cheapest_labels, open_problem
from groundstate_portfolio.facts import facts_of
from groundstate_portfolio.plan import LOCAL, Candidate, exact, improving, named

_LARGE = 10_000
"""Labels in all from which on there are fewer restarts."""
_ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-6}


@dataclass(frozen=True, kw_only=True)
class Member:
    """A solver in the portfolio.

    Attributes:
        candidate: which, and why.
        solver: None where it could not be made.
        state: None before its first turn.
        steps: done.
        ended: whether it goes no further, or did not take the problem.
        said: why it did not take it.
    """

    candidate: Candidate
    solver: Solver[Any] | None = None
    state: State | None = None
    steps: int = 0
    ended: bool = False
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class AutoDiscreteState(State):
    """Adds the members; `x` is the best labelling of any.

    Attributes:
        value: energy of `x`.
        lower: the best lower bound of any.
        infeasible: problems that some member has shown to have no labelling.
        members: the solvers.
        turn: whose it is.
        left: steps left of it.
        quota: steps of a turn in this round.
        restarts: how often the best labelling was disturbed since it was last improved.
        settled: problems in which nothing is left to try.
    """

    value: Float[Tensor, "*batch"]
    lower: Float[Tensor, "*batch"]
    infeasible: Bool[Tensor, "*batch"]
    members: tuple[Member, ...]
    turn: int
    left: int
    quota: int
    restarts: int
    settled: bool


@dataclass(frozen=True, kw_only=True)
class AutoDiscrete:
    """A portfolio over whatever fitting solvers are registered.

    `stats["solver"]` and `stats["why"]` tell what was chosen; `stats["refused: ..."]` who did not
    take the problem.

    Attributes:
        solvers: keys of the solvers to run, in this order; none of them chooses by structure.
        restarts: disturbed labellings in a row that may bring nothing before it ends, for up to
            10 000 labels in all; fewer for larger problems, in proportion.
        disturbed: share of the variables that get a random label then.
    """

    solvers: tuple[str, ...] = ()
    restarts: Annotated[int, Ge(0)] = 200
    disturbed: Annotated[float, Gt(0), Le(1)] = 0.2

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> AutoDiscreteState:
        problem = open_problem(energy)
        labels = cheapest_labels(problem, rng) if x0 is None else problem.labels(x0)
        value = problem.evaluate(labels)
        lower = problem.graph.bound().expand(value.shape)
        facts, registry = facts_of(problem.graph), groundstate.load(warn=False)
        state = AutoDiscreteState(
            x=problem.configuration(labels),
            energy=value,
            bound=lower,
            rng=rng.get_state(),
            value=value,
            lower=lower,
            infeasible=torch.zeros_like(value, dtype=torch.bool),
            members=(),
            turn=0,
            left=1,
            quota=1,
            restarts=0,
            settled=False,
            stats={"problem": str(facts)},
        )
        if self.solvers:
            members = [_made(candidate, registry) for candidate in named(self.solvers)]
            return _told(replace(state, members=tuple(members)))
        refused: list[Member] = []
        for candidate in exact(facts, registry):
            member = _begun(_made(candidate, registry), energy, state)
            if not member.said:
                return _told(replace(state, members=(*refused, member), turn=len(refused)))
            refused.append(member)
        views = frozenset(view.__name__ for view in energy.views)
        members = [_made(each, registry) for each in improving(facts, views, registry)]
        return _told(replace(state, members=(*refused, *members), turn=len(refused)))

    def step(
        self, energy: Energy, state: AutoDiscreteState, deadline: Deadline
    ) -> AutoDiscreteState:
        """The rest of a turn, or as much of it as the deadline allows."""
        member = state.members[state.turn] if state.members else None
        if member is None or member.ended:
            return self._next(energy, state)
        if member.state is None:
            member = _begun(member, energy, state)
            state = _merged(energy, _with(state, member), member)
        while state.left > 0 and not member.ended:
            assert member.solver is not None and member.state is not None
            after = member.solver.step(energy, member.state, deadline)
            running = bool((member.solver.status(after) == Status.RUNNING).any())
            member = replace(member, state=after, steps=member.steps + 1, ended=not running)
            state = _merged(energy, _with(state, member), member)
            state = replace(state, left=state.left - 1)
            if bool((_proven(state) | state.infeasible).all()):
                return _told(state)
            if deadline.passed:
                break
        return state if state.left > 0 and not member.ended else self._next(energy, state)

    def status(self, state: AutoDiscreteState) -> Int[Tensor, "*batch"]:
        rest = Status.CONVERGED if state.settled else Status.RUNNING
        status = torch.full_like(state.value, int(rest), dtype=torch.int64)
        status = torch.where(_proven(state), int(Status.OPTIMAL), status)
        return torch.where(state.infeasible, int(Status.INFEASIBLE), status)

    def _next(self, energy: Energy, state: AutoDiscreteState) -> AutoDiscreteState:
        """Whose turn it is now; a new round where all had theirs."""
        waiting = [k for k, m in enumerate(state.members) if not (m.ended or m.candidate.last)]
        later = [k for k in waiting if k > state.turn]
        if later:
            return _told(replace(state, turn=later[0], left=state.quota))
        if waiting:
            quota = 2 * state.quota
            return _told(replace(state, turn=waiting[0], left=quota, quota=quota))
        after = self._disturbed(energy, state)
        last = [k for k, member in enumerate(state.members) if not member.ended]
        if not after.settled or not last:
            return after
        return _told(replace(after, turn=last[0], left=1, settled=False))

    def _disturbed(self, energy: Energy, state: AutoDiscreteState) -> AutoDiscreteState:
        """The best labelling with some labels at random, for local moves to improve."""
        keys = [member.candidate.key for member in state.members]
        local = next((keys.index(key) for key in LOCAL if key in keys), None)
        problem = open_problem(energy)
        entries = problem.graph.entries
        allowed = self.restarts if entries <= _LARGE else self.restarts * _LARGE // entries
        if local is None or state.restarts >= allowed or state.rng is None:
            return replace(state, settled=True)
        rng = generator_from(state.rng, energy.space.device)
        labels = problem.labels(state.x)
        chance = torch.rand(labels.shape, generator=rng, device=labels.device)
        random = torch.rand(labels.shape, generator=rng, device=labels.device)
        fresh = (random * problem.graph.counts).long()
        labels = torch.where(chance < self.disturbed, fresh, labels)
        member = replace(state.members[local], steps=0)
        state = replace(state, rng=rng.get_state(), restarts=state.restarts + 1)
        member = _begun(member, energy, state, problem.configuration(labels))
        state = replace(_with(state, member, local), turn=local, left=1 << 30)
        return _told(state)


def _made(candidate: Candidate, registry: Registry) -> Member:
    """The member with its solver; ended where a part of that is not installed."""
    try:
        solver = registry.build(candidate.key)
    except GroundstateError as refusal:
        return Member(candidate=candidate, ended=True, said=str(refusal))
    return Member(candidate=candidate, solver=solver)


def _begun(
    member: Member,
    energy: Energy,
    state: AutoDiscreteState,
    x: Shaped[Tensor, "*shape"] | None = None,
) -> Member:
    """The member with its first state; ended where it does not take the problem."""
    if member.solver is None or state.rng is None:
        return replace(member, ended=True)
    rng = generator_from(state.rng, energy.space.device)
    try:
        first = member.solver.init(energy, (state.x if x is None else x).clone(), rng)
    except (GroundstateError, ValueError) as refusal:
        return replace(member, ended=True, said=str(refusal))
    running = bool((member.solver.status(first) == Status.RUNNING).any())
    return replace(member, state=first, ended=not running)


def _with(state: AutoDiscreteState, member: Member, place: int | None = None) -> AutoDiscreteState:
    members = list(state.members)
    members[state.turn if place is None else place] = member
    return replace(state, members=tuple(members))


def _merged(energy: Energy, state: AutoDiscreteState, member: Member) -> AutoDiscreteState:
    """What the member found, where it is better."""
    problem, found, solver = open_problem(energy), member.state, member.solver
    if found is None or solver is None:
        return state
    value = energy(found.x)
    better = value < state.value
    x = _chosen(problem, better, found.x, state.x)
    lower, said = state.lower, solver.status(found)
    if found.bound is not None:
        lower = torch.maximum(lower, torch.where(found.bound.isnan(), -torch.inf, found.bound))
    best = torch.where(better, value, state.value)
    infeasible = state.infeasible | (said == Status.INFEASIBLE)
    return replace(
        state,
        x=x,
        energy=best,
        value=best,
        lower=lower,
        bound=torch.minimum(lower, best),
        infeasible=infeasible,
        restarts=0 if bool(better.any()) else state.restarts,
    )


def _chosen(problem: Problem, better: Tensor, new: Tensor, old: Tensor) -> Tensor:
    labels = problem.labels(new)
    variables = torch.arange(labels.shape[-1], device=labels.device)
    where = problem.expand(better, variables)
    return problem.configuration(torch.where(where, labels, problem.labels(old)))


def _proven(state: AutoDiscreteState) -> Bool[Tensor, "*batch"]:
    """Whether the bound meets the energy, to rounding."""
    slack = _ROUNDING.get(state.value.dtype, 1e-3) * (1 + state.value.abs())
    return state.value.isfinite() & (state.value <= state.lower + slack)


def _told(state: AutoDiscreteState) -> AutoDiscreteState:
    """The state, with what there is to tell."""
    stats: dict[str, float | str] = {"problem": state.stats["problem"]}
    if state.members:
        now = state.members[state.turn].candidate
        stats |= {"solver": now.key.partition("/")[2], "why": now.why}
    stats |= _refusals(state.members)
    stats |= {f"steps: {m.candidate.key}": float(m.steps) for m in state.members if m.steps}
    return replace(state, stats=stats)


def _refusals(members: tuple[Member, ...]) -> Mapping[str, str]:
    return {f"refused: {m.candidate.key}": m.said for m in members if m.said}
