"""Cardinality factors: an energy of how many of a clique's binary variables are 1.

No table of 2^n entries: the energy is n + 1 numbers. Messages at temperature 0 take O(n log n)
(sort the differences, prefix sums); soft messages and expectations take O(n²) by the chain of
running counts, whose sums are all of one sign (Tarlow, Givoni, Zemel: HOP-MAP, 2010; Tarlow et al.:
Fast Exact Inference for Recursive Cardinality Models, 2012).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.counting import Clique, lowest_messages, mean_messages, soft_messages
from groundstate_mrf.groups.slots import add_at, take
from groundstate_mrf.typed import distinct, split_axis


@dataclass(frozen=True, kw_only=True)
class CardinalityGroup:
    """Factors f(y₁ + ... + y_n) over cliques of any sizes.

    Attributes:
        owners: the factor (0, 1, ...) of each slot, sorted.
        slots: the variable of each slot; all have 2 labels, and differ within a factor.
        first: the first entry of each slot's variable.
        values: `[*batch, values]`, factor after factor: the energy of 0, 1, ..., n ones, in nats.
        total: how many entries the graph has.
    """

    owners: Int[Tensor, " slots"]
    slots: Int[Tensor, " slots"]
    first: Int[Tensor, " slots"]
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
        return self._pairs.flatten()

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        return self._look_up(self._ones(take(labels, self.slots)) + self._starts)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        own = take(labels, self.slots)
        others = (self._ones(own) + self._starts)[..., self.owners] - own
        costs = [self._look_up(others), self._look_up(others + 1)]
        return add_at(self.total, self._pairs, torch.stack(costs, -1))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        owner = self._owner_of_value.expand(self.values.shape)
        empty = self.values.new_full((*self.values.shape[:-1], self.count), float("inf"))
        return empty.scatter_reduce(-1, owner, self.values, "amin")

    def touching(self, variables: Bool[Tensor, " variables"]) -> "CardinalityGroup":
        kept = torch.zeros(self.count, dtype=torch.bool, device=self.owners.device)
        kept[self.owners[variables[self.slots]]] = True
        slots = kept[self.owners]
        return replace(
            self,
            owners=(kept.cumsum(0) - 1)[self.owners[slots]],
            slots=self.slots[slots],
            first=self.first[slots],
            values=self.values[..., kept[self._owner_of_value]],
        )

    def shifted(self, *, variables: int, entries: int, total: int) -> "CardinalityGroup":
        slots, first = self.slots + variables, self.first + entries
        return replace(self, slots=slots, first=first, total=total)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        pairs = split_axis(incoming, (-1, 2))
        sent = torch.zeros_like(pairs)
        for clique in self._cliques:
            costs = take(pairs.movedim(-1, 0), clique.slots)
            values = self._padded(clique)
            if temperature == 0:
                message = lowest_messages(costs[0], costs[1], values, clique.real)
            else:
                message = soft_messages(costs[0], costs[1], values, clique.real, temperature)
            sent[..., clique.slots[clique.real], :] = message[..., clique.real, :]
        return sent.flatten(-2)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        ones = take(beliefs, self._pairs[:, 1])
        result = beliefs.new_zeros((*beliefs.shape[:-1], self.total))
        for clique in self._cliques:
            chance = torch.where(clique.real, take(ones, clique.slots), 0.0)
            means = mean_messages(chance, self._padded(clique))
            places = self._pairs[clique.slots[clique.real]]
            result = result + add_at(self.total, places, means[..., clique.real, :])
        return result

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        ones = take(beliefs, self._pairs[:, 1])
        result = beliefs.new_zeros((*beliefs.shape[:-1], self.count))
        for clique in self._cliques:
            chance = torch.where(clique.real, take(ones, clique.slots), 0.0)
            # the first variable's two means, weighted with its own belief
            means = mean_messages(chance, self._padded(clique), only_first=True)[..., 0, :]
            weights = torch.stack([1 - chance[..., 0], chance[..., 0]], -1)
            mean = torch.where(weights > 0, means * weights, 0.0).sum(-1)
            result = result.index_add(-1, clique.factors, mean)
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
    def _pairs(self) -> Int[Tensor, "slots 2"]:
        return self.first.unsqueeze(-1) + torch.arange(2, device=self.first.device)

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

    def _ones(self, own: Int[Tensor, "*batch slots"]) -> Int[Tensor, "*batch factors"]:
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
