"""Factors of many variables that can be read variable by variable, remembering little.

A machine begins in state 0, each variable's label leads it from one state to the next, and the
state at the end gives the energy: counts of a label (the state is the count), sums of whole-number
weights (the sum so far), sparse patterns (which beginning of a pattern the labels agree with).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Int
from torch import Tensor

from groundstate.factors import FactorGroup
from groundstate_exact.lists import listed
from groundstate_mrf.groups.cardinality import CardinalityGroup
from groundstate_mrf.groups.linear import LinearGroup
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.typed import pieces


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How one factor is read.

    Attributes:
        scope: its variables.
        widths: their label counts.
        steps: for each of them in turn, `[states, labels]`: the next state; the states after a step
            are 0, 1, ... without a gap at the end. Made one by one, as far as they are asked for.
        final: energies `[*batch, states]` of the states after the last step, in nats, given these.
    """

    scope: list[int]
    widths: tuple[int, ...]
    steps: Callable[[], Iterator[Int[Tensor, "states labels"]]]
    final: Callable[[], Tensor]


def readings_of(group: FactorGroup) -> list[Reading] | None:
    """A reading for each factor of the group; None where its form has none."""
    if isinstance(group, CardinalityGroup):
        return list(_counts(group))
    if isinstance(group, LinearGroup):
        return [_sums(group, factor) for factor in range(group.count)]
    if isinstance(group, PatternGroup):
        return [_prefixes(group, factor) for factor in range(group.count)]
    return None


def _counts(group: CardinalityGroup) -> Iterator[Reading]:
    start = value = 0
    for size in listed(torch.bincount(group.owners, minlength=group.count)):
        own, widths = slice(start, start + size), listed(group.widths[start : start + size])
        counted = listed(group.counted[own])

        def steps(
            widths: list[int] = widths, counted: list[int] = counted
        ) -> Iterator[Int[Tensor, "states labels"]]:
            for k, (width, label) in enumerate(zip(widths, counted, strict=True), 1):
                yield torch.arange(k).unsqueeze(-1) + (torch.arange(width) == label).long()

        def final(value: int = value, size: int = size) -> Tensor:
            return group.values[..., value : value + size + 1]

        yield Reading(
            scope=listed(group.slots[own]), widths=tuple(widths), steps=steps, final=final
        )
        start += size
        value += size + 1


def _sums(group: LinearGroup, factor: int) -> Reading:
    weights = pieces(group.weights[factor].cpu(), group.scopes.widths)

    def steps() -> Iterator[Int[Tensor, "states labels"]]:
        sums = torch.zeros(1, dtype=torch.int64)
        for weight in weights:
            sums, step = _distinct(sums.unsqueeze(-1) + weight)
            yield step

    def final() -> Tensor:
        sums = torch.zeros(1, dtype=torch.int64)
        for weight in weights:
            sums, _ = _distinct(sums.unsqueeze(-1) + weight)
        return group.values[..., factor, sums.to(group.values.device)]

    return Reading(
        scope=listed(group.scopes.variables[factor]),
        widths=group.scopes.widths,
        steps=steps,
        final=final,
    )


def _distinct(values: Int[Tensor, "..."]) -> tuple[Tensor, Tensor]:
    """The different values, sorted, and where each value is among them."""
    unique = cast(Callable[..., tuple[Tensor, Tensor]], torch.unique)
    return unique(values, return_inverse=True)


def _prefixes(group: PatternGroup, factor: int) -> Reading:
    own = torch.nonzero(group.factor == factor).flatten()
    rows = [tuple(row) for row in listed(group.patterns[own])]
    levels = [sorted({row[:k] for row in rows}) for k in range(group.scopes.order + 1)]

    def steps() -> Iterator[Int[Tensor, "states labels"]]:
        astray = False  # whether some labels so far agree with no pattern
        for k, width in enumerate(group.scopes.widths):
            following = {prefix: state for state, prefix in enumerate(levels[k + 1])}
            none = len(following)
            known = levels[k] if k else [()]
            table = [[following.get((*p, label), none) for label in range(width)] for p in known]
            table += [[none] * width] * int(astray)
            astray = any(none in row for row in table)
            yield torch.tensor(table)

    def final() -> Tensor:
        order = [rows.index(prefix) for prefix in levels[-1]]
        energies = group.energies_of[..., own[order]] if rows else group.energies_of[..., :0]
        return torch.cat([energies, group.default[..., factor : factor + 1]], -1)

    return Reading(
        scope=listed(group.scopes.variables[factor]),
        widths=group.scopes.widths,
        steps=steps,
        final=final,
    )
