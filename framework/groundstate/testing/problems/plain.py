"""Energies that declare no structure."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Views
from groundstate.space import Real, Space
from groundstate.testing.problems.discrete import random_graph
from groundstate.testing.problems.problem import Problem
from groundstate.testing.tables import TableEnergy


@dataclass(frozen=True, kw_only=True)
class DoubleWell:
    """E(x) = Σ ((x - a)² - 1)²: smooth, not convex, no view; its minimum is 0.

    Attributes:
        centre: a.
        space: real configurations.
    """

    centre: Float[Tensor, "*shape"]
    space: Real

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.space.layout.sum(((x - self.centre) ** 2 - 1) ** 2)


@dataclass(frozen=True, kw_only=True)
class Bowl:
    """E(x) = ½Σ(x - a)²: the easiest energy, without any view; its minimum is 0.

    Attributes:
        centre: a.
        space: real configurations.
    """

    centre: Float[Tensor, "*shape"]
    space: Real

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return 0.5 * self.space.layout.sum((x - self.centre) ** 2)


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A discrete energy that declares no structure.

    Attributes:
        inner: the energy whose values it has.
    """

    inner: TableEnergy

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.inner(x)


def plain() -> list[Problem]:
    """Energies that declare no structure."""
    wells = torch.tensor([[0.0, 0.5], [1.0, -0.5], [0.2, 0.3]], dtype=torch.float64)
    event = Real(event_shape=(2,), dtype=torch.float64)
    space = Real(event_shape=(2,), batch_shape=(3,), dtype=torch.float64)
    return [
        Problem(name="bowl", energy=Bowl(centre=wells[1], space=event), known=0.0),
        Problem(
            name="batch of double wells",
            energy=DoubleWell(centre=wells, space=space),
            parts=tuple(DoubleWell(centre=well, space=event) for well in wells),
            known=0.0,
        ),
        Problem(
            name="labels without a view", energy=Hidden(inner=random_graph([2, 3, 2], [(0, 1)], 18))
        ),
    ]
