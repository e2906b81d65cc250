"""`solver/ilp`: the whole-number program of a factor graph, by branch and cut.

The program of the structured-models specification §1.3 with b_i(l) ∈ {0, 1}; the b_f follow. The
relaxation comes first: where its bound meets the energy of its labels, that is all. Otherwise HiGHS
branches, to a tolerance of 1e-6, which the bound gives back; where all energies are whole numbers
the bound is rounded up to the next one, and is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil, inf, isfinite
from typing import Annotated, Any, cast

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Int, Shaped
from scipy import optimize
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_exact.lp import IMPOSSIBLE, LIMIT, OPTIMUM, relaxed
from groundstate_exact.parts import Part, energy_of
from groundstate_exact.polytope import polytope_of
from groundstate_exact.programs import Outcome, ProgramState, advance, open_program, status_of
from groundstate_mrf.problem import open_problem

_milp = cast(Callable[..., Any], optimize.milp)
_constraint = cast(Callable[..., Any], optimize.LinearConstraint)
_TOLERANCE = 1e-6
"""HiGHS's own, for constraints, whole numbers and the gap."""
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class ILP:
    """Integer linear programming.

    A step runs until the optimum is found or its deadline is over; the next one begins anew, with
    the labels and the bound of the last one kept.

    Attributes:
        largest: labels of variables and joint labels of factors allowed, of one problem.
    """

    largest: Annotated[int, Ge(1)] = 1 << 20

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> ProgramState:
        return open_program(open_problem(energy), x0, rng, self.largest, "an integer program")

    def step(self, energy: Energy, state: ProgramState, deadline: Deadline) -> ProgramState:
        return advance(open_problem(energy), state, self.largest, whole, deadline)

    def status(self, state: ProgramState) -> Int[Tensor, "*batch"]:
        return status_of(state)


def whole(part: Part, seconds: float) -> Outcome:
    """Solve the relaxation of one problem and, where that leaves a gap, its integer program."""
    deadline = Deadline.after(seconds)
    first = relaxed(part, seconds)
    if first.labels is None or not len(part.counts):
        return first
    value = energy_of(part, first.labels)
    if value - first.bound <= _ROUNDING * (1 + abs(value)) and isfinite(value):
        return replace(first, closed=True)
    then = _branched(part, deadline.remaining)
    labels = first.labels if then.labels is None else then.labels
    return replace(then, labels=labels, bound=max(first.bound, then.bound))


def _branched(part: Part, seconds: float) -> Outcome:
    """Solve the integer program of one problem."""
    polytope = polytope_of(part)
    kinds = np.zeros(len(polytope.costs))
    # auxiliary counts and joint labels are whole where the labels are
    own = polytope.column[: int(part.counts[: part.own].sum())]
    kinds[own[own >= 0]] = 1
    options: dict[str, float] = {"mip_rel_gap": 0.0}
    if isfinite(seconds):
        options["time_limit"] = max(seconds, 1e-3)
    found = _milp(
        polytope.costs,
        integrality=kinds,
        bounds=(0, 1),
        constraints=_constraint(polytope.matrix, polytope.right, polytope.right),
        options=options,
    )
    if found.status == IMPOSSIBLE:
        return Outcome(bound=inf)
    labels = None if found.x is None else polytope.labels(part, found.x)
    bound = _safe(part, found.mip_dual_bound)
    if found.status == LIMIT:
        return Outcome(labels=labels, bound=bound, ended=Status.RUNNING)
    if found.status != OPTIMUM or labels is None:
        return Outcome(labels=labels, bound=bound, ended=Status.STALLED)
    value = energy_of(part, labels)
    closed = value - bound <= 4 * _TOLERANCE * (1 + abs(value))
    return Outcome(labels=labels, bound=bound, closed=closed)


def _safe(part: Part, found: float | None) -> float:
    """HiGHS's bound less its tolerance, rounded up where energies are whole numbers."""
    if found is None or not isfinite(found):
        return -inf
    bound = found + part.constant
    bound -= _TOLERANCE * (1 + abs(bound))
    return float(ceil(bound)) if part.integral() else bound
