"""Colour classes: sets of variables of which no two share a factor, so all can move at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from groundstate.factors import FactorGraph, FactorGroup
from groundstate_mrf.typed import whole

_OVERHEAD = 4


@dataclass(frozen=True, kw_only=True)
class ColourClass:
    """Variables that share no factor.

    Attributes:
        variables: which they are.
        graph: all variables, with the factors that touch these at least.
    """

    variables: Bool[Tensor, " variables"]
    graph: FactorGraph


def colour_classes(graph: FactorGraph) -> tuple[ColourClass, ...]:
    """A partition of the variables into classes, in the order of the first variable of each."""
    colours = colour(graph.groups, len(graph.counts)).to(graph.counts.device)
    number = int(colours.max()) + 1 if len(colours) else 0
    masks = [colours == each for each in range(number)]
    # a factor of order k is in k classes: for wide factors, parts would cost more than the whole
    if _is_narrow(graph.groups):
        return tuple(ColourClass(variables=mask, graph=_part(graph, mask)) for mask in masks)
    return tuple(ColourClass(variables=mask, graph=graph) for mask in masks)


def _part(graph: FactorGraph, variables: Bool[Tensor, " variables"]) -> FactorGraph:
    groups: list[FactorGroup] = []
    for group in graph.groups:
        near = group.touching(variables)
        # half of a regular group, a grid say, is not faster than all of it
        groups += [group] if 2 * near.count >= group.count else [near] if near.count else []
    return replace(graph, groups=tuple(groups))


def _is_narrow(groups: Sequence[FactorGroup]) -> bool:
    slots = sum(len(group.slots) for group in groups)
    factors = sum(group.count for group in groups)
    return slots <= _OVERHEAD * max(factors, 1)


def colour(groups: Sequence[FactorGroup], variables: int) -> Int[Tensor, " variables"]:
    """First-fit colours in the order of the variables: 4 on a grid with 8 neighbours.

    The factors carry the colours used in them as bits, so that wide factors cost no pairs.
    """
    owners: list[Tensor] = []
    slots: list[Tensor] = []
    factors = 0
    for group in groups:
        if group.count < len(group.slots):
            owners.append(group.owners.cpu() + factors)
            slots.append(group.slots.cpu())
            factors += group.count
    if not owners:
        return torch.zeros(variables, dtype=torch.int64)
    variable = torch.cat(slots)
    owner = whole(torch.cat(owners)[variable.argsort(stable=True)])
    ends = whole(torch.bincount(variable, minlength=variables).cumsum(0))
    used = [0] * factors
    colours = [0] * variables
    begin = 0
    for each, end in enumerate(ends):
        mine = owner[begin:end]
        taken = 0
        for factor in mine:
            taken |= used[factor]
        bit = ~taken & (taken + 1)
        colours[each] = bit.bit_length() - 1
        for factor in mine:
            used[factor] |= bit
        begin = end
    return torch.tensor(colours)
