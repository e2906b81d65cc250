"""Adapters: from an energy to one with other views, and back again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor

from groundstate.energy import Energy


@dataclass(frozen=True, kw_only=True)
class Adapted:
    """An energy that stands for another.

    Attributes:
        energy: what the solver works on.
        decode: a configuration of it to one of the original energy.
        bound_transfers: whether a lower bound on it is one on the original.
    """

    energy: Energy
    decode: Callable[[Tensor], Tensor]
    bound_transfers: bool


@runtime_checkable
class Adapter(Protocol):
    """Makes a solver fit an energy whose views it does not take."""

    def adapt(self, energy: Energy) -> Adapted:
        """The energy to solve instead.

        Raises:
            ViewError: if the energy does not have the structure this adapter needs.
        """
        ...
