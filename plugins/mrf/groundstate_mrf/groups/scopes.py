"""The variables of factors of one shape: the bookkeeping that groups without tables share."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate_mrf.groups.slots import add_at, take


@dataclass(frozen=True, kw_only=True)
class Scopes:
    """Factors whose k variables have L₁, ..., L_k labels, the same for all factors.

    Attributes:
        variables: the variables of each factor, all different.
        first: the first entry of each of them.
        widths: L₁, ..., L_k.
        total: how many entries the graph has.
    """

    variables: Int[Tensor, "factors order"]
    first: Int[Tensor, "factors order"]
    widths: tuple[int, ...]
    total: int

    def __post_init__(self) -> None:
        if self.variables.shape[1] != len(self.widths) or not self.widths:
            raise ValueError(
                f"factors of {len(self.widths)} variables (at least 1) must be [factors, "
                f"{len(self.widths)}], got shape {tuple(self.variables.shape)}"
            )

    @property
    def count(self) -> int:
        """How many factors there are."""
        return len(self.variables)

    @property
    def order(self) -> int:
        """How many variables a factor has."""
        return len(self.widths)

    @cached_property
    def owners(self) -> Int[Tensor, " slots"]:
        factors = torch.arange(self.count, device=self.variables.device)
        return factors.repeat_interleave(self.order)

    @cached_property
    def slots(self) -> Int[Tensor, " slots"]:
        return self.variables.flatten()

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where the labels of each place begin, and end, among the labels of a factor."""
        sums = [0]
        for width in self.widths:
            sums.append(sums[-1] + width)
        return tuple(sums)

    @cached_property
    def place_of(self) -> Int[Tensor, " labels"]:
        """The place that each label of a factor belongs to."""
        widths = torch.tensor(self.widths, device=self.first.device)
        return torch.arange(self.order, device=self.first.device).repeat_interleave(widths)

    @cached_property
    def places(self) -> Int[Tensor, "factors labels"]:
        """The graph's entry of each label of each factor."""
        begin = torch.tensor(self.starts[:-1], device=self.first.device)[self.place_of]
        label = torch.arange(self.starts[-1], device=self.first.device) - begin
        return self.first[:, self.place_of] + label

    @cached_property
    def entries(self) -> Int[Tensor, " group_entries"]:
        return self.places.flatten()

    def labels(self, labels: Int[Tensor, "*batch variables"]) -> Int[Tensor, "..."]:
        """The labels of each factor's variables, `[*batch, factors, order]`."""
        return take(labels, self.variables)

    def chosen(self, own: Int[Tensor, "... order"]) -> Int[Tensor, "... order"]:
        """Where these labels of a factor's variables lie among its labels."""
        return own + torch.tensor(self.starts[:-1], device=own.device)

    def spread(self, values: Float[Tensor, "*batch factors labels"]) -> Float[Tensor, "..."]:
        """Values of the factors' labels, summed at the graph's entries."""
        return add_at(self.total, self.places, values)

    def touched(self, variables: Bool[Tensor, " variables"]) -> Bool[Tensor, " factors"]:
        """Which factors have one of these variables."""
        return variables[self.variables].any(-1)

    def only(self, kept: Bool[Tensor, " factors"]) -> "Scopes":
        """Some of the factors."""
        return replace(self, variables=self.variables[kept], first=self.first[kept])

    def shifted(self, *, variables: int, entries: int, total: int) -> "Scopes":
        """The same factors after that many other variables and entries."""
        here, first = self.variables + variables, self.first + entries
        return replace(self, variables=here, first=first, total=total)
