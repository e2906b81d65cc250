"""The one loop that runs every solver: budget, status, incumbent, trace and certification."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.adapter import Adapted, Adapter
from groundstate.certify import (
    Allowance,
    certify_beliefs,
    certify_bound,
    certify_configuration,
    certify_optimal,
    certify_state,
    certify_status,
    check_shape,
    exact_energy,
)
from groundstate.clock import StepClock
from groundstate.energy import Energy, view, with_linear
from groundstate.errors import GradientError
from groundstate.factors import FactorGraph
from groundstate.implicit import attach_gradient
from groundstate.incumbent import Incumbent
from groundstate.interrupts import deferred
from groundstate.solution import Record, Solution, SolveError, summarise
from groundstate.solver import Deadline, PreparableSolver, Solver, State
from groundstate.status import Status
from groundstate.views import Quadratic

S = TypeVar("S", bound=State)
Gradient = Literal["none", "implicit", "unrolled"]


def solve(
    energy: Energy,
    solver: Solver[S],
    x0: Shaped[Tensor, "*shape"] | None = None,
    *,
    steps: int = 1000,
    seconds: float | None = None,
    seed: int = 0,
    gradient: Gradient = "none",
    through: Adapter | None = None,
    state: S | None = None,
    cut: int | None = None,
    throw: bool = True,
    keep_interrupted: bool = False,
    record_every: int = 32,
    on_record: Callable[[Record], None] | None = None,
) -> Solution[S]:
    """Minimise an energy (or sample from it), and check every claim of the solver.

    Args:
        energy: what to minimise.
        solver: how.
        x0: where to start, in the space the solver works in; None leaves it to the solver.
        steps: the most steps to do.
        seconds: the most time to take; None is no limit. A step in progress is finished.
        seed: of the solver's randomness.
        gradient: "implicit" differentiates the minimiser of a quadratic energy with one more solve;
            "unrolled" keeps the graph of every step, for solvers that can.
        through: adapter to a space where the solver fits; the solution is decoded.
        state: where to go on, from an earlier solution; then `x0` and `seed` play no part.
        cut: repeats a solve that ran out of time within a step (see `Solution.cut`): the last of
            `steps` finds its deadline passed at this look at it.
        throw: whether to raise where there is no answer.
        keep_interrupted: whether Ctrl-C ends the solve with the best so far instead of raising.
        record_every: the trace has steps 0, 1, 2, 4, ... up to this one, and then its multiples, so
            it does not depend on the machine's load.
        on_record: called with each new point of the trace.

    Raises:
        SolveError: diverged, infeasible or indefinite (with `throw`); it keeps the solution.
        CertificationError: the solver claims an energy, bound or residual that is not true.
        ViewError: the energy lacks the structure that the solver needs.
        GradientError: the gradient asked for is not to be had.
        ValueError: for a budget that is none.
    """
    _check_budget(steps, seconds, record_every)
    adapted = through.adapt(energy) if through is not None else None
    problem = _Problem(energy=energy, adapted=adapted)
    problem.refuse_impossible(gradient, solver)
    inner = problem.inner
    if x0 is not None:
        inner.space.validate(x0)
    run = _Run(problem=problem, solver=solver, record_every=record_every, on_record=on_record)
    run.bound = run.independent = _independent_bound(energy)
    end = Deadline.after(seconds).at
    deadline = Deadline(at=end, clock=run.clock)
    run.clock.at = end
    with torch.set_grad_enabled(gradient == "unrolled"):
        if gradient == "implicit" and isinstance(solver, PreparableSolver):
            # forward and backward solve with one matrix
            solver = run.solver = solver.prepared(energy)
        if state is None:
            rng = torch.Generator(device=inner.space.device).manual_seed(seed)
            # a copy, so that no solver can write to the caller's
            state = solver.init(inner, None if x0 is None else x0.clone(), rng)
        state = run.advance(state, steps, deadline, keep_interrupted, cut)
    # whoever keeps what an interrupted solve has must not lose it to an interrupt of this
    with torch.no_grad(), deferred(forget=True) if keep_interrupted else nullcontext():
        solution = run.finish(state)
    if throw and not bool(solution.ok.all()):
        raise SolveError(f"{type(solver).__name__}: {summarise(solution.status)}", solution)
    if gradient == "none":
        return solution
    x = _with_gradient(energy, solver, solution, gradient, steps, seconds)
    return replace(solution, x=x)


def _check_budget(steps: int, seconds: float | None, record_every: int) -> None:
    if steps < 0 or record_every < 1:
        raise ValueError(
            f"steps must be at least 0 and record_every at least 1, got {steps} and {record_every}"
        )
    if seconds is not None and (math.isnan(seconds) or seconds < 0):
        raise ValueError(f"seconds must be at least 0, or None for no limit, got {seconds}")


@torch.no_grad()
def _independent_bound(energy: Energy) -> Tensor | None:
    """What any solution of a factor graph is held against: the sum of its factors' minima."""
    return view(energy, FactorGraph).bound() if FactorGraph in energy.views else None


