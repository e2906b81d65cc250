"""A correct solver with something changed around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Deadline
from groundstate.status import Status


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


def twisted(inner: Any, change: Callable[[Energy, Any], Any]) -> Twisted:
    """Changed in the same way after `init` and after `step`."""
    return Twisted(inner=inner, after_init=change, after_step=change)


def constantly(status: Status) -> Callable[[Tensor, Any], Tensor]:
    """Tells this status whatever happened."""
    return lambda told, state: torch.full_like(told, int(status))
