"""What a problem of the kit is, as data, and its answers from the oracles."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.space import Discrete
from groundstate.testing.oracles import enumerate_labellings, solve_densely


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An energy and what is known about it.

    Attributes:
        name: short and unique.
        energy: what to minimise.
        parts: its problems one by one, where it has several.
        tree: whether the factor graph has no cycle.
        higher_order: whether some factors serve nothing but moves.
        solvable: whether it has a minimum of finite energy.
        large: whether it is there to be out of reach, and has no known answer.
        own: whether it comes from the examples of the plugin under test.
        known: the minimum where neither enumeration nor a dense solve gives it, in nats.
    """

    name: str
    energy: Energy
    parts: tuple[Energy, ...] = ()
    tree: bool = False
    higher_order: bool = False
    solvable: bool = True
    large: bool = False
    own: bool = False
    known: float | None = None

    @property
    def views(self) -> frozenset[str]:
        return frozenset(kind.__name__ for kind in self.energy.views)

    @property
    def discrete(self) -> bool:
        return isinstance(self.energy.space, Discrete)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.energy.space.layout.batch_shape

    @cached_property
    def minimum(self) -> Float[Tensor, "*batch"]:
        """The lowest energy there is, in nats, float64."""
        if self.known is not None:
            return torch.full(self.batch_shape, self.known, dtype=torch.float64)
        if self.parts:
            return torch.stack([_minimum(part) for part in self.parts])
        return _minimum(self.energy)

    @cached_property
    def log_partition(self) -> Float[Tensor, "*batch"]:
        """Log Z of a discrete problem, in nats."""
        return torch.stack(
            [enumerate_labellings(part).log_partition for part in self.parts or (self.energy,)]
        ).reshape(self.batch_shape)

    @cached_property
    def marginals(self) -> Float[Tensor, "*batch entries"]:
        """Marginals of a discrete problem; of a union, end to end."""
        found = [enumerate_labellings(part).marginals for part in self.parts or (self.energy,)]
        if self.energy.space.layout.segments is not None:
            return torch.cat(found, -1)
        return torch.stack(found).reshape(*self.batch_shape, -1)

    def split(self, x: Shaped[Tensor, "..."]) -> list[Tensor]:
        """The configuration of each part."""
        if self.energy.space.layout.segments is None:
            return list(x.unbind(0))
        shapes = [part.space.layout.event_shape for part in self.parts]
        pieces = torch.split(x, [math.prod(shape) for shape in shapes], -1)
        return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _minimum(energy: Energy) -> Tensor:
    if isinstance(energy.space, Discrete):
        return enumerate_labellings(energy).minimum
    return solve_densely(energy).minimum
