"""One problem after another as flat NumPy tables, for solvers that know nothing of batches."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groundstate.errors import InputError
from groundstate_exact.blocks import Blocks
from groundstate_exact.forest import array

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Tabled:
    """Factors of the same shape, of two variables and more.

    Attributes:
        scope: `[factors, order]`, variables of the part.
        widths: their label counts.
        cells: `[factors, cells]`, in nats, the last variable fastest.
    """

    scope: Array
    widths: tuple[int, ...]
    cells: Array


@dataclass(frozen=True, kw_only=True)
class Part:
    """One problem.

    Attributes:
        variables: numbers of its variables in the graph and behind it (auxiliary ones, at the end).
        own: how many of them the graph has.
        counts: their label counts.
        offsets: the first entry of each.
        costs: of each label of each variable, in nats; +inf forbids.
        factors: the factors of two variables and more.
        constant: in nats.
    """

    variables: Array
    own: int
    counts: Array
    offsets: Array
    costs: Array
    factors: tuple[Tabled, ...]
    constant: float

    def integral(self) -> bool:
        """Whether every energy is a whole number (or infinite), small enough to be exact."""
        values = [self.costs, np.array([self.constant]), *(each.cells for each in self.factors)]
        finite = np.concatenate([each[np.isfinite(each)].ravel() for each in values])
        return bool((finite == np.round(finite)).all() and np.abs(finite).sum() < 2**40)


def size_of(blocks: Blocks) -> int:
    """Labels of all variables, and joint labels that may be allowed of all factors of a problem."""
    cells = sum(block.allowed * len(block.scope) for block in blocks.blocks)
    return int(blocks.counts.sum()) + cells


def check_size(blocks: Blocks, largest: int, what: str) -> None:
    """Refuse what is too large.

    Raises:
        InputError: saying the size.
    """
    size = size_of(blocks)
    if size > largest:
        raise InputError(
            f"{what} takes no more than `largest` = {largest} labels and joint labels of factors, "
            f"but this problem has {size}; raise `largest` or choose a solver that sends messages "
            "(solver/max-product)"
        )


def parts_of(blocks: Blocks, begin: int = 0) -> Iterator[Part]:
    """The problems of a batch, or those that lie end to end, from number `begin` on."""
    counts, problem = array(blocks.counts), array(blocks.problem)
    constant = array(blocks.constant)
    free = [[p for p, width in enumerate(b.widths) if width > 1] for b in blocks.blocks]
    scopes = [array(block.scope) for block in blocks.blocks]
    tables = [array(block.tables()) for block in blocks.blocks]
    several = len(constant) != blocks.batch  # problems end to end
    for number in range(begin, len(constant)):
        inside = problem == number if several else np.ones(len(counts), np.bool_)
        variables = np.flatnonzero(inside)
        local = np.full(len(counts), -1, np.int64)
        local[variables] = np.arange(len(variables))
        own_counts = counts[variables]
        offsets = np.cumsum(own_counts) - own_counts
        costs = np.zeros(int(own_counts.sum()))
        factors: list[Tabled] = []
        for block, scope, table, places in zip(blocks.blocks, scopes, tables, free, strict=True):
            mine = inside[scope[:, 0]]
            cells = table[0 if several else min(number, len(table) - 1)][mine]
            rows = local[scope[mine]]
            if len(places) > 1:
                widths = tuple(block.widths[place] for place in places)
                factors.append(Tabled(scope=rows[:, places], widths=widths, cells=cells))
            elif len(rows):
                place = places[0] if places else 0
                entries = offsets[rows[:, place], None] + np.arange(block.widths[place])
                np.add.at(costs, entries, cells)
        yield Part(
            variables=variables,
            own=int((variables < blocks.own).sum()),
            counts=own_counts,
            offsets=offsets,
            costs=costs,
            factors=tuple(factors),
            constant=float(constant[number]),
        )


def energy_of(part: Part, labels: Array) -> float:
    """Energy of a labelling of all variables of the part, in nats."""
    total = part.constant + float(part.costs[part.offsets + labels].sum())
    for each in part.factors:
        chosen = np.zeros(len(each.scope), np.int64)
        for place, width in enumerate(each.widths):
            chosen = chosen * width + labels[each.scope[:, place]]
        total += float(each.cells[np.arange(len(chosen)), chosen].sum())
    return total


def forbids_all(part: Part) -> bool:
    """Whether some variable has no label, or some factor no joint label, that is allowed."""
    if len(part.counts) and np.isinf(np.minimum.reduceat(part.costs, part.offsets)).any():
        return True
    return any(bool(np.isinf(each.cells).all(1).any()) for each in part.factors)


def torch_labels(part: Part, labels: Array) -> torch.Tensor:
    """Labels of the graph's own variables of the part."""
    return torch.from_numpy(np.ascontiguousarray(labels[: part.own], dtype=np.int64))