@dataclass(frozen=True, kw_only=True)
class _Problem:
    """The user's energy, and the one the solver sees where an adapter stands between."""

    energy: Energy
    adapted: Adapted | None

    @property
    def inner(self) -> Energy:
        return self.energy if self.adapted is None else self.adapted.energy

    def decode(self, x: Tensor) -> Tensor:
        return x if self.adapted is None else self.adapted.decode(x)

    def bound(self, state: State) -> Tensor | None:
        transfers = self.adapted is None or self.adapted.bound_transfers
        return state.bound if transfers else None

    def refuse_impossible(self, gradient: Gradient, solver: Solver[Any]) -> None:
        if gradient == "implicit" and Quadratic not in self.energy.views:
            raise GradientError(
                f"an implicit gradient needs an energy that gives the view Quadratic; "
                f"{type(self.energy).__name__} does not. Use `gradient='unrolled'`"
            )
        if gradient != "none" and self.adapted is not None:
            raise GradientError(
                "a gradient cannot pass through an adapter, which decodes to labels; solve the "
                f"adapted energy itself with {type(solver).__name__}"
            )


@dataclass(kw_only=True)
class _Run:
    """What the loop gathers: the trace and the best configuration seen."""

    problem: _Problem
    solver: Solver[Any]
    record_every: int
    on_record: Callable[[Record], None] | None
    began: float = field(default_factory=time.perf_counter)
    steps: int = 0
    ended: Status = Status.RUNNING
    trace: list[Record] = field(default_factory=list[Record])
    best: Incumbent = field(default_factory=Incumbent)
    bound: Tensor | None = None
    noticed: Tensor | None = None
    noticed_at: int = -1
    claimed: Tensor = field(default_factory=lambda: torch.tensor(math.inf))
    independent: Tensor | None = None
    clock: StepClock = field(default_factory=StepClock)
    cut: int | None = None

    def advance(
        self, state: S, steps: int, deadline: Deadline, keep_interrupted: bool, cut: int | None
    ) -> S:
        """Step until every configuration is done or the budget is."""
        solver, energy = self.solver, self.problem.inner
        self.record(state)
        try:
            while bool((solver.status(state) == Status.RUNNING).any()):
                if self.steps >= steps:
                    self.ended = Status.OUT_OF_STEPS
                    break
                if deadline.passed:
                    self.ended = Status.OUT_OF_TIME
                    break
                self.clock.begin(cut if self.steps == steps - 1 else None)
                state = solver.step(energy, state, deadline)
                self.cut = self.clock.late
                self.steps += 1
                self.notice(state)
                if self.is_due(self.steps):
                    self.record(state)
        except KeyboardInterrupt:
            if not keep_interrupted:
                raise
            self.ended = Status.INTERRUPTED
        return state

    def notice(self, state: State) -> None:
        """Set a configuration aside that claims to be better than any yet; `finish` looks at it.

        So the best is kept between the points of the trace, too, and claims cost no evaluation.
        """
        if state.energy is None:
            return
        x, claimed = state.x.detach(), state.energy.detach()
        better = None if self.noticed is None else claimed < self.claimed
        if self.noticed is None or better is None or bool(better.all()):
            self.noticed, self.claimed, self.noticed_at = x, claimed, self.steps
        elif bool(better.any()):
            self.noticed_at = -1
            layout = self.problem.inner.space.layout
            self.noticed = torch.where(layout.expand(better), x, self.noticed)
            self.claimed = torch.where(better, claimed, self.claimed)

    def is_due(self, step: int) -> bool:
        if step >= self.record_every:
            return step % self.record_every == 0
        return step & (step - 1) == 0

    @torch.no_grad()
    def record(self, state: State) -> None:
        """Evaluate the state's configuration, remember it where it is the best."""
        certify_configuration(self.problem.inner, self.solver, state.x)
        x = self.problem.decode(state.x.detach())
        value = self.problem.energy(x)
        check_shape(self.problem.energy, x, value)
        self.best.keep(self.problem.energy, x, value)
        bound = self.problem.bound(state)
        if bound is not None:
            # a bound that is no number bounds nothing
            bound = torch.where(bound.isnan(), -torch.inf, bound)
            self.bound = bound if self.bound is None else torch.maximum(self.bound, bound)
        seconds = time.perf_counter() - self.began
        self.trace.append(Record(step=self.steps, seconds=seconds, energy=value, bound=self.bound))
        if self.on_record is not None:
            self.on_record(self.trace[-1])

    def finish(self, state: S) -> Solution[S]:
        """Certify every claim and put the solution together."""
        problem = self.problem
        if not self.trace or self.trace[-1].step != self.steps:
            self.record(state)
        self.look_at_noticed(state)
        seconds = time.perf_counter() - self.began
        x = self.best.configuration
        status = self.statuses(state)
        value = exact_energy(problem.energy, x, self.best.energy)
        self.certify(state, status, value)
        beliefs = state.beliefs if problem.adapted is None else None
        bound = self.bound
        if bound is not None:
            # certified to rounding; what lies below every energy lies below this one, too
            bound = torch.fmin(bound.to(value.dtype).expand_as(value), value)
        return Solution(
            x=x,
            energy=value,
            bound=bound,
            status=status,
            beliefs=beliefs,
            steps=self.steps,
            seconds=seconds,
            trace=tuple(self.trace),
            stats=state.stats,
            state=state,
            cut=self.cut,
        )

    def look_at_noticed(self, state: State) -> None:
        if self.noticed is None or self.noticed_at == self.steps:
            return  # it is the configuration of the trace's last point, which was looked at
        # the last configuration again after it: where rounding cannot tell, the later one stays
        for x in (self.noticed, state.x.detach()):
            certify_configuration(self.problem.inner, self.solver, x)
            decoded = self.problem.decode(x)
            self.best.keep(self.problem.energy, decoded, self.problem.energy(decoded))

    def statuses(self, state: State) -> Int[Tensor, "*batch"]:
        """The solver's statuses, with the budget's verdict and non-finite values put in."""
        status = self.solver.status(state).clone()
        certify_status(self.solver, status)
        status[status == Status.RUNNING] = int(self.ended)
        lost = self.trace[-1].energy.isnan()
        if not bool(state.x.sum().isfinite()):  # one pass where all is well
            layout = self.problem.inner.space.layout
            lost = lost | (layout.sum((~state.x.isfinite()).to(torch.int64)) > 0)
        stuck = (status == Status.CONVERGED) & (self.best.energy == math.inf)
        status = torch.where(stuck, int(Status.VIOLATING), status)
        return torch.where(lost, int(Status.DIVERGED), status)

    def certify(
        self, state: State, status: Int[Tensor, "*batch"], value: Float[Tensor, "*batch"]
    ) -> None:
        problem, solver = self.problem, self.solver
        # evaluated once where the best is what the solver ended with, as it nearly always is
        same = problem.adapted is None and torch.equal(self.best.configuration, state.x)
        certify_state(problem.inner, solver, state, value if same else None)
        found = value.to(self.trace[-1].energy.dtype)
        allowance = Allowance(energy=problem.energy, x=self.best.configuration, value=found)
        if self.bound is not None:
            certify_bound(solver, self.bound, value, allowance)
        optimal = status == Status.OPTIMAL
        if problem.adapted is None and bool(optimal.any()):
            seen = torch.stack([record.energy for record in self.trace])
            best = torch.where(seen.isnan(), torch.inf, seen).amin(0)
            claimed = torch.where(optimal, self.trace[-1].energy, best)
            certify_optimal(solver, claimed, best, allowance)
        if state.beliefs is not None and problem.adapted is None:
            certify_beliefs(problem.energy, solver, state.beliefs, value, self.independent)


