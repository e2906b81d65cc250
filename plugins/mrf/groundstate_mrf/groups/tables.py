"""Factors given by tables, of any order, all of one shape.

A table of order k takes L₁···L_k numbers: for wide factors choose a form that has no table.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.slots import add_at, take
from groundstate_mrf.typed import pieces, split_axis


@dataclass(frozen=True, kw_only=True)
class TableGroup:
    """Factors f(y₁, ..., y_k) = table[y₁, ..., y_k]; +inf forbids.

    Attributes:
        scope: the variables of each factor, all different.
        first: the first entry of each of them.
        tables: `[*batch, factors, L₁, ..., L_k]`, in nats.
        total: how many entries the graph has.
    """

    scope: Int[Tensor, "factors order"]
    first: Int[Tensor, "factors order"]
    tables: Float[Tensor, "..."]
    total: int

    def __post_init__(self) -> None:
        order = self.scope.shape[1]
        if order < 1 or self.tables.dim() <= order:
            raise ValueError(
                f"tables must be [*batch, factors, one axis per variable], for {order} variables "
                f"(at least 1); got shape {tuple(self.tables.shape)}"
            )
        if self.tables.shape[-order - 1] != len(self.scope):
            raise ValueError(
                f"there must be as many tables as scopes, {len(self.scope)}, got "
                f"{self.tables.shape[-order - 1]} (tables of shape {tuple(self.tables.shape)})"
            )

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

    @property
    def order(self) -> int:
        """How many variables a factor has."""
        return self.scope.shape[1]

    @property
    def widths(self) -> tuple[int, ...]:
        """How many labels each of them has."""
        return tuple(self.tables.shape[-self.order :])

    @property
    def count(self) -> int:
        return len(self.scope)

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self._owners

    @cached_property
    def _owners(self) -> Int[Tensor, " slots"]:
        return torch.arange(self.count, device=self.scope.device).repeat_interleave(self.order)

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self._slots

    @cached_property
    def _slots(self) -> Int[Tensor, " slots"]:
        return self.scope.flatten()

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self._entries

    @cached_property
    def _entries(self) -> Int[Tensor, " group_entries"]:
        return torch.cat(self.places, -1).flatten()

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        return self._look_up(self._positions(labels).unsqueeze(-1)).squeeze(-1)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        lead = labels.shape[:-1]
        if self.order == 1:
            return self._gathered(0, self.tables.expand(*lead, *self.tables.shape[-2:]))
        position = self._positions(labels)
        result = self.tables.new_zeros((*lead, self.total))
        for place, (stride, width) in enumerate(zip(self._strides, self.widths, strict=True)):
            others = position - labels[..., self.scope[:, place]] * stride
            step = torch.arange(width, device=labels.device) * stride
            result = result + self._gathered(place, self._look_up(others.unsqueeze(-1) + step))
        return result

    def minima(self) -> Float[Tensor, "*batch factors"]:
        return self._flat.amin(-1)

    def touching(self, variables: Bool[Tensor, " variables"]) -> "TableGroup":
        kept = variables[self.scope].any(-1)
        tables = self.tables[(..., kept) + (slice(None),) * self.order]
        return replace(self, scope=self.scope[kept], first=self.first[kept], tables=tables)

    def shifted(self, *, variables: int, entries: int, total: int) -> "TableGroup":
        scope, first = self.scope + variables, self.first + entries
        return replace(self, scope=scope, first=first, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        lead = incoming.shape[:-1]
        if self.order == 1:
            return self._flat.expand(*lead, *self._flat.shape[-2:]).flatten(-2)
        parts = self._spread(pieces(split_axis(incoming, (self.count, -1)), self.widths))
        sent: list[Tensor] = []
        for place, width in enumerate(self.widths):
            cost = self.tables
            for other, part in enumerate(parts):
                if other != place:
                    cost = cost + part
            cost = cost.movedim(place - self.order, -self.order).flatten(1 - self.order)
            message = _soft_minimum(cost, temperature)
            sent.append(message.expand(*lead, self.count, width))
        return torch.cat(sent, -1).flatten(-2)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        parts = [take(beliefs, place) for place in self.places]
        lead = beliefs.shape[:-1]
        result = beliefs.new_zeros((*lead, self.total))
        for place, width in enumerate(self.widths):
            mean = self._mean(parts, place).expand(*lead, self.count, width)
            result = result + self._gathered(place, mean)
        return result

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        return self._mean([take(beliefs, place) for place in self.places], None)

    @cached_property
    def _strides(self) -> tuple[int, ...]:
        return tuple(prod(self.widths[place + 1 :]) for place in range(self.order))

    @property
    def _flat(self) -> Float[Tensor, "*batch factors cells"]:
        return self.tables.flatten(-self.order)

    @cached_property
    def places(self) -> list[Tensor]:
        """The graph's entries of each place in the factors, `[factors, labels]`."""
        return [
            self.first[:, place, None] + torch.arange(width, device=self.first.device)
            for place, width in enumerate(self.widths)
        ]

    @cached_property
    def _covers(self) -> bool:
        """Whether unary tables lie in the order of the graph's entries, one for each."""
        index = self.places[0].flatten()
        whole = torch.arange(self.total, device=index.device)
        return self.order == 1 and bool(torch.equal(index, whole))

    @cached_property
    def _forbids(self) -> bool:
        return bool(self.tables.isinf().any())

    def _gathered(
        self, place: int, values: Float[Tensor, "*batch factors labels"]
    ) -> Float[Tensor, "*batch entries"]:
        if self._covers:
            return values.flatten(-2)
        return add_at(self.total, self.places[place], values)

    def _positions(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "*batch factors"]:
        """Which cell of its flattened table each factor is in."""
        cells = zip(self.scope.T, self._strides, strict=True)
        first, *others = [labels.index_select(-1, scope) * stride for scope, stride in cells]
        return sum(others, start=first)

    def _look_up(
        self, cells: Int[Tensor, "*batch factors chosen"]
    ) -> Float[Tensor, "*batch factors chosen"]:
        flat = self._flat
        if flat.dim() == 2:
            start = torch.arange(self.count, device=cells.device) * flat.shape[-1]
            return flat.reshape(-1)[cells + start.unsqueeze(-1)]
        return flat.expand(*cells.shape[:-1], flat.shape[-1]).gather(-1, cells)

    def _spread(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """One array per place, shaped to broadcast against the tables."""
        ones = [1] * self.order
        return [
            split_axis(part, [*ones[:place], -1, *ones[place + 1 :]])
            for place, part in enumerate(parts)
        ]

    def _mean(self, parts: list[Tensor], kept: int | None) -> Float[Tensor, "..."]:
        """Mean of the tables over all places but `kept`, whose labels stay as the last axis."""
        if not self._forbids:
            return self._contract(self.tables, parts, kept)
        finite = torch.where(self.tables.isinf(), 0.0, self.tables)
        forbidden = self.tables.isinf().to(self.tables.dtype)
        mean = self._contract(finite, parts, kept)
        # any chance of a forbidden cell makes the mean infinite, none of it adds nothing
        return torch.where(self._contract(forbidden, parts, kept) > 0, float("inf"), mean)

    def _contract(
        self, tables: Float[Tensor, "..."], parts: list[Tensor], kept: int | None
    ) -> Float[Tensor, "..."]:
        weighted = tables
        for place in reversed(range(self.order)):
            if place == kept:
                continue
            # of the axes after this place only the kept one is left
            after = [1] if kept is not None and kept > place else []
            part = split_axis(parts[place], [1] * place + [-1, *after])
            weighted = (weighted * part).sum(-1 - len(after))
        return weighted


def _soft_minimum(
    costs: Float[Tensor, "*batch others"], temperature: float
) -> Float[Tensor, "*batch"]:
    if temperature == 0:
        return costs.amin(-1)
    return -temperature * torch.logsumexp(-costs / temperature, -1)
