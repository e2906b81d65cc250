"""Energies as the whole-number costs of WCSP files, for `groundstate_mrf.wcsp`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from jaxtyping import Float64, Int64

from groundstate.factors import FactorGraph, FactorGroup
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.typed import whole
from groundstate_mrf.uai import list_factors

_PRECISION = 52
"""Bits of the sum of all costs, where they are no whole numbers: those of float64."""


@dataclass(frozen=True, kw_only=True)
class Sparse:
    """A factor as tuples with energies, and a default for the rest.

    Attributes:
        scope: its variables.
        default: energy of all tuples that are not listed; not used where all are.
        rows: the tuples.
        energies: of each.
    """

    scope: Sequence[int]
    default: float
    rows: Int64[np.ndarray, "tuples order"]
    energies: Float64[np.ndarray, " tuples"]

    @property
    def finite(self) -> Float64[np.ndarray, " values"]:
        """All energies that do not forbid."""
        values = np.append(self.energies, self.default)
        return values[np.isfinite(values)]


@dataclass(frozen=True, kw_only=True)
class Costs:
    """A problem in whole numbers.

    Attributes:
        name: the name of the problem; it tells unit and offset where they are not 1 and 0.
        top: from here on a cost forbids.
        lines: the cost functions.
    """

    name: str
    top: int
    lines: list[str]


def listed(graph: FactorGraph) -> Iterator[Sparse]:
    """Every factor of a graph.

    Raises:
        ViewError: if one has too many joint labels to be listed.
    """
    for group in graph.groups:
        yield from _patterns(group) if isinstance(group, PatternGroup) else _tables(group, graph)


def whole_costs(factors: Iterable[Sparse], constant: float) -> Costs:
    """The factors in units: 1 where they are whole numbers from 0 on, else as fine as fits."""
    held = list(factors)
    values = np.concatenate([*(each.finite for each in held), np.array([constant])])
    most = sum(each.finite.max(initial=0.0) for each in held) + abs(constant)
    plain = bool((values >= 0).all() and (values == np.rint(values)).all() and most < 2.0**53)
    if plain:
        constants = [] if constant == 0 else [f"0 {int(constant)} 0\n"]
        top = int(most) + 1
        lines = [*constants, *(_function(each, 0.0, 1.0, top) for each in held)]
        return Costs(name="groundstate", top=top, lines=lines)
    lows = [float(each.finite.min(initial=np.inf)) for each in held]
    lows = [low if np.isfinite(low) else 0.0 for low in lows]
    spans = [each.finite.max(initial=low) - low for each, low in zip(held, lows, strict=True)]
    span = float(sum(spans))
    unit = 2.0 ** (ceil(log2(span)) - _PRECISION) if span > 0 else 1.0
    top = int(span / unit) + len(held) + 1
    pairs = zip(held, lows, strict=True)
    return Costs(
        name=f"groundstate;unit={unit!r};offset={constant + sum(lows)!r}",
        top=top,
        lines=[_function(each, low, unit, top) for each, low in pairs],
    )


def _function(factor: Sparse, low: float, unit: float, top: int) -> str:
    def cost(energy: float) -> int:
        return top if energy == float("inf") else round((energy - low) / unit)

    rows = [
        f"{' '.join(map(str, row))} {cost(energy)}\n"
        for row, energy in zip(factor.rows.tolist(), factor.energies.tolist(), strict=True)
    ]
    scope = " ".join(map(str, (len(factor.scope), *factor.scope)))
    return f"{scope} {cost(factor.default)} {len(rows)}\n{''.join(rows)}"


def _tables(group: FactorGroup, graph: FactorGraph) -> Iterator[Sparse]:
    for scope, table in list_factors(group, graph):
        cells = table.numpy()
        values, frequency = np.unique(cells, return_counts=True)
        default = float(values[frequency.argmax()])
        places = np.argwhere(cells != default)
        yield Sparse(scope=scope, default=default, rows=places, energies=cells[cells != default])


def _patterns(group: PatternGroup) -> Iterator[Sparse]:
    for factor in range(group.count):
        mine = group.factor == factor
        yield Sparse(
            scope=whole(group.scopes.variables[factor]),
            default=float(group.default[factor]),
            rows=group.patterns[mine].cpu().numpy(),
            energies=group.energies_of[mine].detach().cpu().double().numpy(),
        )
