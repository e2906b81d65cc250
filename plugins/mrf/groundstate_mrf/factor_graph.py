"""`energy/factor-graph`: discrete energies of factors of any order and form."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Views
from groundstate.factors import FactorGraph, FactorGroup
from groundstate.space import Discrete
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.slots import first_entries
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.typed import common_shape, distinct, whole


@dataclass(frozen=True, kw_only=True)
class FactorGraphEnergy:
    """E(y) = c + Σ_f f(y_f) over flat variables 0, 1, ...; +inf forbids.

    `factor_graph`, `potts_edges`, `cardinality` and the functions of `groundstate_mrf.structured`
    make it from scopes and tables.

    Attributes:
        counts: number of labels of each variable.
        groups: the factors.
        constant: c, in nats; its shape is the batch shape of the problems.
    """

    counts: Int[Tensor, " variables"]
    groups: tuple[FactorGroup, ...]
    constant: Float[Tensor, "*batch"]

    def __post_init__(self) -> None:
        variables = len(self.counts)
        for group in self.groups:
            slots = group.slots
            if slots.numel() and not 0 <= int(slots.min()) <= int(slots.max()) < variables:
                raise ValueError(
                    f"factors must stand on variables 0 ... {variables - 1}; a "
                    f"{type(group).__name__} names {int(slots.min())} ... {int(slots.max())}"
                )

    @property
    def space(self) -> Discrete:
        return self._space

    @cached_property
    def _space(self) -> Discrete:
        return Discrete(counts=self.counts, batch_shape=tuple(self.constant.shape))

    @property
    def views(self) -> Views:
        return {FactorGraph: lambda: self.graph}

    @cached_property
    def graph(self) -> FactorGraph:
        """The factors, as solvers see them."""
        return FactorGraph(counts=self.counts, groups=self.groups, constant=self.constant)

    def __call__(self, x: Int[Tensor, "*shape variables"], /) -> Float[Tensor, "*shape"]:
        self.space.validate(x)
        return self.graph.energy(x)


def factor_graph(
    counts: Sequence[int] | Int[Tensor, " variables"],
    factors: Iterable[tuple[Sequence[int], Float[Tensor, "..."]]],
    *groups: FactorGroup,
    constant: Float[Tensor, "*batch"] | float = 0.0,
    dtype: torch.dtype = torch.float32,
) -> FactorGraphEnergy:
    """An energy from a list of scopes and tables.

    Args:
        counts: number of labels of each variable.
        factors: the variables of each factor, and its table `[*batch, labels of the first, ...]`;
            a table without variables is a constant.
        groups: further factors, of other forms.
        constant: c, in nats.
        dtype: of the constant, where no factor tells.

    Raises:
        ValueError: if a table does not fit its variables' label counts, or a variable is repeated.
    """
    listed = [(tuple(scope), table) for scope, table in factors]
    dtype = next((table.dtype for _, table in listed), dtype)
    labels = torch.as_tensor(counts, dtype=torch.int64)
    sizes = whole(labels)
    total = torch.as_tensor(constant, dtype=dtype, device=labels.device)
    forms: dict[tuple[int, ...], list[tuple[tuple[int, ...], Tensor]]] = {}
    for scope, table in listed:
        shape = _check_scope(scope, table, sizes)
        if scope:
            forms.setdefault(shape, []).append((scope, table))
        else:
            total = total + table
    tables = [_table_group(labels, members) for members in forms.values()]
    lead = [group.tables.shape[: -group.order - 1] for group in tables]
    batch = common_shape(total.shape, *lead)
    return FactorGraphEnergy(counts=labels, groups=(*tables, *groups), constant=total.expand(batch))


def potts_edges(
    counts: Int[Tensor, " variables"],
    edges: Int[Tensor, "edges 2"],
    weights: Float[Tensor, "*batch edges"],
) -> PottsGroup:
    """Potts factors on edges whose variables all have equally many labels."""
    labels = distinct(counts[edges])
    if len(labels) > 1:
        raise ValueError(
            f"the variables of Potts edges must have equally many labels, got {labels}; "
            "make one group for each count, or use tables"
        )
    return PottsGroup(
        edges=edges,
        first=first_entries(counts)[edges],
        weights=weights,
        labels=labels[0] if labels else 1,
        total=int(counts.sum()),
    )


def cardinality(
    counts: Int[Tensor, " variables"],
    cliques: Sequence[Sequence[int]],
    values: Sequence[Float[Tensor, "..."]],
    counted: int | Sequence[Sequence[int]] = 1,
) -> CardinalityGroup:
    """Factors of how many variables of a clique have the label that counts.

    `groundstate_mrf.structured` has the forms that have names: band, parity, threshold, detection.

    Args:
        counts: number of labels of each variable of the graph.
        cliques: the variables of each factor.
        values: for each, the energies of a count of 0, 1, ..., n, in nats.
        counted: the label that counts: one for all, or one for each variable of each clique.
    """
    for clique, table in zip(cliques, values, strict=True):
        if table.shape[-1] != len(clique) + 1 or len(set(clique)) != len(clique):
            raise ValueError(
                f"a clique of n different variables needs n + 1 values, got {table.shape[-1]} for "
                f"{list(clique)!r}"
            )
    sizes = torch.tensor([len(clique) for clique in cliques], device=counts.device)
    flat = [variable for clique in cliques for variable in clique]
    slots = torch.tensor(flat, dtype=torch.int64, device=counts.device)
    if isinstance(counted, int):
        labels = torch.full_like(slots, counted)
    else:
        if [len(each) for each in counted] != [len(each) for each in cliques]:
            raise ValueError("`counted` must have a label for each variable of each clique")
        labels = torch.tensor([label for each in counted for label in each], dtype=torch.int64)
    return CardinalityGroup(
        owners=torch.arange(len(cliques), device=counts.device).repeat_interleave(sizes),
        slots=slots,
        first=first_entries(counts)[slots],
        widths=counts[slots],
        counted=labels.to(counts.device),
        values=torch.cat(list(values), -1),
        total=int(counts.sum()),
    )


def _table_group(
    counts: Int[Tensor, " variables"], members: Sequence[tuple[tuple[int, ...], Tensor]]
) -> TableGroup:
    scope = torch.tensor([each for each, _ in members], device=counts.device)
    order = scope.shape[1]
    batch = common_shape(*(table.shape[: table.dim() - order] for _, table in members))
    widths = members[0][1].shape[members[0][1].dim() - order :]
    tables = [table.expand(*batch, *widths) for _, table in members]
    return TableGroup(
        scope=scope,
        first=first_entries(counts)[scope],
        tables=torch.stack(tables, len(batch)),
        total=int(counts.sum()),
    )


def _check_scope(
    scope: tuple[int, ...], table: Float[Tensor, "..."], counts: list[int]
) -> tuple[int, ...]:
    """The labels of each variable of the scope, which the table must have."""
    if len(set(scope)) != len(scope):
        raise ValueError(f"a factor's variables must all be different, got {scope}")
    if any(not 0 <= variable < len(counts) for variable in scope):
        raise ValueError(f"factors must stand on variables 0 ... {len(counts) - 1}, got {scope}")
    expected = tuple(counts[variable] for variable in scope)
    found = tuple(table.shape[table.dim() - len(scope) :])
    if found != expected:
        raise ValueError(
            f"the table of a factor on {scope} must end in shape {expected}, the label counts of "
            f"its variables; got {tuple(table.shape)}"
        )
    return expected
