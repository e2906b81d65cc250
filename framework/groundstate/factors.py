"""Factor graphs: the discrete view, and the protocol of factor groups that it is made of.

Factors come in *groups* of one form with flat arrays, so that no Python call is made per factor or
per move, and no factor of order k needs a table of 2^k entries. What belongs to each label of each
variable (an *entry*) is kept in one flat array, variable after variable, so label counts may differ
without padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.errors import ViewError

Service = Literal["moves", "messages", "expectations"]


@runtime_checkable
class FactorGroup(Protocol):
    """Factors of one form. Every group gives energies and moves; `serves` says what else.

    Methods take and return arrays over *all* variables of the graph.
    """

    @property
    def serves(self) -> frozenset[Service]:
        """Which of the services this group offers; "moves" always."""
        ...

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        """Factor (0, 1, ...) of each slot; a slot is one variable's place in one factor. Sorted."""
        ...

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        """Variable of each slot."""
        ...

    @property
    def count(self) -> int:
        """How many factors there are."""
        ...

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        """Energy of each factor, in nats."""
        ...

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        """Energy of the factors that touch a variable if it alone took a label, for each entry.

        Differences within a variable are the energy changes of all single-variable moves.
        """
        ...

    def minima(self) -> Float[Tensor, "*batch factors"]:
        """A lower bound on each factor's energy, tight where the form allows."""
        ...

    def touching(self, variables: Bool[Tensor, " variables"]) -> "FactorGroup":
        """The factors that touch any of these variables; another form of group may hold them."""
        ...

    def shifted(self, *, variables: int, entries: int, total: int) -> "FactorGroup":
        """The same factors after that many other variables and entries, among `total` entries."""
        ...


@runtime_checkable
class MessageGroup(FactorGroup, Protocol):
    """A group that serves "messages". A group entry is one label of one slot, slot after slot."""

    @property
    def entries(self) -> Int[Tensor, " group_entries"]:
        """The graph's entry that each group entry stands for."""
        ...

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        """Messages from the factors, given those from the variables.

        For each slot and label: the minimum over the other slots of the factor's energy plus
        their incoming messages; at temperature T > 0 the soft minimum -T log Σ exp(-·/T).
        """
        ...


@runtime_checkable
class ExpectationGroup(FactorGroup, Protocol):
    """A group that serves "expectations" under independent beliefs (mean field)."""

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        """`moves`, with the other variables drawn from their beliefs."""
        ...

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        """Mean energy of each factor."""
        ...


# no bound: run-time type checkers cannot ask whether a class is a protocol with properties
G = TypeVar("G")


