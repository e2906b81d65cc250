"""The Solver interface: a triple of pure functions on an explicit state."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor

from groundstate.energy import Energy


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """When to stop, on the clock of `time.perf_counter`.

    Attributes:
        at: the moment, in seconds; infinity where there is none.
        clock: what tells the time; the core looks on, so that a run can be repeated.
    """

    at: float = float("inf")
    clock: Callable[[], float] = time.perf_counter

    @classmethod
    def after(cls, seconds: float | None) -> "Deadline":
        """That many seconds from now; None is never."""
        return cls() if seconds is None else cls(at=time.perf_counter() + seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - self.clock())

    @property
    def passed(self) -> bool:
        return self.clock() >= self.at


@dataclass(frozen=True, kw_only=True)
class Beliefs:
    """Marginals and the log partition function.

    Attributes:
        marginals: probability of each label of each variable, flat as in `FactorGraph`; for real
            configurations their mean, in the shape of x.
        log_partition: estimate of log Z, in nats.
        lower: certified lower bound on log Z.
        upper: certified upper bound on log Z.
    """

    marginals: Float[Tensor, "..."]
    log_partition: Float[Tensor, "*batch"] | None = None
    lower: Float[Tensor, "*batch"] | None = None
    upper: Float[Tensor, "*batch"] | None = None


@dataclass(frozen=True, kw_only=True)
class State:
    """What every solver's state has; a solver adds its own fields in a subclass.

    Only `x` is required. The core checks each claim that is made.

    Attributes:
        x: a complete configuration at every moment.
        energy: claimed energy of `x`, in nats.
        bound: claimed lower bound on the minimum, in nats.
        residual: claimed relative residual ‖b - Ax‖ / ‖b‖ of a quadratic energy.
        beliefs: marginals and log Z.
        assigned: which variables the solver has decided (constructive solvers).
        rng: state of the random number generator.
        stats: anything worth telling: counts, choices and their reasons.
    """

    x: Shaped[Tensor, "*shape"]
    energy: Float[Tensor, "*batch"] | None = None
    bound: Float[Tensor, "*batch"] | None = None
    residual: Float[Tensor, "*batch"] | None = None
    beliefs: Beliefs | None = None
    assigned: Bool[Tensor, "*shape"] | None = None
    rng: UInt8[Tensor, " bytes"] | None = None
    stats: Mapping[str, float | str] = field(default_factory=dict[str, float | str])


S = TypeVar("S", bound=State)


@runtime_checkable
class Solver(Protocol[S]):
    """Lowers an energy, or samples from it. Settings are in the object, all that changes in `S`."""

    def init(self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator) -> S:
        """The state before the first step.

        Args:
            energy: what to minimise; ask `groundstate.view` for the structure it needs.
            x0: where to start, never written to; None leaves the choice to the solver.
            rng: the only source of randomness; keep its `get_state()` in the state if steps draw.

        Raises:
            ViewError: if the energy does not have the structure this solver needs.
        """
        ...

    def step(self, energy: Energy, state: S, deadline: Deadline) -> S:
        """The next state. One-step methods finish here; long steps look at the deadline."""
        ...

    def status(self, state: S) -> Int[Tensor, "*batch"]:
        """A `Status` for each configuration, RUNNING where there is more to do."""
        ...


@runtime_checkable
class PreparableSolver(Solver[S], Protocol[S]):
    """A solver of quadratic energies whose work on the matrix A alone can be done beforehand.

    Factors, a preconditioner, an order of the variables: `solve(..., gradient="implicit")` has them
    made once for both of its solves.
    """

    def prepared(self, energy: Energy) -> Solver[S]:
        """The same solver, with what it needs of this energy's A; b may be any.

        It takes and gives the states that the solver itself does. Nothing is kept anywhere else. On
        an energy of another A it may fail to find the answer, but must not give a wrong one.
        """
        ...


def generator_from(rng: UInt8[Tensor, " bytes"], device: torch.device) -> torch.Generator:
    """The generator whose state was kept with `get_state()`."""
    generator = torch.Generator(device=device)
    generator.set_state(rng)
    return generator
