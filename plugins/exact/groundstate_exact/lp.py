"""`solver/lp`: the local-polytope relaxation, with a certified bound, and rounding.

The program of the structured-models specification §1.3 with b ≥ 0 in the place of b ∈ {0, 1},
solved by HiGHS (Huangfu, Hall: Parallelizing the Dual Revised Simplex Method, 2018). The bound is
not the value that it gives, right to some 1e-7 only, but is computed anew from its prices; where
all energies are whole numbers it is rounded up to the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
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
from groundstate_exact.parts import Part, forbids_all
from groundstate_exact.polytope import polytope_of
from groundstate_exact.programs import Outcome, ProgramState, advance, open_program, status_of
from groundstate_exact.rounding import rounded
from groundstate_mrf.problem import open_problem

_linprog = cast(Callable[..., Any], optimize.linprog)
OPTIMUM, LIMIT, IMPOSSIBLE = 0, 1, 2
"""What scipy calls the ways in which HiGHS ends."""


@dataclass(frozen=True, kw_only=True)
class LP:
    """Linear programming relaxation, rounded to each variable's largest share, then ICM.

    Attributes:
        largest: labels of variables and joint labels of factors allowed, of one problem.
    """

    largest: Annotated[int, Ge(1)] = 1 << 22

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> ProgramState:
        return open_program(open_problem(energy), x0, rng, self.largest, "a linear program")

    def step(self, energy: Energy, state: ProgramState, deadline: Deadline) -> ProgramState:
        return advance(open_problem(energy), state, self.largest, relaxed, deadline)

    def status(self, state: ProgramState) -> Int[Tensor, "*batch"]:
        return status_of(state)


def relaxed(part: Part, seconds: float) -> Outcome:
    """Solve the relaxation of one problem."""
    if not len(part.counts):
        return Outcome(labels=np.zeros(0, np.int64), bound=part.constant)
    if forbids_all(part):
        return Outcome(bound=float("inf"))
    polytope = polytope_of(part)
    options = {} if seconds == float("inf") else {"time_limit": max(seconds, 1e-3)}
    equations = {"A_eq": polytope.matrix, "b_eq": polytope.right}
    found = _linprog(polytope.costs, **equations, method="highs", options=options)
    if found.status == IMPOSSIBLE:
        return Outcome(bound=float("inf"))
    if found.status != OPTIMUM:
        return Outcome(ended=Status.RUNNING if found.status == LIMIT else Status.STALLED)
    prices = np.asarray(found.eqlin.marginals)
    labels = rounded(part, polytope, found.x, prices)
    bound = polytope.bound(prices)
    return Outcome(labels=labels, bound=float(ceil(bound)) if part.integral() else bound)
