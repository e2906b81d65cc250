"""The parts of dual decomposition: forests of pairwise factors, and factors of higher order."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.factors import FactorGraph, MessageGroup
from groundstate_messages import forests as kernels
from groundstate_messages.forests import Forest, forests
from groundstate_messages.rows import join_entries, split_entries
from groundstate_mrf.entries import lowest
from groundstate_mrf.flat import flat_problems
from groundstate_mrf.problem import Problem
from groundstate_mrf.wiring import Wire, wire

INFINITY = float("inf")
_lowest = cast(Callable[..., tuple[float, float]], kernels.lowest_of_forest)


@dataclass(frozen=True, kw_only=True)
class Copies:
    """One number for each entry of each part that has a copy of it.

    Attributes:
        forests: for each problem `[forests, entries of the problem]`.
        groups: for each wide group `[*batch, entries of the group]`.
    """

    forests: tuple[Float[Tensor, "..."], ...]
    groups: tuple[Float[Tensor, "..."], ...]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the energy is split into.

    Attributes:
        wide: numbers of the groups whose factors are parts of their own.
        forests: of each problem.
        wires: of the wide groups.
        copies: how many parts have a copy of each entry.
        costs: of each entry, what no part has of its own: factors of one variable.
    """

    wide: tuple[int, ...]
    forests: tuple[tuple[Forest, ...], ...]
    wires: tuple[Wire, ...]
    copies: Float[Tensor, "..."]
    costs: Float[Tensor, "..."]


@dataclass(frozen=True, kw_only=True)
class Minimisers:
    """The lowest labelling of every part.

    Attributes:
        value: sum of their energies, less what rounding may have added; no constant.
        chosen: 1 where a part takes the label.
        labels: of each problem `[forests, variables of the problem]`.
    """

    value: Float[Tensor, "..."]
    chosen: Copies
    labels: tuple[Int[Tensor, "..."], ...]


def split(problem: Problem) -> Parts:
    """Forests of all factors of two variables, and every factor of more on its own."""
    graph, batch = problem.graph, problem.layout.batch_shape
    groups = graph.serving("messages", MessageGroup)
    sizes = [torch.bincount(each.owners, minlength=1) for each in groups]
    wide = tuple(k for k, size in enumerate(sizes) if int(size.max()) > 2)
    narrow = tuple(group for k, group in enumerate(groups) if k not in wide)
    flats = flat_problems(replace(graph, groups=narrow), batch)
    wires = tuple(
        wire(graph, groups[k], torch.ones(groups[k].count, dtype=torch.bool), 0.0) for k in wide
    )
    found = tuple(forests(flat) for flat in flats)
    parts = Parts(
        wide=wide,
        forests=found,
        wires=wires,
        copies=torch.zeros(()),
        costs=join_entries(problem, [torch.from_numpy(flat.costs) for flat in flats]),
    )
    ones = Copies(
        forests=tuple(
            _touched(each, len(flat.costs)) for each, flat in zip(found, flats, strict=True)
        ),
        groups=tuple(torch.ones(len(each.entries), dtype=torch.float64) for each in wires),
    )
    return replace(parts, copies=total(problem, parts, ones))


def _touched(each: tuple[Forest, ...], entries: int) -> Float[Tensor, "forests entries"]:
    rows = [torch.from_numpy(forest.touched) for forest in each]
    return torch.stack(rows).double() if rows else torch.zeros(0, entries, dtype=torch.float64)


def total(problem: Problem, parts: Parts, copies: Copies) -> Float[Tensor, "*batch entries"]:
    """Sum over the copies of each entry."""
    added = join_entries(problem, [each.sum(0) for each in copies.forests])
    for each, values in zip(parts.wires, copies.groups, strict=True):
        added = added.index_add(-1, each.entries, values.expand(*added.shape[:-1], -1))
    return added


def spread_out(problem: Problem, parts: Parts, values: Float[Tensor, "*batch entries"]) -> Copies:
    """Every copy of an entry gets the entry's value; in forests that do not touch it, 0."""
    rows = split_entries(problem, values)
    touched = [_touched(each, len(row)) for each, row in zip(parts.forests, rows, strict=True)]
    return Copies(
        forests=tuple(
            torch.where(mask > 0, row, 0.0) for mask, row in zip(touched, rows, strict=True)
        ),
        groups=tuple(values.index_select(-1, each.entries) for each in parts.wires),
    )


def minimise(problem: Problem, parts: Parts, costs: Copies) -> Minimisers:
    """The lowest labelling of every part, with these costs of its entries."""
    graph = problem.graph
    # what no part has a copy of is free
    free = torch.where(parts.copies == 0, parts.costs, 0.0)
    value = problem.total(lowest(graph, free))
    noise = torch.zeros_like(value)
    taken, labels = _forest_minimisers(parts, costs, value, noise)
    chosen: list[Tensor] = []
    groups = graph.serving("messages", MessageGroup)
    for number, each, cost in zip(parts.wide, parts.wires, costs.groups, strict=True):
        group = groups[number]
        margins = group.messages(cost, 0.0) + cost
        least = each.lowest(margins)
        own = _first_lowest(graph, each, margins, least)
        chosen.append(own)
        first = torch.searchsorted(group.owners, torch.arange(group.count, device=cost.device))
        value = value + graph.total(group, least[..., first])
        finite = torch.where(cost.isfinite(), cost.abs(), 0.0) * own
        size = torch.zeros_like(free[..., : len(graph.counts)]).index_add(
            -1, each.variables, finite
        )
        noise = noise + 64 * torch.finfo(torch.float64).eps * problem.total(size)
    value = torch.where(value == INFINITY, value, value - noise)
    return Minimisers(
        value=value, chosen=Copies(forests=taken, groups=tuple(chosen)), labels=labels
    )


def _forest_minimisers(
    parts: Parts, costs: Copies, value: Float[Tensor, "..."], noise: Float[Tensor, "..."]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Where forests put their labels, and these; energies and rounding are added in place."""
    taken: list[Tensor] = []
    found: list[Tensor] = []
    for k, (own, rows) in enumerate(zip(parts.forests, costs.forests, strict=True)):
        variables = len(own[0].problem.arrays.order) if own else 0
        labels = torch.zeros(len(own), variables, dtype=torch.int64)
        chosen = torch.zeros_like(rows)
        for t, forest in enumerate(own):
            arrays = forest.problem.arrays
            least, off = _lowest(arrays, rows[t].numpy(), labels[t].numpy())
            value.view(-1)[k] += least
            noise.view(-1)[k] += off
            chosen[t, torch.from_numpy(arrays.offsets) + labels[t]] = 1.0
            chosen[t] *= torch.from_numpy(np.asarray(forest.touched, dtype=np.float64))
        taken.append(chosen)
        found.append(labels)
    return tuple(taken), tuple(found)


def _first_lowest(
    graph: FactorGraph,
    each: Wire,
    margins: Float[Tensor, "*batch places"],
    least: Float[Tensor, "*batch slots"],
) -> Float[Tensor, "*batch places"]:
    """1 at the first label of each slot that has its lowest min-marginal."""
    places = torch.arange(len(each.slot), device=margins.device)
    place = torch.where(margins == least[..., each.slot], places, len(places))
    first = each.lowest(place.to(margins.dtype))
    return (places == first[..., each.slot]).to(margins.dtype)
