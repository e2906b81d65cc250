"""The forest that blocks of tables form, as flat arrays, and the cycle where they do not.

Factors on the same variables, or on some of another factor's, are added to it: a Potts price and a
table on one edge make no cycle.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundstate.errors import ViewError
from groundstate_exact import forest_kernel
from groundstate_exact.blocks import Block, Blocks
from groundstate_exact.lists import listed

Array = NDArray[Any]
_hang = cast(Callable[..., tuple[int, int, int]], forest_kernel.hang)


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Factors of two variables and more, hanging from roots.

    Attributes:
        blocks: the factors; those of one variable are not part of what follows.
        counts: labels of each variable.
        offsets: first entry of each variable.
        start: where each factor's variables begin in `members`, and the end.
        members: the variables of the factors; those with one label are left out.
        cells_at: where each factor's cells begin, and the end.
        above: the variable above each; -1 for roots.
        order: the factors from the roots on.
        up: the place of each factor's parent among its variables.
    """

    blocks: Blocks
    counts: Array
    offsets: Array
    start: Array
    members: Array
    cells_at: Array
    above: Array
    order: Array
    up: Array


def forest_of(blocks: Blocks) -> Forest:
    """Hang the factors from roots.

    Raises:
        ViewError: naming the variables of a cycle.
    """
    forest, cycle = _hung(blocks)
    if cycle:
        forest, cycle = _hung(merged(blocks))
    if cycle:
        shown = [*cycle[:6], "..."] if len(cycle) > 7 else cycle
        names = " - ".join(str(each) for each in [*shown, cycle[0]])
        raise ViewError(
            f"dynamic programming on trees needs a factor graph without cycles, but the variables "
            f"{names} form one; solver/junction-tree takes cycles of small treewidth"
        )
    return forest


def costs_of(forest: Forest) -> tuple[Tensor, Tensor]:
    """Energies of entries, `[batch, entries]`, and of the cells of the forest's factors."""
    blocks = forest.blocks
    unary = torch.zeros((1, int(blocks.counts.sum())), dtype=torch.float64)
    cells: list[Tensor] = []
    offsets = blocks.counts.cumsum(0) - blocks.counts
    for block in blocks.blocks:
        tables = block.tables()
        if len(tables) > len(unary):
            unary = unary.repeat(len(tables), 1)
        widths = [width for width in block.widths if width > 1]
        if len(widths) > 1:
            cells.append(tables.flatten(1))
            continue
        # also a factor without any choice: its energy goes to each label of its variable
        place = block.widths.index(widths[0]) if widths else 0
        entries = offsets[block.scope[:, place]].unsqueeze(-1) + torch.arange(block.widths[place])
        unary.index_add_(1, entries.flatten(), tables.flatten(1).expand(len(unary), -1))
    batch = max([1, *(len(each) for each in cells)])
    empty = torch.zeros((batch, 0), dtype=torch.float64)
    return unary, torch.cat([empty, *(each.expand(batch, -1) for each in cells)], 1)


def merged(blocks: Blocks) -> Blocks:
    """The same factors with those on the same variables, or on some of another's, as one."""
    scopes: list[list[tuple[int, ...]]] = []
    for block in blocks.blocks:
        free = [place for place, width in enumerate(block.widths) if width > 1]
        scopes.append([tuple(row[place] for place in free) for row in listed(block.scope)])
    homes = _homes({frozenset(scope) for rows in scopes for scope in rows if len(scope) > 1})
    targets: dict[tuple[int, ...], list[tuple[int, int, tuple[int, ...]]]] = {}
    single: list[Block] = []
    for number, rows in enumerate(scopes):
        if rows and len(rows[0]) < 2:
            single.append(blocks.blocks[number])
            continue
        for factor, scope in enumerate(rows):
            target = homes[frozenset(scope)]
            places = tuple(target.index(each) for each in scope)
            targets.setdefault(target, []).append((number, factor, places))
    counts = listed(blocks.counts)
    alike: dict[Any, list[tuple[tuple[int, ...], list[int]]]] = {}
    for target, parts in targets.items():
        pattern = tuple((number, places) for number, _, places in parts)
        key = (tuple(counts[each] for each in target), pattern)
        alike.setdefault(key, []).append((target, [factor for _, factor, _ in parts]))
    made = [_together(blocks, widths, pattern, rows) for (widths, pattern), rows in alike.items()]
    return replace(blocks, blocks=(*single, *made))


