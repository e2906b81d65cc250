"""Cardinality factors: an energy of how many of a clique's variables have a given label.

Variables may have any number of labels, and the label that counts may differ from one to another;
all other labels of a variable are alike. Binary variables and label 1 make it the function of their
sum of the literature. No table of L^n entries: the energy is n + 1 numbers. Messages at temperature
0 take O(n log n) (sort the differences, prefix sums); soft messages and expectations take O(n²) by
a tree of counts, whose sums are all of one sign (Tarlow, Givoni, Zemel: HOP-MAP, 2010; Tarlow et
al.: Fast Exact Inference for Recursive Cardinality Models, 2012).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.counting import (
    Clique,
    lowest_messages,
    mean_messages,
    mean_values,
    soft_messages,
)
from groundstate_mrf.groups.slots import add_at, take
from groundstate_mrf.typed import distinct, split_axis


@dataclass(frozen=True, kw_only=True)
class CardinalityGroup:
    """Factors f(1[y₁ = l₁] + ... + 1[y_n = l_n]) over cliques of any sizes.

    Attributes:
        owners: the factor (0, 1, ...) of each slot, sorted.
        slots: the variable of each slot; they differ within a factor.
        first: the first entry of each slot's variable.
        widths: how many labels it has.
        counted: the label of it that counts.
        values: `[*batch, values]`, factor after factor: the energy of a count of 0, 1, ..., n, in
            nats.
        total: how many entries the graph has.
    """

    owners: Int[Tensor, " slots"]
    slots: Int[Tensor, " slots"]
    first: Int[Tensor, " slots"]
    widths: Int[Tensor, " slots"]
    counted: Int[Tensor, " slots"]
    values: Float[Tensor, "*batch values"]
    total: int

    def __post_init__(self) -> None:
        expected = len(self.owners) + self.count
        if self.values.shape[-1] != expected or bool((self.owners.diff() < 0).any()):
            raise ValueError(
                f"a cardinality factor of n variables has n + 1 values, in all {expected}, and "
                f"`owners` is sorted; got {self.values.shape[-1]} values"
            )
        if bool((self._sizes < 1).any()):
            raise ValueError("every cardinality factor must have a variable; number them 0, 1, ...")
        if len(self.counted) != len(self.slots) or bool(
            ((self.counted < 0) | (self.counted >= self.widths)).any()
        ):
            raise ValueError("the label that counts must be one of each variable's labels")

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

    @property
    def count(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return int(self.owners[-1]) + 1 if len(self.owners) else 0

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self._entries

    @cached_property
    def _entries(self) -> Int[Tensor, " group_entries"]:
        return self.first[self._slot_of_entry] + self._label_of_entry

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        return self._look_up(self._counts(self._counting(labels)) + self._starts)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        own = self._counting(labels)
        others = (self._counts(own) + self._starts)[..., self.owners] - own
        costs = self._to_entries(self._look_up(others), self._look_up(others + 1))
        return add_at(self.total, self.entries, costs)

    def minima(self) -> Float[Tensor, "*batch factors"]:
        place = torch.arange(self.values.shape[-1], device=self.owners.device)
        place = place - self._starts[self._owner_of_value]
        # a variable of one label counts in every labelling
        always = self._counts((self.widths == 1).to(torch.int64))[self._owner_of_value]
        values = torch.where(place < always, float("inf"), self.values)
        empty = values.new_full((*values.shape[:-1], self.count), float("inf"))
        owner = self._owner_of_value.expand(values.shape)
        return empty.scatter_reduce(-1, owner, values, "amin")

    def touching(self, variables: Bool[Tensor, " variables"]) -> "CardinalityGroup":
        kept = torch.zeros(self.count, dtype=torch.bool, device=self.owners.device)
        kept[self.owners[variables[self.slots]]] = True
        slots = kept[self.owners]
        return replace(
            self,
            owners=(kept.cumsum(0) - 1)[self.owners[slots]],
            slots=self.slots[slots],
            first=self.first[slots],
            widths=self.widths[slots],
            counted=self.counted[slots],
            values=self.values[..., kept[self._owner_of_value]],
        )

    def shifted(self, *, variables: int, entries: int, total: int) -> "CardinalityGroup":
        slots, first = self.slots + variables, self.first + entries
        return replace(self, slots=slots, first=first, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        off, on = self._from_entries(incoming, temperature)
        without, counting = torch.zeros_like(off), torch.zeros_like(on)
        for clique in self._cliques:
            costs = take(off, clique.slots), take(on, clique.slots)
            values = self._padded(clique)
            if temperature == 0:
                message = lowest_messages(*costs, values, clique.real)
            else:
                message = soft_messages(*costs, values, clique.real, temperature)
            slots = clique.slots[clique.real]
            without[..., slots], counting[..., slots] = message[..., clique.real, :].unbind(-1)
        return self._to_entries(without, counting)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        chances = take(beliefs, self.first + self.counted)
        without, counting = torch.zeros_like(chances), torch.zeros_like(chances)
        for clique in self._cliques:
            chance = torch.where(clique.real, take(chances, clique.slots), 0.0)
            mean = mean_messages(chance, self._padded(clique))
            slots = clique.slots[clique.real]
            without[..., slots], counting[..., slots] = mean[..., clique.real, :].unbind(-1)
        return add_at(self.total, self.entries, self._to_entries(without, counting))

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        chances = take(beliefs, self.first + self.counted)
        result = beliefs.new_zeros((*beliefs.shape[:-1], self.count))
        for clique in self._cliques:
            chance = torch.where(clique.real, take(chances, clique.slots), 0.0)
            result = result.index_add(-1, clique.factors, mean_values(chance, self._padded(clique)))
        return result

    @cached_property
    def _sizes(self) -> Int[Tensor, " factors"]:
        return torch.bincount(self.owners, minlength=self.count)

    @cached_property
    def _starts(self) -> Int[Tensor, " factors"]:
        """Where each factor's values begin."""
        return (self._sizes + 1).cumsum(0) - self._sizes - 1

    @cached_property
    def _owner_of_value(self) -> Int[Tensor, " values"]:
        factors = torch.arange(self.count, device=self.owners.device)
        return factors.repeat_interleave(self._sizes + 1)

    @cached_property
    def _slot_of_entry(self) -> Int[Tensor, " group_entries"]:
        slots = torch.arange(len(self.slots), device=self.slots.device)
        return slots.repeat_interleave(self.widths)

    @cached_property
    def _label_of_entry(self) -> Int[Tensor, " group_entries"]:
        begin = (self.widths.cumsum(0) - self.widths)[self._slot_of_entry]
        return torch.arange(len(begin), device=begin.device) - begin

    @cached_property
    def _counts_here(self) -> Bool[Tensor, " group_entries"]:
        return self._label_of_entry == self.counted[self._slot_of_entry]

    @cached_property
    def _width(self) -> int | None:
        """The labels of all variables, where they have equally many."""
        found = distinct(self.widths)
        return found[0] if len(found) == 1 else None

    @cached_property
    def _cliques(self) -> list[Clique]:
        """The factors in classes of size up to 1, 2, 4, ...: padding at most doubles the work."""
        begin = self._sizes.cumsum(0) - self._sizes
        power = (self._sizes - 1).clamp(min=0).to(torch.float64).add(1).log2().ceil().long()
        classes: list[Clique] = []
        for each in distinct(power):
            factors = (power == each).nonzero().flatten()
            sizes = self._sizes[factors]
            place = torch.arange(int(sizes.max()), device=sizes.device)
            real = place < sizes.unsqueeze(-1)
            slots = torch.where(real, begin[factors].unsqueeze(-1) + place, 0)
            classes.append(Clique(factors=factors, slots=slots, real=real))
        return classes

    def _counting(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "*batch slots"]:
        """1 where a slot's variable has the label that counts."""
        return (take(labels, self.slots) == self.counted).to(torch.int64)

    def _to_entries(
        self, without: Float[Tensor, "*batch slots"], counting: Float[Tensor, "*batch slots"]
    ) -> Float[Tensor, "*batch group_entries"]:
        """One number for the label that counts, the other for all the others."""
        slots = self._slot_of_entry
        return torch.where(self._counts_here, counting[..., slots], without[..., slots])

    def _from_entries(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> tuple[Float[Tensor, "*batch slots"], Float[Tensor, "*batch slots"]]:
        """The (soft) minimum over the labels that do not count, and the cost of the other."""
        others = torch.where(self._counts_here, float("inf"), incoming)
        on = incoming[..., self._counts_here]
        if self._width is not None:
            parts = split_axis(others, (-1, self._width))
            if temperature == 0 or self._width <= 2:
                return parts.amin(-1), on
            return -temperature * torch.logsumexp(-parts / temperature, -1), on
        index = self._slot_of_entry.expand(others.shape)
        empty = others.new_full((*others.shape[:-1], len(self.slots)), float("inf"))
        lowest = empty.scatter_reduce(-1, index, others, "amin")
        if temperature == 0:
            return lowest, on
        shift = torch.where(lowest.isfinite(), lowest, 0.0)
        weights = ((shift[..., self._slot_of_entry] - others) / temperature).exp()
        sums = torch.zeros_like(lowest).scatter_add(-1, index, weights)
        return shift - temperature * sums.log(), on

    def _counts(self, own: Int[Tensor, "*batch slots"]) -> Int[Tensor, "*batch factors"]:
        counts = own.new_zeros((*own.shape[:-1], self.count))
        return counts.index_add(-1, self.owners, own)

    def _look_up(self, places: Int[Tensor, "*batch chosen"]) -> Float[Tensor, "*batch chosen"]:
        if self.values.dim() == 1:
            return self.values[places]
        return self.values.expand(*places.shape[:-1], -1).gather(-1, places)

    def _padded(self, clique: Clique) -> Float[Tensor, "*batch factors sizes"]:
        """The values of these factors; 0 beyond a factor's size, where no labelling leads."""
        place = torch.arange(clique.real.shape[-1] + 1, device=self.owners.device)
        inside = place <= self._sizes[clique.factors].unsqueeze(-1)
        index = torch.where(inside, self._starts[clique.factors].unsqueeze(-1) + place, 0)
        return torch.where(inside, take(self.values, index), 0.0)
