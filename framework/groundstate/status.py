"""How a solve ended, for each configuration, and what to do about it."""

from enum import IntEnum


class Status(IntEnum):
    """Status of one configuration. The text of each is its `advice`."""

    RUNNING = 0
    CONVERGED = 1
    OPTIMAL = 2
    OUT_OF_STEPS = 3
    OUT_OF_TIME = 4
    INTERRUPTED = 5
    STALLED = 6
    DIVERGED = 7
    INFEASIBLE = 8
    INDEFINITE = 9
    VIOLATING = 10

    @property
    def label(self) -> str:
        return self.name.lower().replace("_", " ")

    @property
    def advice(self) -> str:
        """What it means and what to do, in one sentence."""
        return _ADVICE[self]

    @property
    def failed(self) -> bool:
        """Whether there is no answer; running out of budget is not a failure."""
        return self in (Status.DIVERGED, Status.INFEASIBLE, Status.INDEFINITE)


_ADVICE = {
    Status.RUNNING: "The solver has not finished; continue from the solution's `state`.",
    Status.CONVERGED: "The solver's own criterion is met; nothing to do.",
    Status.OPTIMAL: "No configuration has a lower energy; nothing to do.",
    Status.OUT_OF_STEPS: "Raise `steps`, loosen the tolerance, or continue from the solution's "
    "`state`.",
    Status.OUT_OF_TIME: "Raise `seconds`, or continue from the solution's `state`.",
    Status.INTERRUPTED: "The run was stopped by hand; continue from the solution's `state`.",
    Status.STALLED: "The floating-point type allows no more progress; use float64 or loosen the "
    "tolerance.",
    Status.DIVERGED: "Values are no longer finite; check `x0` and the parameters, or take smaller "
    "steps.",
    Status.INFEASIBLE: "No configuration has a finite energy; look for contradicting hard "
    "constraints.",
    Status.VIOLATING: "The solver's own criterion is met, but hard constraints are violated; start "
    "elsewhere (`x0`, `seed`) or take another solver.",
    Status.INDEFINITE: "The quadratic form is not positive definite, so there is no minimum; raise "
    "its diagonal.",
}