def _homes(scopes: set[frozenset[int]]) -> dict[frozenset[int], tuple[int, ...]]:
    """For each scope the largest one that contains it, sorted."""
    large: dict[int, list[frozenset[int]]] = {}
    homes: dict[frozenset[int], tuple[int, ...]] = {}
    for scope in sorted(scopes, key=lambda each: (-len(each), sorted(each))):
        over = next((each for each in large.get(min(scope), ()) if scope <= each), scope)
        homes[scope] = tuple(sorted(over))
        if len(scope) > 2 and over is scope:
            for variable in scope:
                large.setdefault(variable, []).append(scope)
    return homes


def _together(
    blocks: Blocks,
    widths: tuple[int, ...],
    pattern: tuple[tuple[int, tuple[int, ...]], ...],
    rows: list[tuple[tuple[int, ...], list[int]]],
) -> Block:
    """Factors that are put together in the same way: the sum of their parts' tables."""

    def cells() -> Tensor:
        total = torch.zeros((1, len(rows), *widths), dtype=torch.float64)
        for part, (number, places) in enumerate(pattern):
            chosen = [factors[part] for _, factors in rows]
            tables = blocks.blocks[number].tables()[:, chosen]
            tables = tables.reshape(*tables.shape[:2], *(widths[place] for place in places))
            order = sorted(range(len(places)), key=places.__getitem__)
            tables = tables.permute(0, 1, *(axis + 2 for axis in order))
            axes = [width if place in places else 1 for place, width in enumerate(widths)]
            total = total + tables.reshape(*tables.shape[:2], *axes)
        return total.flatten(2)

    return Block(scope=torch.tensor([target for target, _ in rows]), widths=widths, tables=cells)


def _hung(blocks: Blocks) -> tuple[Forest, list[int]]:
    """The forest, and the variables of a cycle if there is one."""
    counts = array(blocks.counts)
    sizes: list[Array] = []
    members: list[Array] = []
    cells: list[Array] = []
    for block in blocks.blocks:
        free = [place for place, width in enumerate(block.widths) if width > 1]
        if len(free) > 1:
            number = len(block.scope)
            sizes.append(np.full(number, len(free), np.int64))
            cells.append(np.full(number, block.cells, np.int64))
            members.append(array(block.scope)[:, free].reshape(-1))
    start, cells_at = _ends(sizes), _ends(cells)
    flat = np.concatenate([np.zeros(0, np.int64), *members])
    factors = np.repeat(np.arange(len(start) - 1), np.diff(start))
    by_variable = np.argsort(flat, kind="stable")
    begin = _ends([np.bincount(flat, minlength=len(counts))])
    above = np.full(len(counts), -2, np.int64)
    order = np.zeros(len(start) - 1, np.int64)
    up = np.zeros(len(start) - 1, np.int64)
    factor, one, other = _hang(start, flat, begin, factors[by_variable], above, order, up)
    forest = Forest(
        blocks=blocks,
        counts=counts,
        offsets=np.cumsum(counts) - counts,
        start=start,
        members=flat,
        cells_at=cells_at,
        above=above,
        order=order,
        up=up,
    )
    return forest, _path(above, one, other) if factor >= 0 else []


def _path(above: Array, one: int, other: int) -> list[int]:
    """The way from one variable to another through what is above both."""
    left, right = _upwards(above, one), _upwards(above, other)
    while len(left) > 1 and len(right) > 1 and left[-2] == right[-2]:
        left.pop()
        right.pop()
    return [*left, *right[-2::-1]]


def _upwards(above: Array, variable: int) -> list[int]:
    way = [variable]
    while above[way[-1]] >= 0:
        way.append(int(above[way[-1]]))
    return way


def _ends(sizes: list[Array]) -> Array:
    """Where each begins, and the end of all."""
    return np.concatenate([np.zeros(1, np.int64), *sizes]).cumsum()


def array(values: Tensor) -> Array:
    """A tensor as an array, with a type."""
    return cast(Array, cast(Any, values).numpy())