@dataclass(frozen=True, kw_only=True)
class FactorGraph:
    """E(y) = c + Σ_f f(y_f) over flat variables.

    Attributes:
        counts: number of labels of each variable.
        groups: the factors.
        constant: c, in nats; one per problem.
        segments: the problem of each variable, where problems of different sizes lie end to end
            (see `groundstate.union`); no factor reaches across. None where there is one event.
    """

    counts: Int[Tensor, " variables"]
    groups: tuple[FactorGroup, ...]
    constant: Float[Tensor, "*batch"]
    segments: Int[Tensor, " variables"] | None = None

    @cached_property
    def offsets(self) -> Int[Tensor, " variables"]:
        """First entry of each variable."""
        return torch.cumsum(self.counts, 0) - self.counts

    @cached_property
    def entries(self) -> int:
        """How many entries there are: the sum of the label counts."""
        return int(self.counts.sum())

    @cached_property
    def width(self) -> int | None:
        """The number of labels, where all variables have the same; None where they differ."""
        if not len(self.counts):
            return 1
        low, high = int(self.counts.min()), int(self.counts.max())
        return low if low == high else None

    @cached_property
    def variable_of_entry(self) -> Int[Tensor, " entries"]:
        variables = torch.arange(len(self.counts), device=self.counts.device)
        return variables.repeat_interleave(self.counts)

    @cached_property
    def label_of_entry(self) -> Int[Tensor, " entries"]:
        position = torch.arange(self.entries, device=self.counts.device)
        return position - self.offsets[self.variable_of_entry]

    def total(
        self, group: FactorGroup, values: Float[Tensor, "*batch factors"]
    ) -> Float[Tensor, "..."]:
        """Sum of one number per factor of `group` over each problem."""
        if self.segments is None:
            return values.sum(-1)
        each = torch.arange(group.count, device=group.owners.device)
        problem = self.segments[group.slots[torch.searchsorted(group.owners, each)]]
        zeros = values.new_zeros((*values.shape[:-1], self.constant.shape[-1]))
        return zeros.index_add(-1, problem, values)

    def energy(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "..."]:
        """Energy of each labelling, in nats."""
        problems = () if self.segments is None else self.constant.shape[-1:]
        total = self.constant.expand((*labels.shape[:-1], *problems))
        for group in self.groups:
            total = total + self.total(group, group.energies(labels))
        return total

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        """Sum of the groups' moves: the conditional energy of each label of each variable."""
        total = self.constant.new_zeros(self.entries)
        for group in self.groups:
            total = total + group.moves(labels)
        return total

    def bound(self) -> Float[Tensor, "*batch"]:
        """The independent-minimum bound: no labelling has a lower energy than Σ_f min f."""
        total = self.constant
        for group in self.groups:
            total = total + self.total(group, group.minima())
        return total

    def touching(self, variables: Bool[Tensor, " variables"]) -> "FactorGraph":
        """The same variables with only the factors that touch some of these."""
        groups = tuple(group.touching(variables) for group in self.groups)
        return replace(self, groups=groups)

    def one_hot(
        self, labels: Int[Tensor, "*batch variables"], dtype: torch.dtype
    ) -> Float[Tensor, "*batch entries"]:
        """1 at the entry of each variable's label, 0 elsewhere."""
        chosen = labels[..., self.variable_of_entry] == self.label_of_entry
        return chosen.to(dtype)

    def best_labels(
        self, scores: Float[Tensor, "*batch entries"]
    ) -> Int[Tensor, "*batch variables"]:
        """Label of the lowest score of each variable; the first one on ties."""
        if self.width is not None:
            return scores.reshape(*scores.shape[:-1], -1, self.width).argmin(-1)
        index = self.variable_of_entry.expand(scores.shape)
        shape = (*scores.shape[:-1], len(self.counts))
        lowest = scores.new_full(shape, float("inf")).scatter_reduce(-1, index, scores, "amin")
        is_lowest = scores == lowest[..., self.variable_of_entry]
        labels = torch.where(is_lowest, self.label_of_entry, self.entries)
        first = torch.full(shape, self.entries, device=scores.device)
        return first.scatter_reduce(-1, index, labels, "amin").minimum(self.counts - 1)

    def serving(self, service: Service, kind: type[G]) -> tuple[G, ...]:
        """The groups, as groups that offer `service`.

        Raises:
            ViewError: naming the groups that do not.
        """
        lacking = sorted({type(g).__name__ for g in self.groups if service not in g.serves})
        if lacking:
            raise ViewError(
                f"every factor group must serve {service!r}, but {', '.join(lacking)} do not; "
                f"choose a solver that needs only 'moves' (solver/icm, solver/brute-force)"
            )
        wrong = sorted({type(g).__name__ for g in self.groups if not isinstance(g, kind)})
        if wrong:
            raise ViewError(f"{', '.join(wrong)} claim {service!r} but lack its methods")
        return cast(tuple[G, ...], self.groups)


def join(graphs: Sequence[FactorGraph]) -> FactorGraph:
    """Several graphs end to end as one, with a problem per graph."""
    counts = torch.cat([graph.counts for graph in graphs])
    total = int(counts.sum())
    groups: list[FactorGroup] = []
    variables = entries = 0
    for graph in graphs:
        groups += [
            group.shifted(variables=variables, entries=entries, total=total)
            for group in graph.groups
        ]
        variables += len(graph.counts)
        entries += graph.entries
    sizes = torch.tensor([len(graph.counts) for graph in graphs], device=counts.device)
    problems = torch.arange(len(graphs), device=counts.device)
    return FactorGraph(
        counts=counts,
        groups=tuple(groups),
        constant=torch.stack([graph.constant for graph in graphs]),
        segments=problems.repeat_interleave(sizes),
    )
