"""Which labels are left of each variable, and where variables, labels and entries went."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """A smaller set of labellings of the same variables.

    Attributes:
        counts: the label counts before.
        choices: the labels that are left, variable after variable.
        widths: how many are left of each variable, at least 1.
        kept: the variables that stay; the others have one label left.
    """

    counts: Int[Tensor, " variables"]
    choices: Int[Tensor, " choices"]
    widths: Int[Tensor, " variables"]
    kept: Bool[Tensor, " variables"]

    @cached_property
    def begin(self) -> Int[Tensor, " variables"]:
        """Where the choices of each variable begin."""
        return self.widths.cumsum(0) - self.widths

    @cached_property
    def fixed(self) -> Int[Tensor, " variables"]:
        """A labelling of all variables; of those that do not stay, the only one."""
        return self.choices[self.begin]

    @cached_property
    def renumbered(self) -> Int[Tensor, " variables"]:
        """The new number of each variable that stays."""
        return self.kept.cumsum(0) - 1

    @cached_property
    def new_counts(self) -> Int[Tensor, " kept"]:
        return self.widths[self.kept]

    @cached_property
    def new_first(self) -> Int[Tensor, " variables"]:
        """The first new entry of each variable that stays."""
        own = torch.where(self.kept, self.widths, 0)
        return own.cumsum(0) - own

    @property
    def total(self) -> int:
        """How many new entries there are."""
        return int(self.new_counts.sum())

    @cached_property
    def old_entries(self) -> Int[Tensor, " new_entries"]:
        """The entry that each new entry was."""
        first = self.counts.cumsum(0) - self.counts
        entry = self.choices + first.repeat_interleave(self.widths)
        return entry[self.kept.repeat_interleave(self.widths)]

    @cached_property
    def new_entries(self) -> Int[Tensor, " entries"]:
        """The new entry that each entry became; -1 where it is gone."""
        gone = self.counts.new_full((int(self.counts.sum()),), -1)
        place = torch.arange(self.total, device=gone.device)
        return gone.scatter(0, self.old_entries, place)

    @cached_property
    def held(self) -> Int[Tensor, " held"]:
        """The entries of the only labels of variables that do not stay."""
        first = self.counts.cumsum(0) - self.counts
        return (first + self.fixed)[~self.kept]

    @cached_property
    def touched(self) -> Bool[Tensor, " variables"]:
        """Variables whose labels are not what they were."""
        place = torch.arange(len(self.choices), device=self.choices.device)
        moved = self.choices != place - self.begin.repeat_interleave(self.widths)
        owner = torch.arange(len(self.widths), device=moved.device).repeat_interleave(self.widths)
        touched = ~self.kept | (self.widths < self.counts)
        touched[owner[moved]] = True
        return touched

    def full(self, labels: Int[Tensor, "*batch kept"]) -> Int[Tensor, "*batch variables"]:
        """A labelling of the variables before, from one of those that stay."""
        whole = self.fixed.expand(*labels.shape[:-1], -1).clone()
        whole[..., self.kept] = self.choices[self.begin[self.kept] + labels]
        return whole
