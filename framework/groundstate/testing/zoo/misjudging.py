"""Wrong solvers: they end too early, too late, or for the whole batch at once."""

import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import Energy
from groundstate.status import Status
from groundstate.testing.zoo.animal import Animal
from groundstate.testing.zoo.toys import Descent, wrong
from groundstate.testing.zoo.twisting import Twisted, constantly


def _tired(energy: Energy, state: Any) -> Any:
    time.sleep(0.4)
    return state


def _restless(energy: Energy, state: Any) -> Any:
    layout = energy.space.layout
    over = layout.expand(state.ended == Status.CONVERGED)
    return replace(state, x=torch.where(over, state.x + 1, state.x))


def _one_for_all(told: Tensor, state: Any) -> Tensor:
    return told.amin() if told.dim() else told


def _blind_to_nan(told: Tensor, state: Any) -> Tensor:
    return torch.where(told == Status.DIVERGED, int(Status.CONVERGED), told)


def animals() -> list[Animal]:
    """Solvers that do not know where they are."""
    return [
        wrong(
            "never-out-of-steps",
            "calls Enumerating() state converged",
            Twisted(inner=Descent(), told=constantly(Status.CONVERGED)),
            "descent",
            "reports_running_out",
        ),
        wrong(
            "one-status",
            "gives one status for the whole batch",
            Twisted(inner=Descent(), told=_one_for_all),
            "descent",
            "status_is_one_per_problem",
        ),
        wrong(
            "blind-to-nan",
            "calls NaN converged",
            Twisted(inner=Descent(), told=_blind_to_nan),
            "descent",
            "nan_start_is_diverged",
        ),
        wrong(
            "ignores-deadline",
            "claims to keep a deadline and does not",
            Twisted(inner=Descent(), after_step=_tired),
            "descent",
            "stops_at_the_deadline",
            ("anytime",),
        ),
        wrong(
            "restless",
            "moves away once it has converged",
            Twisted(inner=Descent(tolerance=1e-3), after_step=_restless),
            "descent",
            "converged_stays_put",
        ),
    ]
