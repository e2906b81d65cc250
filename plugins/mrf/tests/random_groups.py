"""Random factors of the structured forms, alone in small problems."""

from collections.abc import Callable

import torch
from torch import Tensor

from groundstate.testing.typed import ints
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.linear import LinearGroup
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.groups.scopes import Scopes
from groundstate_mrf.typed import pieces

INFINITY = float("inf")
COUNTS = [3, 2, 3, 2, 4]
Normal = Callable[..., Tensor]


def rows(labels: Tensor) -> list[list[int]]:
    """Labellings as lists."""
    return [ints(each) for each in labels]


def scopes(rows: list[list[int]]) -> Scopes:
    counts = torch.tensor(COUNTS)
    first = counts.cumsum(0) - counts
    variables = torch.tensor(rows)
    widths = tuple(COUNTS[v] for v in rows[0])
    return Scopes(variables=variables, first=first[variables], widths=widths, total=14)


def structured_problems(
    seed: int, batch: tuple[int, ...] = (), infinite: float = 0.0
) -> list[FactorGraphEnergy]:
    """Pattern factors (favoured, dearer, with infinite defaults, none listed) and linear ones."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        values = torch.randn(*batch, *shape, generator=rng, dtype=torch.float64)
        return torch.where(torch.rand(values.shape, generator=rng) < infinite, INFINITY, values)

    groups = [_patterns(rng, normal, kind) for kind in ("favoured", "dearer", "hard", "none")]
    return [_alone(group, batch) for group in (*groups, *_linear(rng, normal))]


def _alone(group: PatternGroup | LinearGroup, batch: tuple[int, ...]) -> FactorGraphEnergy:
    constant = torch.zeros(batch, dtype=torch.float64)
    return FactorGraphEnergy(counts=torch.tensor(COUNTS), groups=(group,), constant=constant)


def _patterns(rng: torch.Generator, normal: Normal, kind: str) -> PatternGroup:
    both = scopes([[0, 1, 4], [2, 3, 4]])
    listed = 0 if kind == "none" else 5
    found: list[list[int]] = []
    for factor in range(2):
        cells = ints(torch.randperm(24, generator=rng)[:listed])
        found += [[factor, c // 8, c // 4 % 2, c % 4] for c in cells]
    table = torch.tensor(found, dtype=torch.int64).reshape(-1, 4)
    energies, default = normal(len(table)), normal(2)
    if kind == "favoured":
        energies = torch.minimum(energies, default[..., table[:, 0]])
    if kind == "hard":
        default = torch.full_like(default, INFINITY)
    return PatternGroup(
        scopes=both,
        factor=table[:, 0],
        patterns=table[:, 1:],
        energies_of=energies,
        default=default,
    )


def _linear(rng: torch.Generator, normal: Normal) -> list[LinearGroup]:
    made: list[LinearGroup] = []
    for members in ([[0, 1, 4, 3], [2, 3, 4, 1]], [[4]], [[0, 1, 2, 3, 4]]):
        each = scopes(members)
        weights = torch.randint(0, 4, (len(members), each.starts[-1]), generator=rng)
        sums = sum(int(part.max()) for part in pieces(weights, each.widths)) + 2
        made.append(LinearGroup(scopes=each, weights=weights, values=normal(len(members), sums)))
    return made
