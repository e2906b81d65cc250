"""A few factors of each group with all their joint labellings, to hold groups against."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.factors import FactorGraph, FactorGroup
from groundstate.move import to
from groundstate.testing.laws.energy import points
from groundstate.testing.oracles import labellings
from groundstate.testing.saying import Skip
from groundstate.testing.typed import ints

FACTORS = 6
_CELLS = 4096
_VARIABLES = 8


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One factor of a group, with all its joint labellings.

    Attributes:
        index: number within the group.
        slots: number of each of its slots within the group.
        variables: variable of each slot.
        labels: the joint labellings of its variables.
        energies: its energy for each of them, in nats.
    """

    index: int
    slots: list[int]
    variables: list[int]
    labels: Int[Tensor, "cells order"]
    energies: Float[Tensor, "*batch cells"]


def graph_of(energy: Energy) -> FactorGraph:
    """The factor graph in float64."""
    return view(to(energy, dtype=torch.float64), FactorGraph)


def labels_of(energy: Energy, count: int, seed: int = 0) -> Int[Tensor, "..."]:
    """Random labellings, their variables flat."""
    x = points(energy, count, seed=seed)
    return x.flatten(x.dim() - len(energy.space.layout.event_shape))


def lead_of(energy: Energy) -> tuple[int, ...]:
    """The batch dimensions that stand before those of a group."""
    layout = energy.space.layout
    return () if layout.segments is not None else layout.batch_shape


def factors_of(energy: Energy, graph: FactorGraph, group: FactorGroup) -> Iterator[Factor]:
    """A few factors of a group, spread over it, whose labellings can be enumerated."""
    owners, slots = ints(group.owners), ints(group.slots)
    found = 0
    step = max(1, group.count // FACTORS)
    for index in range(0, group.count, step):
        own = [slot for slot, owner in enumerate(owners) if owner == index]
        variables = [slots[slot] for slot in own]
        sizes = [int(graph.counts[variable]) for variable in variables]
        if math.prod(sizes) > _CELLS:
            continue
        found += 1
        joint = labellings(torch.tensor(sizes))
        yield Factor(
            index=index,
            slots=own,
            variables=variables,
            labels=joint,
            energies=_energies_of(energy, graph, group, index, variables, joint),
        )
    if group.count and not found:
        raise Skip(f"every factor of {type(group).__name__} has over {_CELLS} joint labellings")


def _energies_of(
    energy: Energy,
    graph: FactorGraph,
    group: FactorGroup,
    index: int,
    variables: list[int],
    joint: Int[Tensor, "cells order"],
) -> Float[Tensor, "*batch cells"]:
    lead = lead_of(energy)
    labels = torch.zeros(len(joint), len(graph.counts), dtype=torch.int64)
    labels[:, variables] = joint
    spread = labels.reshape(len(joint), *(1,) * len(lead), -1).expand(len(joint), *lead, -1)
    return group.energies(spread.to(graph.counts.device))[..., index].movedim(0, -1).cpu()


def some(count: int) -> list[int]:
    """A few numbers spread over 0 ... count - 1, the ends among them."""
    if count <= _VARIABLES:
        return list(range(count))
    return [round(i * (count - 1) / (_VARIABLES - 1)) for i in range(_VARIABLES)]
