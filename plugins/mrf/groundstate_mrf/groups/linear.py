"""Factors of a sum of whole-number weights: knapsacks, budgets, weighted votes, checks modulo m.

    f(w₁(y₁) + ... + w_k(y_k))

with any function f of the sum, as one number for each sum that can come out. Messages fold the
variables one after another into the function; a halving recursion leaves each one out in turn, in
O(k log k) vector operations over labels × sums and memory O(sums · log k), without subtracting.
Counts of a label are the case of weights 0 and 1, for which `CardinalityGroup` is faster. Source:
dynamic programming over the sum, as in Tarlow et al.: Fast Exact Inference for Recursive
Cardinality Models (2012), with weights in place of ones.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.scopes import Scopes
from groundstate_mrf.groups.slots import take
from groundstate_mrf.typed import common_shape, split_axis

_INFINITY = float("inf")
_Fold = Literal["minimum", "log-sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class LinearGroup:
    """Factors f(w₁(y₁) + ... + w_k(y_k)) of one shape.

    Attributes:
        scopes: the variables of each factor.
        weights: the weight of each label of each variable, at least 0.
        values: `[*batch, factors, sums]`: the energy of a sum of 0, 1, ..., in nats; at least as
            many as the largest sum plus 1.
    """

    scopes: Scopes
    weights: Int[Tensor, "factors labels"]
    values: Float[Tensor, "*batch factors sums"]

    def __post_init__(self) -> None:
        expected = (self.scopes.count, self.scopes.starts[-1])
        if tuple(self.weights.shape) != expected or bool((self.weights < 0).any()):
            raise ValueError(
                f"`weights` must be [factors, labels of all variables] = {expected} and not "
                f"negative, got shape {tuple(self.weights.shape)}"
            )
        needed = self._spans[0] + 1
        if self.values.shape[-2] != self.scopes.count or self.values.shape[-1] < needed:
            raise ValueError(
                f"`values` must be [*batch, {self.scopes.count} factors, {needed} sums or more], "
                f"got shape {tuple(self.values.shape)}"
            )

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves", "messages", "expectations"})

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
        return self._look_up(self._own(labels).sum(-1, keepdim=True)).squeeze(-1)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        own = self._own(labels)
        others = (own.sum(-1, keepdim=True) - own)[..., self.scopes.place_of]
        return self.scopes.spread(self._look_up(others + self.weights))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        nothing = self.values.new_zeros((*self.values.shape[:-1], self.scopes.starts[-1]))
        return self._all_but(nothing, "minimum")[..., : self.scopes.widths[0]].amin(-1)

    def touching(self, variables: Bool[Tensor, " variables"]) -> "LinearGroup":
        kept = self.scopes.touched(variables)
        scopes, weights = self.scopes.only(kept), self.weights[kept]
        return replace(self, scopes=scopes, weights=weights, values=self.values[..., kept, :])

    def shifted(self, *, variables: int, entries: int, total: int) -> "LinearGroup":
        moved = self.scopes.shifted(variables=variables, entries=entries, total=total)
        return replace(self, scopes=moved)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        costs = split_axis(incoming, (self.count, -1))
        if temperature == 0:
            return self._all_but(costs, "minimum").flatten(-2)
        scaled = replace(self, values=self.values / -temperature)
        return -temperature * scaled._all_but(costs / -temperature, "log-sum").flatten(-2)

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        chances = take(beliefs, self.scopes.places)
        return self.scopes.spread(self._means(chances))

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        chances = take(beliefs, self.scopes.places)
        width = self.scopes.widths[0]
        first, mean = chances[..., :width], self._means(chances)[..., :width]
        return torch.where(first > 0, first * mean, 0.0).sum(-1)

    def _own(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "*batch factors order"]:
        """The weight of each variable's label."""
        index = self.scopes.chosen(self.scopes.labels(labels))
        return self.weights.expand(*index.shape[:-1], -1).gather(-1, index)

    def _look_up(self, sums: Int[Tensor, "*batch factors chosen"]) -> Float[Tensor, "..."]:
        return self.values.expand(*sums.shape[:-1], -1).gather(-1, sums)

    @cached_property
    def _steps(self) -> list[Tensor]:
        """The weights of each place's labels, `[factors, labels]`."""
        return list(torch.split(self.weights, list(self.scopes.widths), dim=-1))

    @cached_property
    def _spans(self) -> list[int]:
        """The largest weights of a place and of all after it, added up."""
        spans = [0]
        for step in reversed(self._steps):
            spans.append(spans[-1] + (int(step.max()) if step.numel() else 0))
        return spans[::-1]

    def _means(self, chances: Float[Tensor, "*batch factors labels"]) -> Float[Tensor, "..."]:
        """Mean over the other variables, for each label."""
        hard = self.values.isinf()
        finite = replace(self, values=torch.where(hard, 0.0, self.values))
        mean = finite._all_but(chances, "mean")
        if not bool(hard.any()):
            return mean
        forbidding = replace(self, values=hard.to(self.values.dtype))
        return torch.where(forbidding._all_but(chances, "mean") > 0, _INFINITY, mean)

    def _all_but(
        self, terms: Float[Tensor, "*batch factors labels"], fold: _Fold
    ) -> Float[Tensor, "*batch factors labels"]:
        """For each label of each variable, f of the sum folded over the other variables."""
        parts = torch.split(terms, list(self.scopes.widths), dim=-1)
        values = self.values[..., : self._spans[0] + 1]
        sent: list[Tensor] = []
        waiting = [(0, self.scopes.order, values)]
        while waiting:
            begin, end, values = waiting.pop()
            if end - begin == 1:
                index = self._steps[begin].expand(*values.shape[:-1], -1)
                message = values.gather(-1, index)
                sent.append(message.expand(*terms.shape[:-1], -1))
                continue
            middle = (begin + end) // 2
            halves = [(begin, middle, middle, end), (middle, end, begin, middle)]
            folded: list[tuple[int, int, Tensor]] = []
            for start, stop, first, last in halves:
                rest = values
                for place in range(first, last):
                    rest = _folded(rest, self._steps[place], parts[place], fold)
                folded.append(
                    (start, stop, rest[..., : self._spans[start] - self._spans[stop] + 1])
                )
            waiting += reversed(folded)
        return torch.cat(sent, -1)


def _folded(values: Tensor, steps: Tensor, terms: Tensor, fold: _Fold) -> Tensor:
    """One variable less: for each sum of the others, over this one's labels.

    Sums beyond what the others can reach come out as anything; nothing asks for them.
    """
    sums = torch.arange(values.shape[-1], device=values.device)
    index = (sums + steps.unsqueeze(-1)).clamp(max=values.shape[-1] - 1)
    lead = common_shape(values.shape[:-1], terms.shape[:-1])
    table = values.unsqueeze(-2).expand(*lead, index.shape[-2], -1)
    table = table.gather(-1, index.expand(*lead, *index.shape[-2:]))
    if fold == "minimum":
        return (table + terms.unsqueeze(-1)).amin(-2)
    if fold == "log-sum":
        return torch.logsumexp(table + terms.unsqueeze(-1), -2)
    return (table * terms.unsqueeze(-1)).sum(-2)
