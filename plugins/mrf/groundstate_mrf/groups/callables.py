"""Factors given by a function of their labels; they serve moves only.

Nothing is known of the function, so there are no messages, and a bound only if one is given. All is
linear in the number of variables: a factor of 30 is never listed out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import Service
from groundstate_mrf.groups.scopes import Scopes


@dataclass(frozen=True, kw_only=True)
class CallableGroup:
    """Factors f(y₁, ..., y_k) for one function f.

    Attributes:
        scopes: the variables of each factor.
        function: f of labels `[*any, k]`, giving `[*any]` energies in nats; vectorised, and it
            follows the device of the labels. For a batch of problems, `any` ends in the batch shape
            and the number of factors.
        lowest: a number that f is never below, for bounds; -inf where none is known.
    """

    scopes: Scopes
    function: Callable[[Int[Tensor, "..."]], Float[Tensor, "..."]]
    lowest: Float[Tensor, ""]

    @property
    def serves(self) -> frozenset[Service]:
        return frozenset({"moves"})

    @property
    def count(self) -> int:
        return self.scopes.count

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return self.scopes.owners

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self.scopes.slots

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        return self._evaluate(self.scopes.labels(labels))

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        own = self.scopes.labels(labels)
        costs: list[Tensor] = []
        for place, width in enumerate(self.scopes.widths):
            for label in range(width):
                moved = own.clone()
                moved[..., place] = label
                costs.append(self._evaluate(moved))
        return self.scopes.spread(torch.stack(costs, -1))

    def minima(self) -> Float[Tensor, "*batch factors"]:
        return self.lowest.expand(self.count)

    def touching(self, variables: Bool[Tensor, " variables"]) -> "CallableGroup":
        return replace(self, scopes=self.scopes.only(self.scopes.touched(variables)))

    def shifted(self, *, variables: int, entries: int, total: int) -> "CallableGroup":
        moved = self.scopes.shifted(variables=variables, entries=entries, total=total)
        return replace(self, scopes=moved)

    def _evaluate(self, own: Int[Tensor, "*batch order"]) -> Float[Tensor, "*batch"]:
        found = self.function(own)
        if found.shape != own.shape[:-1]:
            raise ValueError(
                f"the function of a callable factor must give one energy for each labelling, shape "
                f"{tuple(own.shape[:-1])} for labels of shape {tuple(own.shape)}; got "
                f"{tuple(found.shape)}"
            )
        return found.to(self.lowest.dtype)