def _with_gradient(
    energy: Energy,
    solver: Solver[S],
    solution: Solution[S],
    gradient: Gradient,
    steps: int,
    seconds: float | None,
) -> Shaped[Tensor, "*shape"]:
    x = solution.state.x
    if gradient == "implicit":

        def solve_linear(right: Tensor) -> Tensor:
            adjoint = solve(with_linear(energy, right), solver, steps=steps, seconds=seconds)
            _check_solved(adjoint, "the solve of the backward pass")
            return adjoint.state.x

        _check_solved(solution, "the solve")
        return attach_gradient(energy, x, solve_linear)
    if not x.requires_grad:
        raise GradientError(
            f"{type(solver).__name__} gives no unrolled gradient: its state.x carries no graph. "
            "Use `gradient='implicit'` on a quadratic energy, or a solver that claims "
            "'unrolled-gradient'"
        )
    return x


def _check_solved(solution: Solution[Any], what: str) -> None:
    """An implicit gradient is that of the minimiser: what has not arrived there has none."""
    arrived = torch.tensor([Status.CONVERGED, Status.OPTIMAL, Status.STALLED])
    if not bool(torch.isin(solution.status, arrived.to(solution.status.device)).all()):
        raise GradientError(
            f"an implicit gradient needs the minimiser, but {what} ended early: "
            f"{summarise(solution.status)}"
        )
