"""What a solve returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.errors import GroundstateError
from groundstate.solver import Beliefs, State
from groundstate.status import Status

S_co = TypeVar("S_co", bound=State, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Record:
    """One point of a trace.

    Attributes:
        step: steps done.
        seconds: since the start, energy evaluations of the trace included.
        energy: energy of the configuration at that step, in nats.
        bound: lower bound claimed at that step, in nats.
    """

    step: int
    seconds: float
    energy: Float[Tensor, "*batch"]
    bound: Float[Tensor, "*batch"] | None


@dataclass(frozen=True, kw_only=True)
class Solution(Generic[S_co]):
    """The outcome of a solve; every number in it was computed or checked by the core.

    Attributes:
        x: the best configuration seen: at the points of the trace, and wherever the solver tells
            its energy.
        energy: its energy, in nats, recomputed in float64 where the energy allows.
        bound: certified to lie below `energy`; no configuration is lower. None where unknown.
        status: a `Status` for each configuration.
        beliefs: marginals and log Z, where the solver gives them.
        steps: steps done.
        seconds: wall-clock time.
        trace: energy and bound at steps 0, 1, 2, 4, ... and then at regular steps.
        stats: what the solver tells of itself.
        state: the solver's last state; pass it to `solve` to go on.
        cut: where the last step noticed that time was up: at its first, second, ... look at the
            deadline. None where it did not.
    """

    x: Shaped[Tensor, "*shape"]
    energy: Float[Tensor, "*batch"]
    bound: Float[Tensor, "*batch"] | None
    status: Int[Tensor, "*batch"]
    beliefs: Beliefs | None
    steps: int
    seconds: float
    trace: tuple[Record, ...]
    stats: Mapping[str, float | str]
    state: S_co
    cut: int | None = None

    @property
    def ok(self) -> Bool[Tensor, "*batch"]:
        """Where there is an answer: converged, optimal, or the best within the budget."""
        failed = torch.tensor([s for s in Status if s.failed], device=self.status.device)
        return ~torch.isin(self.status, failed)

    @property
    def gap(self) -> Float[Tensor, "*batch"] | None:
        """Energy minus bound, in nats; 0 proves the optimum."""
        return None if self.bound is None else self.energy - self.bound


class SolveError(GroundstateError):
    """A solve without an answer. `solution` keeps what there was."""

    def __init__(self, message: str, solution: Solution[State]) -> None:
        super().__init__(message)
        self.solution = solution


def summarise(status: Int[Tensor, "*batch"]) -> str:
    """Counts of each status and its advice, for people."""
    flat = status.flatten()
    lines: list[str] = []
    for value in sorted({int(each) for each in flat}):
        many = int((flat == value).sum())
        subject = "" if flat.numel() == 1 else f"{many} of {flat.numel()}: "
        lines.append(f"{subject}{Status(value).label}. {Status(value).advice}")
    return " ".join(lines)
