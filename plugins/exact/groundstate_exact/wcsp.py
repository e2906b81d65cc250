"""One problem as a weighted constraint network in whole numbers, as toulbar2 reads it.

Energies are shifted to be at least 0 in each factor and scaled by a power of 2, so large that the
rounding to whole numbers is about that of float64; whole-number energies are not scaled and stay
exact. Format: https://miat.inrae.fr/toulbar2/userdoc.html (WCSP).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import floor, log2
from pathlib import Path

import numpy as np

from groundstate_exact.lists import numbers, rows
from groundstate_exact.parts import Array, Part

_LARGEST = 2.0**50
"""What all costs together stay below: float64 has 53 bits, and toulbar2 63."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """What has been written, and how to come back from it.

    Attributes:
        scale: costs per nat.
        shift: what was taken away from all energies together, in nats.
        error: how far rounding may have lowered or raised any energy, in nats.
    """

    scale: float
    shift: float
    error: float

    def bound(self, cost: float) -> float:
        """A lower bound on the energy from one on the cost, in nats."""
        return self.shift + cost / self.scale - self.error


def write_network(part: Part, path: Path) -> Network:
    """Write the problem; none of its variables and factors may be forbidden altogether."""
    functions = list(_functions(part))
    lows = [np.where(np.isfinite(cells), cells, np.inf).min(1) for _, _, cells in functions]
    shifted = [cells - low[:, None] for (_, _, cells), low in zip(functions, lows, strict=True)]
    finite = [np.where(np.isfinite(cells), cells, 0.0) for cells in shifted]
    most = sum(float(cells.max(1).sum()) for cells in finite)
    integral = part.integral()
    scale = 1.0 if integral or most == 0 else 2.0 ** floor(log2(_LARGEST / most))
    whole = [np.rint(cells * scale).astype(np.int64) for cells in finite]
    top = sum(int(cells.max(1).sum()) for cells in whole) + 1
    count = sum(len(cells) for cells in whole)
    with path.open("w", encoding="ascii") as file:
        file.write(f"problem {len(part.counts)} {part.counts.max()} {count} {top}\n")
        file.write(" ".join(map(str, part.counts)) + "\n")
        for (scope, widths, _), cells, costs in zip(functions, shifted, whole, strict=True):
            table = np.where(np.isfinite(cells), costs, top)
            labels = np.indices(widths).reshape(len(widths), -1).T
            for variables, row in zip(rows(scope), table, strict=True):
                file.write(_function(variables, labels, row, top))
    shift = part.constant + float(sum(low.sum() for low in lows))
    rounding = 0.0 if integral else 0.5 * count / scale
    rounding += 4 * np.finfo(np.float64).eps * (abs(shift) + most)
    return Network(scale=scale, shift=shift, error=0.0 if integral else rounding)


def _functions(part: Part) -> Iterator[tuple[Array, tuple[int, ...], Array]]:
    """Scopes, label counts and energies; variables of one label count are taken together."""
    for width in sorted(set(numbers(part.counts))):
        variables = np.flatnonzero(part.counts == width)
        entries: Array = part.offsets[variables, None] + np.arange(width)
        yield variables[:, None], (width,), part.costs[entries]
    for each in part.factors:
        if len(each.scope):
            yield each.scope, each.widths, each.cells


def _function(variables: list[int], labels: Array, costs: Array, top: int) -> str:
    """One cost function; the more frequent of 0 and `top` is not listed."""
    default = top if int((costs == top).sum()) > int((costs == 0).sum()) else 0
    listed = np.flatnonzero(costs != default)
    head = f"{len(variables)} {' '.join(map(str, variables))} {default} {len(listed)}\n"
    lines = rows(np.concatenate([labels[listed], costs[listed, None]], 1))
    return head + "".join(" ".join(map(str, line)) + "\n" for line in lines)
