"""Which part of a factor graph is a forest, and in which direction it is to be eliminated.

Variables that stand in one factor only are removed, over and over; what remains are the cyclic
cores. The order gives max-product an exact bound and an exact back-trace on trees.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import FactorGraph
from groundstate_mrf.typed import pieces, whole


@dataclass(frozen=True, kw_only=True)
class Peeling:
    """The result, for each group of factors where it is a tuple.

    Attributes:
        shares: how much of its variable's belief each slot gives up in the reparametrisation of
            `groundstate_mrf.max_product`.
        roots: variables whose own belief remains in it.
        peeled: factors that are outside all cycles.
        child: slots of variables that hang on this factor.
        depth: in which round of the back-trace a variable gets its label; -1 in cyclic cores.
    """

    shares: tuple[Float[Tensor, "..."], ...]
    roots: Bool[Tensor, " variables"]
    peeled: tuple[Bool[Tensor, "..."], ...]
    child: tuple[Bool[Tensor, "..."], ...]
    depth: Int[Tensor, " variables"]


@dataclass(kw_only=True)
class _Forest:
    """The elimination in progress, over factors of more than one variable."""

    owner: list[int]
    variable: list[int]
    by_variable: list[list[int]]
    remaining: list[int]
    mixed: list[int]
    child_slots: list[int]
    parent: list[int]
    roots: list[int]


def peel(graph: FactorGraph, dtype: torch.dtype) -> Peeling:
    """Eliminate all that hangs on the cycles of the graph, or is free of them."""
    device = graph.counts.device
    offsets = [0]
    owners: list[Tensor] = []
    for group in graph.groups:
        owners.append(group.owners.cpu() + offsets[-1])
        offsets.append(offsets[-1] + group.count)
    owner = torch.cat(owners) if owners else torch.zeros(0, dtype=torch.int64)
    slots = [group.slots.cpu() for group in graph.groups]
    variable = torch.cat(slots) if slots else torch.zeros(0, dtype=torch.int64)
    order = torch.bincount(owner, minlength=offsets[-1])
    wide = (order > 1)[owner]
    variables = len(graph.counts)
    degree = torch.bincount(variable[wide], minlength=variables)
    child = torch.zeros(len(variable), dtype=torch.bool)
    peeled = order <= 1
    depth = torch.full((variables,), -1, dtype=torch.int64)
    roots = degree == 0
    depth[roots] = 0
    if bool((degree == 1).any()):
        # only here Python walks the graph: a grid without leaves is done already
        forest = _eliminate(owner[wide], variable[wide], degree, order)
        child[wide.nonzero().flatten()[forest.child_slots]] = True
        peeled = peeled | (torch.tensor(forest.remaining) <= 1)
        roots[forest.roots] = True
        if bool(peeled.all()):
            depth = torch.tensor(_depths(forest, roots))
    # a slot gives up all of the belief, none at a child, an equal part of the rest in a core
    core = wide & ~peeled[owner] & ~child
    cores = torch.bincount(variable[core], minlength=variables)
    shares = torch.where(core, 1 - 1 / cores[variable].clamp(min=1).to(dtype), 1.0)
    shares = torch.where(child, 0.0, shares).to(device)
    sizes = [len(each) for each in slots]
    return Peeling(
        shares=pieces(shares, sizes),
        roots=roots.to(device),
        peeled=pieces(peeled.to(device), [group.count for group in graph.groups]),
        child=pieces(child.to(device), sizes),
        depth=depth.to(device),
    )


def _eliminate(
    owner: Int[Tensor, " slots"],
    variable: Int[Tensor, " slots"],
    degree: Int[Tensor, " variables"],
    order: Int[Tensor, " factors"],
) -> _Forest:
    sorting = variable.argsort(stable=True)
    by_variable = [whole(part) for part in pieces(sorting, whole(degree))]
    mixed = torch.zeros(len(order), dtype=torch.int64).index_add(0, owner, variable)
    forest = _Forest(
        owner=whole(owner),
        variable=whole(variable),
        by_variable=by_variable,
        remaining=whole(order),
        mixed=whole(mixed),
        child_slots=[],
        parent=[-1] * len(order),
        roots=[],
    )
    left = whole(degree)
    waiting = whole((degree == 1).nonzero().flatten())
    gone = bytearray(len(owner))
    while waiting:
        each = waiting.pop()
        if left[each] != 1:
            continue
        slot = next(s for s in by_variable[each] if not gone[s])
        factor = forest.owner[slot]
        gone[slot] = 1
        left[each] = 0
        forest.child_slots.append(slot)
        forest.remaining[factor] -= 1
        forest.mixed[factor] -= each
        if forest.remaining[factor] == 1:
            # the sum of the variables that remain is the one that does
            parent = forest.mixed[factor]
            forest.parent[factor] = parent
            for last in by_variable[parent]:
                if forest.owner[last] == factor:
                    gone[last] = 1
            left[parent] -= 1
            if left[parent] == 1:
                waiting.append(parent)
            elif left[parent] == 0:
                forest.roots.append(parent)
    return forest


def _depths(forest: _Forest, roots: Bool[Tensor, " variables"]) -> Sequence[int]:
    """Parents before children, and the children of one factor one after another."""
    depth = [0] * len(roots)
    reached: dict[int, int] = {}
    for slot in reversed(forest.child_slots):
        factor = forest.owner[slot]
        here = reached.get(factor, depth[forest.parent[factor]]) + 1
        reached[factor] = here
        depth[forest.variable[slot]] = here
    return depth
