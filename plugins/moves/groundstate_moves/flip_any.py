"""Better labels for small sets of variables under factors of any form, through their moves."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate.factors import FactorGraph
from groundstate_mrf.entries import pick, spread
from groundstate_mrf.problem import Problem
from groundstate_mrf.typed import whole

_CHUNK = 1 << 20
"""Numbers in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Which variables share a factor, without a list of pairs: a wide factor would take n².

    Attributes:
        factors: the factors of each variable, numbered over all groups.
        scopes: the variables of each factor.
    """

    factors: tuple[tuple[int, ...], ...]
    scopes: tuple[tuple[int, ...], ...]

    def beside(self, members: Sequence[int], after: int) -> list[int]:
        """Variables after that one that share a factor with a member."""
        near = {v for m in members for f in self.factors[m] for v in self.scopes[f] if v > after}
        return sorted(near.difference(members))


def neighbours(graph: FactorGraph) -> Neighbours:
    """The factors of more than one variable."""
    scopes: list[tuple[int, ...]] = []
    for group in graph.groups:
        members: list[list[int]] = [[] for _ in range(group.count)]
        for owner, slot in zip(whole(group.owners), whole(group.slots), strict=True):
            members[owner].append(slot)
        scopes += [tuple(each) for each in members if len(each) > 1]
    factors: list[list[int]] = [[] for _ in range(len(graph.counts))]
    for number, scope in enumerate(scopes):
        for variable in scope:
            factors[variable].append(number)
    return Neighbours(factors=tuple(map(tuple, factors)), scopes=tuple(scopes))


def _sets(near: Neighbours, root: int, size: int) -> Iterator[tuple[int, ...]]:
    """Connected sets of up to that many variables whose first is the root."""
    known: set[tuple[int, ...]] = set()
    level = [(root,)] if size else []
    while level:
        yield from level
        if len(level[0]) == size:
            return
        known = {tuple(sorted((*each, v))) for each in level for v in near.beside(each, root)}
        level = sorted(known)


def flip_any(
    problem: Problem,
    near: Neighbours,
    labels: Int[Tensor, "*lead variables"],
    root: int,
    depth: int,
) -> tuple[Int[Tensor, "*lead variables"], Bool[Tensor, "..."]]:
    """Better labels for a set of at most `depth` variables, `root` the first of them.

    All problems of a batch look at the same sets; each takes what is best for it.

    Returns:
        The labels, and in which problems they are better.
    """
    counts = whole(problem.graph.counts)
    helped = torch.zeros(problem.evaluate(labels).shape, dtype=torch.bool, device=labels.device)
    labels, helped = _offer(problem, labels, helped, root, [((), ())])
    size = max(_CHUNK // max(problem.graph.entries * max(labels[..., 0].numel(), 1), 1), 1)
    offered: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for members in _sets(near, root, depth - 1):
        for shifts in product(*(range(1, counts[each]) for each in members)):
            offered.append((members, shifts))
            if len(offered) == size:
                labels, helped = _offer(problem, labels, helped, root, offered)
                offered = []
    return _offer(problem, labels, helped, root, offered) if offered else (labels, helped)


def _offer(
    problem: Problem,
    labels: Int[Tensor, "*lead variables"],
    helped: Bool[Tensor, "..."],
    root: int,
    offered: Sequence[tuple[tuple[int, ...], tuple[int, ...]]],
) -> tuple[Int[Tensor, "*lead variables"], Bool[Tensor, "..."]]:
    """The best of: labels shifted as offered, and one more variable changed."""
    graph = problem.graph
    tried = labels.expand(len(offered), *labels.shape).clone()
    allowed = torch.zeros(len(offered), len(graph.counts), dtype=torch.bool)
    for number, (members, shifts) in enumerate(offered):
        allowed[number, root + 1 :] = True
        allowed[number, root] = not members
        for member, shift in zip(members, shifts, strict=True):
            allowed[number, member] = False
            tried[number, ..., member] = (labels[..., member] + shift) % graph.counts[member]
        if not members:
            allowed[number, root + 1 :] = False
    before, after = graph.energy(labels), graph.energy(tried)
    if graph.segments is not None:
        home = int(graph.segments[root])
        before, after = before[..., home], after[..., home]
        allowed &= (graph.segments == home).cpu()
    # no members, no change, also where the energy is infinite
    same = torch.tensor([not members for members, _ in offered], device=labels.device)
    started = torch.where(same.reshape(-1, *[1] * before.dim()), 0.0, after - before)
    change = _changes(graph, tried, started, allowed.to(labels.device))
    best, place = change.movedim(0, -2).flatten(-2).min(-1)
    slack = 64 * torch.finfo(best.dtype).eps * torch.where(before.isfinite(), before.abs(), 0.0)
    better = best < -slack
    number, entry = place // graph.entries, place % graph.entries
    chosen = tried.movedim(0, -2).gather(
        -2, number[..., None, None].expand(*number.shape, 1, labels.shape[-1])
    )[..., 0, :]
    variable, label = graph.variable_of_entry[entry], graph.label_of_entry[entry]
    chosen = chosen.scatter(-1, variable[..., None], label[..., None])
    labels = torch.where(better[..., None], chosen, labels)
    if graph.segments is None:
        return labels, helped | better
    mine = torch.arange(helped.shape[-1], device=helped.device) == int(graph.segments[root])
    return labels, helped | (better[..., None] & mine)


def _changes(
    graph: FactorGraph,
    tried: Int[Tensor, "offers *lead variables"],
    change: Float[Tensor, "offers *lead"],
    allowed: Bool[Tensor, "offers variables"],
) -> Float[Tensor, "offers *lead entries"]:
    """Energy change of every allowed further change, +inf for the others."""
    moves = graph.moves(tried).expand(*tried.shape[:-1], -1)
    total = change.unsqueeze(-1) + moves - spread(graph, pick(graph, moves, tried))
    lead = tried.dim() - 2
    mask = spread(graph, allowed).reshape(len(tried), *[1] * lead, -1)
    return torch.where(mask & ~total.isnan(), total, float("inf"))
