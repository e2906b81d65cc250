"""Energies with a constant added, or with their sign turned, structure included."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, Views, view
from groundstate.factors import FactorGraph, FactorGroup, Service
from groundstate.space import Space
from groundstate.views import Quadratic, Score


@dataclass(frozen=True, kw_only=True)
class _Changed:
    """An energy with other values and the views that are known for them."""

    inner: Energy
    scale: float
    shift: float

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def views(self) -> Views:
        made: dict[type, Any] = {
            Quadratic: self._quadratic,
            FactorGraph: self._graph,
            Score: self._score,
        }
        return {kind: made[kind] for kind in self.inner.views if kind in made}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.scale * self.inner(x) + self.shift

    def _quadratic(self) -> Quadratic:
        inner = view(self.inner, Quadratic)
        return Quadratic(
            matvec=lambda x: self.scale * inner.matvec(x),
            linear=self.scale * inner.linear,
            constant=self.scale * inner.constant + self.shift,
            diagonal=self.scale * inner.diagonal,
            floor=inner.floor if self.scale == 1 else None,
        )

    def _graph(self) -> FactorGraph:
        inner = view(self.inner, FactorGraph)
        groups = inner.groups if self.scale == 1 else tuple(map(_Negated, inner.groups))
        constant = self.scale * inner.constant + self.shift
        return replace(inner, groups=groups, constant=constant)

    def _score(self) -> Score:
        inner = view(self.inner, Score)
        return Score(score=lambda x: self.scale * inner.score(x))


@dataclass(frozen=True)
class _Negated:
    """Factors with the opposite energies; they serve only moves, and state no minimum."""

    inner: FactorGroup

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves"})

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self.inner.owners

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self.inner.slots

    @property
    def count(self) -> int:
        return self.inner.count

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        return -self.inner.energies(labels)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        return -self.inner.moves(labels)

    def minima(self) -> Float[Tensor, "*batch factors"]:
        return torch.full_like(self.inner.minima(), float("-inf"))

    def touching(self, variables: Bool[Tensor, " variables"]) -> "_Negated":
        return _Negated(self.inner.touching(variables))

    def shifted(self, *, variables: int, entries: int, total: int) -> "_Negated":
        return _Negated(self.inner.shifted(variables=variables, entries=entries, total=total))


def raised(energy: Energy, shift: float) -> Energy:
    """E(x) + shift, in nats."""
    return _Changed(inner=energy, scale=1.0, shift=shift)


def negated(energy: Energy) -> Energy:
    """-E(x)."""
    return _Changed(inner=energy, scale=-1.0, shift=0.0)
