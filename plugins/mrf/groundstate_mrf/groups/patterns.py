"""Sparse-pattern factors: listed label tuples have their own energies, all others one default.

Energies, moves and messages take O(patterns · k) (Rother, Kohli, Feng, Jia: Minimizing Sparse
Higher Order Energy Functions, 2009). Messages are served where no pattern is dearer than the
default: then the default may be taken for listed tuples too without changing the minimum, and in
sums a pattern adds exp(-e) - exp(-default) ≥ 0, so that nothing is subtracted. Dearer patterns,
such as forbidden tuples, serve moves and expectations.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.scopes import Scopes
from groundstate_mrf.groups.slots import take
from groundstate_mrf.typed import distinct_rows, split_axis

_INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class PatternGroup:
    """Factors of one shape: energies[p] if y_f is pattern p of the factor, else default.

    Attributes:
        scopes: the variables of each factor.
        factor: the factor of each pattern, sorted.
        patterns: the labels of each pattern; those of one factor are all different.
        energies_of: energy of each pattern, in nats; +inf forbids.
        default: energy of all other labels of each factor, in nats.
    """

    scopes: Scopes
    factor: Int[Tensor, " patterns"]
    patterns: Int[Tensor, "patterns order"]
    energies_of: Float[Tensor, "*batch patterns"]
    default: Float[Tensor, "*batch factors"]

    def __post_init__(self) -> None:
        listed, order = len(self.factor), self.scopes.order
        if tuple(self.patterns.shape) != (listed, order) or (
            self.energies_of.shape[-1] != listed or self.default.shape[-1] != self.count
        ):
            raise ValueError(
                f"{listed} patterns of {order} variables need as many rows of {order} labels and "
                f"energies, and a default for each of {self.count} factors; got shapes "
                f"{tuple(self.patterns.shape)}, {tuple(self.energies_of.shape)} and "
                f"{tuple(self.default.shape)}"
            )
        widths = torch.tensor(self.scopes.widths, device=self.patterns.device)
        inside = (self.patterns >= 0) & (self.patterns < widths)
        if not bool(inside.all()) or bool((self.factor.diff() < 0).any()):
            raise ValueError("patterns must have labels of their variables, factor after factor")
        if listed and not 0 <= int(self.factor.min()) <= int(self.factor.max()) < self.count:
            raise ValueError(f"patterns must belong to factors 0 ... {self.count - 1}")
        rows = torch.cat([self.factor.unsqueeze(-1), self.patterns], -1)
        if len(distinct_rows(rows)[0]) < listed:
            raise ValueError("the patterns of a factor must all be different")
        if self.energies_of.shape[:-1] != self.default.shape[:-1]:
            raise ValueError("patterns and defaults must have one batch shape")

    @property
    def serves(self) -> frozenset[Service]:
        if self._favoured:
            return frozenset({"moves", "messages", "expectations"})
        return frozenset({"moves", "expectations"})

    @property
    def count(self) -> int:
        return self.scopes.count

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self.scopes.owners

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self.scopes.slots

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self.scopes.entries

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        missed = self._missed(labels).sum(-1)
        index = self.factor.expand(missed.shape)
        none = missed.new_full((*missed.shape[:-1], self.count), -1)
        place = torch.arange(len(self.factor), device=missed.device)
        found = none.scatter_reduce(-1, index, _where(missed == 0, place), "amax")
        return self._priced(found.unsqueeze(-1)).squeeze(-1)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        missed = self._missed(labels)
        others = missed.sum(-1, keepdim=True) - missed
        lead = labels.shape[:-1]
        none = others.new_full((*lead, self.count * self.scopes.starts[-1]), -1)
        place = torch.arange(len(self.factor), device=others.device).unsqueeze(-1)
        index = self._cells.flatten().expand(*lead, -1)
        found = none.scatter_reduce(-1, index, _where(others == 0, place).flatten(-2), "amax")
        return self.scopes.spread(self._priced(split_axis(found, (self.count, -1))))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        listed = torch.bincount(self.factor, minlength=self.count)
        exhausted = listed == prod(self.scopes.widths)
        lowest = torch.where(exhausted, _INFINITY, self.default)
        index = self.factor.expand(self.energies_of.shape)
        return lowest.scatter_reduce(-1, index, self.energies_of, "amin")

    def touching(self, variables: Bool[Tensor, " variables"]) -> "PatternGroup":
        kept = self.scopes.touched(variables)
        listed = kept[self.factor]
        return replace(
            self,
            scopes=self.scopes.only(kept),
            factor=(kept.cumsum(0) - 1)[self.factor[listed]],
            patterns=self.patterns[listed],
            energies_of=self.energies_of[..., listed],
            default=self.default[..., kept],
        )

    def shifted(self, *, variables: int, entries: int, total: int) -> "PatternGroup":
        moved = self.scopes.shifted(variables=variables, entries=entries, total=total)
        return replace(self, scopes=moved)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        costs = split_axis(incoming, (self.count, -1))
        parts = torch.split(costs, list(self.scopes.widths), dim=-1)
        free = torch.stack([_lowest(part, temperature) for part in parts], -1)
        rest = _sums_without(free) + self.default.unsqueeze(-1)
        unlisted = rest[..., self.scopes.place_of].flatten(-2)
        extra = self._extra(temperature).unsqueeze(-1)
        listed = (_sums_without(take(incoming, self._cells)) + extra).flatten(-2)
        cells = self._cells.flatten().expand(listed.shape)
        lowest = unlisted.scatter_reduce(-1, cells, listed, "amin")
        if temperature == 0:
            return lowest
        shift = torch.where(lowest.isfinite(), lowest, 0.0)
        weights = ((shift - unlisted) / temperature).exp()
        weight = ((shift.gather(-1, cells) - listed) / temperature).exp()
        return shift - temperature * weights.scatter_add(-1, cells, weight).log()

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        return self.scopes.spread(self._means(take(beliefs, self.scopes.places)))

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        chances = take(beliefs, self.scopes.places)
        width = self.scopes.widths[0]
        first, mean = chances[..., :width], self._means(chances)[..., :width]
        return torch.where(first > 0, first * mean, 0.0).sum(-1)

    def _means(self, chances: Float[Tensor, "*batch factors labels"]) -> Float[Tensor, "..."]:
        """Mean over the other variables, for each label."""
        flat = chances.flatten(-2)
        weight = _products_without(flat[..., self._cells])
        cells = self._cells.flatten().expand(*flat.shape[:-1], -1)
        nothing = torch.zeros_like(flat)

        def at_labels(values: Tensor) -> Tensor:
            sums = nothing.scatter_add(-1, cells, values.flatten(-2))
            return split_axis(sums, (self.count, -1))

        possible = weight > 0
        mean = at_labels(torch.where(possible, self.energies_of.unsqueeze(-1) * weight, 0.0))
        parts = torch.split(chances, list(self.scopes.widths), dim=-1)
        support = torch.stack([(part > 0).to(flat.dtype).sum(-1) for part in parts], -1)
        others = _products_without(support)[..., self.scopes.place_of]
        # by counting: a rounded 1 - mass would make an infinite default out of nothing
        unlisted = at_labels(possible.to(flat.dtype)) < others
        share = (1 - at_labels(weight)).clamp(min=0)
        default = self.default.unsqueeze(-1)
        return mean + torch.where(
            unlisted, torch.where(default.isinf(), default, share * default), 0.0
        )

    @cached_property
    def _favoured(self) -> bool:
        return bool((self.energies_of <= self.default[..., self.factor]).all())

    @cached_property
    def _cells(self) -> Int[Tensor, "patterns order"]:
        """The group entry of each label of each pattern."""
        return self.factor.unsqueeze(-1) * self.scopes.starts[-1] + self.scopes.chosen(
            self.patterns
        )

    def _missed(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "..."]:
        """1 where a variable has not the label of the pattern, `[*batch, patterns, order]`."""
        own = self.scopes.labels(labels)[..., self.factor, :]
        return (own != self.patterns).to(torch.int64)

    def _extra(self, temperature: float) -> Float[Tensor, "*batch patterns"]:
        """What each pattern adds to the default's share of the (soft) minimum, as an energy."""
        default = self.default[..., self.factor]
        if temperature == 0:
            return self.energies_of
        same = self.energies_of == default
        gap = torch.where(same, -1.0, self.energies_of - default) / temperature
        return torch.where(
            same, _INFINITY, self.energies_of - temperature * torch.log(-torch.expm1(gap))
        )

    def _priced(self, found: Int[Tensor, "*batch factors chosen"]) -> Float[Tensor, "..."]:
        """The energies of the patterns that were found; the default where there is -1."""
        default = self.default.unsqueeze(-1).expand(found.shape)
        if not len(self.factor):
            return default
        listed = self.energies_of.expand(*found.shape[:-2], -1)
        picked = listed.gather(-1, found.flatten(-2).clamp(min=0))
        return torch.where(found >= 0, picked.reshape(found.shape), default)


def _lowest(part: Float[Tensor, "... labels"], temperature: float) -> Float[Tensor, "..."]:
    if temperature == 0:
        return part.amin(-1)
    return -temperature * torch.logsumexp(-part / temperature, -1)


def _sums_without(values: Float[Tensor, "... order"]) -> Float[Tensor, "... order"]:
    """The sum of all others, for each: from both ends, so that infinities are not subtracted."""
    zero = torch.zeros_like(values[..., :1])
    before = torch.cat([zero, values[..., :-1].cumsum(-1)], -1)
    after = torch.cat([values[..., 1:].flip(-1).cumsum(-1).flip(-1), zero], -1)
    return before + after


def _products_without(values: Float[Tensor, "... order"]) -> Float[Tensor, "... order"]:
    """The product of all others, for each, without dividing."""
    one = torch.ones_like(values[..., :1])
    before = torch.cat([one, values[..., :-1].cumprod(-1)], -1)
    after = torch.cat([values[..., 1:].flip(-1).cumprod(-1).flip(-1), one], -1)
    return before * after


def _where(found: Bool[Tensor, "..."], place: Int[Tensor, "..."]) -> Int[Tensor, "..."]:
    """The place where something was found, and -1."""
    return torch.where(found, place, -1)
