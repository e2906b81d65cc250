"""Factors of any form with some variables held and some labels gone, through the form itself."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import ExpectationGroup, FactorGroup, MessageGroup, Service
from groundstate_mrf.restriction import Restriction

_INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class ConditionedGroup:
    """The factors of another group that still have a variable, as functions of what is left.

    Attributes:
        group: the factors before; each touches a variable that stays.
        restriction: what is left of the variables before.
        variables: how many variables stand before those of the restriction, after `shifted`.
        ahead: how many entries do.
        total: how many entries the graph has.
    """

    group: FactorGroup
    restriction: Restriction
    variables: int
    ahead: int
    total: int

    @property
    def serves(self) -> frozenset[Service]:
        return self.group.serves

    @property
    def count(self) -> int:
        return self.group.count

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self.group.owners[self.restriction.kept[self.group.slots]]

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        old = self.group.slots[self.restriction.kept[self.group.slots]]
        return self.restriction.renumbered[old] + self.variables

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self.restriction.new_entries[self._old[self._picked]] + self.ahead

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        return self.group.energies(self._full(labels))

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        return self._to_new(self.group.moves(self._full(labels)))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        group = self.group
        if "messages" not in group.serves or not isinstance(group, MessageGroup):
            return group.minima()
        lowest = group.minima()
        cost = torch.where(self._gone, _INFINITY, 0.0).to(lowest.dtype)
        cost = cost.expand(*lowest.shape[:-1], -1)
        total = group.messages(cost, 0.0) + cost
        sizes = self.restriction.counts[group.slots]
        owner = group.owners.repeat_interleave(sizes)
        empty = total.new_full((*total.shape[:-1], group.count), _INFINITY)
        return empty.scatter_reduce(-1, owner.expand(total.shape), total, "amin")

    def touching(self, variables: Bool[Tensor, " variables"]) -> "ConditionedGroup":
        old = torch.zeros_like(self.restriction.kept)
        end = self.variables + len(self.restriction.new_counts)
        old[self.restriction.kept] = variables[self.variables : end]
        return replace(self, group=self.group.touching(old))

    def shifted(self, *, variables: int, entries: int, total: int) -> "ConditionedGroup":
        further, ahead = self.variables + variables, self.ahead + entries
        return replace(self, variables=further, ahead=ahead, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        assert isinstance(self.group, MessageGroup)
        whole = torch.where(self._gone, _INFINITY, 0.0).to(incoming.dtype)
        whole = whole.expand(*incoming.shape[:-1], -1).clone()
        whole[..., self._picked] = incoming
        return self.group.messages(whole, temperature)[..., self._picked]

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        assert isinstance(self.group, ExpectationGroup)
        return self._to_new(self.group.expected_moves(self._chances(beliefs)))

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        assert isinstance(self.group, ExpectationGroup)
        return self.group.expected_energies(self._chances(beliefs))

    @cached_property
    def _old(self) -> Int[Tensor, " old_group_entries"]:
        """The entry before of each group entry before."""
        counts = self.restriction.counts
        sizes = counts[self.group.slots]
        first = (counts.cumsum(0) - counts)[self.group.slots]
        begin = sizes.cumsum(0) - sizes
        place = torch.arange(int(sizes.sum()), device=counts.device)
        return place + (first - begin).repeat_interleave(sizes)

    @cached_property
    def _picked(self) -> Int[Tensor, " group_entries"]:
        """The group entry before of each group entry, in the order of the new labels."""
        to, slots = self.restriction, self.group.slots
        sizes = to.counts[slots]
        stays = to.kept[slots]
        widths = to.widths[slots][stays]
        first = widths.cumsum(0) - widths
        step = torch.arange(int(widths.sum()), device=slots.device)
        step = step - first.repeat_interleave(widths)
        label = to.choices[to.begin[slots][stays].repeat_interleave(widths) + step]
        return (sizes.cumsum(0) - sizes)[stays].repeat_interleave(widths) + label

    @cached_property
    def _gone(self) -> Bool[Tensor, " old_group_entries"]:
        left = self.restriction.new_entries >= 0
        left[self.restriction.held] = True
        return ~left[self._old]

    def _full(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "*batch old"]:
        end = self.variables + len(self.restriction.new_counts)
        return self.restriction.full(labels[..., self.variables : end])

    def _to_new(self, values: Float[Tensor, "*batch old"]) -> Float[Tensor, "*batch entries"]:
        result = values.new_zeros((*values.shape[:-1], self.total))
        end = self.ahead + self.restriction.total
        result[..., self.ahead : end] = values[..., self.restriction.old_entries]
        return result

    def _chances(self, beliefs: Float[Tensor, "*batch entries"]) -> Float[Tensor, "*batch old"]:
        whole = beliefs.new_zeros((*beliefs.shape[:-1], len(self.restriction.new_entries)))
        whole[..., self.restriction.held] = 1.0
        end = self.ahead + self.restriction.total
        whole[..., self.restriction.old_entries] = beliefs[..., self.ahead : end]
        return whole
