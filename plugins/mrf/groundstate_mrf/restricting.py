"""Groups of factors on what a restriction leaves of their variables.

Tables, pairs and counts stay what they are (pairs that lost a label become tables); other forms go
through `ConditionedGroup`. Factors that have no variable left are told as a constant.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.factors import FactorGroup
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.conditioned import ConditionedGroup
from groundstate_mrf.groups.distance import DistanceGroup
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.restriction import Restriction
from groundstate_mrf.typed import distinct_rows, whole

Restricted = tuple[list[FactorGroup], Float[Tensor, "..."]]


def restricted(group: FactorGroup, to: Restriction, batch: tuple[int, ...]) -> Restricted:
    """The group on what is left, and the sum of its factors that have no variable any more."""
    if isinstance(group, GridPottsGroup):
        group = group.edges
    if isinstance(group, TableGroup):
        return _tables(group, to)
    if isinstance(group, PottsGroup | DistanceGroup):
        return _pairs(group, to)
    if isinstance(group, CardinalityGroup):
        return _counts(group, to)
    return _any(group, to, batch)


def _any(group: FactorGroup, to: Restriction, batch: tuple[int, ...]) -> Restricted:
    energies = group.energies(to.fixed.expand(*batch, -1))
    left = torch.zeros(group.count, dtype=torch.bool, device=group.owners.device)
    left[group.owners[to.kept[group.slots]]] = True
    constant = torch.where(left, 0.0, energies).sum(-1)
    near = group.touching(to.kept)
    if not near.count:
        return [], constant
    # where nothing was lost in any factor the group could stay; the wrapper is exact all the same
    made = ConditionedGroup(group=near, restriction=to, variables=0, ahead=0, total=to.total)
    return [made], constant


def _pairs(group: PottsGroup | DistanceGroup, to: Restriction) -> Restricted:
    changed = to.touched[group.edges].any(-1)
    edges = group.edges[~changed]
    same = replace(
        group,
        edges=to.renumbered[edges],
        first=to.new_first[edges],
        weights=group.weights[..., ~changed],
        total=to.total,
    )
    groups: list[FactorGroup] = [same] if len(edges) else []
    weights = group.weights[..., changed, None, None]
    if isinstance(group, DistanceGroup):
        tables = weights * group.table
    else:
        differs = ~torch.eye(group.labels, dtype=torch.bool, device=weights.device)
        tables = torch.where(differs, weights, 0.0)
    rest = TableGroup(
        scope=group.edges[changed], first=group.first[changed], tables=tables, total=group.total
    )
    more, constant = _tables(rest, to)
    return [*groups, *more], constant


def _tables(group: TableGroup, to: Restriction) -> Restricted:
    flat = group.tables.flatten(-group.order)
    constant = flat.new_zeros(flat.shape[:-2])
    groups: list[FactorGroup] = []
    # factors of which as many labels are left at each place; 0 where the variable is gone
    widths = torch.where(to.kept, to.widths, 0)[group.scope]
    shapes, inverse = distinct_rows(widths)
    strides = torch.tensor(group.widths, device=flat.device).flip(0).cumprod(0).flip(0)
    strides = torch.cat([strides[1:], strides.new_ones(1)])
    for number, shape in enumerate(shapes):
        members = (inverse == number).nonzero().flatten()
        scope = group.scope[members]
        cells = torch.zeros((len(members), 1), dtype=torch.int64, device=flat.device)
        for place in range(group.order):
            width = max(int(shape[place]), 1)
            labels = to.choices[to.begin[scope[:, place], None] + _range(width, flat)]
            cells = (cells.unsqueeze(-1) + (labels * strides[place]).unsqueeze(1)).flatten(1)
        mine = flat[..., members, :]
        values = mine.gather(-1, cells.expand(*mine.shape[:-2], *cells.shape))
        stays = shape > 0
        if not bool(stays.any()):
            constant = constant + values.sum((-2, -1))
            continue
        left = whole(shape[stays])
        scope = scope[:, stays]
        table = TableGroup(
            scope=to.renumbered[scope],
            first=to.new_first[scope],
            tables=values.reshape(*values.shape[:-1], *left),
            total=to.total,
        )
        groups.append(table)
    return groups, constant


def _counts(group: CardinalityGroup, to: Restriction) -> Restricted:
    device = group.owners.device
    place = torch.arange(len(to.choices), device=device)
    owner = torch.arange(len(to.widths), device=device).repeat_interleave(to.widths)
    label = to.choices.new_full((int(to.counts.sum()),), -1)
    entry = (to.counts.cumsum(0) - to.counts)[owner] + to.choices
    label[entry] = place - to.begin[owner]
    counted = label[group.first + group.counted]
    possible = counted >= 0
    kept = possible & to.kept[group.slots]
    certain = (possible & ~to.kept[group.slots]).to(torch.int64)
    zeros = torch.zeros(group.count, dtype=torch.int64, device=device)
    ones = zeros.index_add(0, group.owners, certain)
    left = zeros.index_add(0, group.owners, kept.to(torch.int64))
    sizes = torch.bincount(group.owners, minlength=group.count)
    begin = (sizes + 1).cumsum(0) - sizes - 1 + ones
    constant = group.values[..., begin[left == 0]].sum(-1)
    stays = left > 0
    if not bool(stays.any()):
        return [], constant
    lengths = left[stays] + 1
    first = lengths.cumsum(0) - lengths
    step = torch.arange(int(lengths.sum()), device=device) - first.repeat_interleave(lengths)
    slots = group.slots[kept]
    made = CardinalityGroup(
        owners=(stays.cumsum(0) - 1)[group.owners[kept]],
        slots=to.renumbered[slots],
        first=to.new_first[slots],
        widths=to.widths[slots],
        counted=counted[kept],
        values=group.values[..., begin[stays].repeat_interleave(lengths) + step],
        total=to.total,
    )
    return [made], constant


def _range(width: int, like: Tensor) -> Tensor:
    return torch.arange(width, device=like.device)
