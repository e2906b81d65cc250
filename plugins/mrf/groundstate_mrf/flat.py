"""Pairwise problems one at a time, as flat NumPy arrays: what compiled solvers work on.

Each edge has a weight and one of a few tables, so that a million edges with Potts or truncated
prices take a million weights and one table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from groundstate.errors import ViewError
from groundstate.factors import FactorGraph, FactorGroup, MessageGroup
from groundstate_mrf.groups.distance import DistanceGroup
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.pairwise import pair_tables

Whole = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FlatPairwise:
    """E(y) = c + Σ_i costs[offsets[i] + y_i] + Σ_e weights[e] · D_e(y_i, y_j), in nats.

    Attributes:
        counts: labels of each variable.
        offsets: first entry of each variable, and behind the last one how many there are.
        costs: of each entry; +inf forbids.
        edges: `[edges, 2]`, the two variables i ≠ j of each; a pair may stand there twice.
        weights: of each edge; never negative where its table forbids something.
        table_of: which table each edge has.
        starts: where each table begins in `tables`.
        tables: the tables, flat, row y_i by row; +inf forbids. As many columns as y_j has labels.
        constant: c.
    """

    counts: Whole
    offsets: Whole
    costs: Reals
    edges: Whole
    weights: Reals
    table_of: Whole
    starts: Whole
    tables: Reals
    constant: float

    @cached_property
    def incident(self) -> tuple[Whole, Whole]:
        """For each variable where its edges begin in a list of edges, and that list."""
        variables = len(self.counts)
        ends = self.edges.reshape(-1)
        order = np.argsort(ends, kind="stable")
        begin = np.zeros(variables + 1, dtype=np.int64)
        np.cumsum(np.bincount(ends, minlength=variables), out=begin[1:])
        return begin, order // 2

    def table(self, edge: int) -> Reals:
        """Weight times D of one edge, `[labels of i, labels of j]`."""
        i, j = self.edges[edge]
        start = self.starts[self.table_of[edge]]
        rows, columns = self.counts[i], self.counts[j]
        part = self.tables[start : start + rows * columns].reshape(rows, columns)
        return _times(self.weights[edge], part)

    def energy(self, labels: Whole) -> float:
        """Of one labelling, in nats."""
        total = self.constant + self.costs[self.offsets[:-1] + labels].sum()
        left, right = labels[self.edges[:, 0]], labels[self.edges[:, 1]]
        cell = self.starts[self.table_of] + left * self.counts[self.edges[:, 1]] + right
        values = self.tables[cell]
        return float(total + _times(self.weights, values).sum())


def _times(weights: Any, values: Reals) -> Reals:
    """Products in which infinity times nothing is nothing."""
    return np.multiply(weights, values, out=np.zeros_like(values), where=values != 0)


def flat_problems(graph: FactorGraph, batch_shape: Sequence[int]) -> tuple[FlatPairwise, ...]:
    """Every problem of a batch, or of a union, row by row.

    Raises:
        ViewError: where a factor has more than two variables, or a form without messages.
    """
    batch = () if graph.segments is not None else tuple(batch_shape)
    groups = [each for group in graph.groups for each in _simple(group, graph, batch)]
    parts = [_part(group) for group in groups]
    whole = [_assemble(graph, parts, batch, row) for row in range(max(1, int(np.prod(batch))))]
    if graph.segments is None:
        return tuple(whole)
    return tuple(_cut(graph, whole[0], k) for k in range(graph.constant.shape[-1]))


def split_labels(graph: FactorGraph, labels: Int[Tensor, "*lead variables"]) -> list[Whole]:
    """Labels of each sample and problem, in the order of `flat_problems`, again and again."""
    rows = labels.detach().reshape(-1, labels.shape[-1]).cpu().numpy().astype(np.int64)
    if graph.segments is None:
        return [row.copy() for row in rows]
    segment = graph.segments.cpu().numpy()
    problems = range(graph.constant.shape[-1])
    return [row[segment == problem] for row in rows for problem in problems]


def join_labels(
    graph: FactorGraph, parts: Sequence[Whole], like: Int[Tensor, "*lead variables"]
) -> Int[Tensor, "*lead variables"]:
    """What `split_labels` took apart, in the shape it had."""
    if graph.segments is None:
        rows = np.stack(list(parts)) if parts else np.zeros((0, like.shape[-1]), dtype=np.int64)
    else:
        segment = graph.segments.cpu().numpy()
        problems = graph.constant.shape[-1]
        rows = np.empty((len(parts) // problems, like.shape[-1]), dtype=np.int64)
        for k, part in enumerate(parts):
            rows[k // problems, segment == k % problems] = part
    return torch.from_numpy(rows).reshape(like.shape).to(like.device)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A group: costs of entries, or edges with weights `[*batch, edges]` and tables."""

    entries: Whole | None
    costs: Tensor | None
    edges: Whole | None
    weights: Tensor | None
    tables: Tensor | None


def _simple(
    group: FactorGroup, graph: FactorGraph, batch: tuple[int, ...]
) -> list[TableGroup | PottsGroup | GridPottsGroup | DistanceGroup]:
    if isinstance(group, PottsGroup | GridPottsGroup | DistanceGroup):
        return [group]
    if isinstance(group, TableGroup) and group.order <= 2:
        return [group]
    tables = pair_tables(group, graph, batch) if isinstance(group, MessageGroup) else None
    if tables is None:
        raise ViewError(
            f"every factor must have at most two variables, but some of {type(group).__name__} "
            "have more, or serve no messages; choose a solver for factors of any order "
            "(solver/icm, solver/max-product)"
        )
    return list(tables)


def _part(group: TableGroup | PottsGroup | GridPottsGroup | DistanceGroup) -> _Part:
    edges = group.slots.reshape(group.count, -1).cpu().numpy()
    if isinstance(group, TableGroup):
        lead = group.tables.detach()
        if group.order == 1:
            return _Part(
                entries=group.entries.cpu().numpy(),
                costs=lead.flatten(-2),
                edges=None,
                weights=None,
                tables=None,
            )
        ones = lead.new_ones(group.count)
        return _Part(entries=None, costs=None, edges=edges, weights=ones, tables=lead.flatten(-2))
    if isinstance(group, DistanceGroup):
        weights, table = group.weights.detach(), group.table.detach()
    else:
        weights = group.weights.detach()
        weights = weights.flatten(-2) if isinstance(group, GridPottsGroup) else weights
        table = 1 - torch.eye(group.labels, dtype=weights.dtype, device=weights.device)
    return _Part(
        entries=None, costs=None, edges=edges, weights=weights, tables=table.reshape(1, -1)
    )


def _assemble(
    graph: FactorGraph, parts: Sequence[_Part], batch: tuple[int, ...], row: int
) -> FlatPairwise:
    """One problem of the batch."""
    where = tuple(int(k) for k in np.unravel_index(row, batch)) if batch else ()

    def own(values: Tensor, trailing: int) -> Reals:
        lead = values.dim() - trailing
        shape = (*batch, *values.shape[lead:])
        full = values.expand(shape) if lead or batch else values
        return full[where].double().cpu().numpy() if batch else full.double().cpu().numpy()

    counts = graph.counts.cpu().numpy()
    offsets = np.concatenate([[0], np.cumsum(counts)])
    costs = np.zeros(int(offsets[-1]))
    edges: list[Whole] = []
    weights: list[Reals] = []
    table_of: list[Whole] = []
    starts: list[Whole] = []
    tables: list[Reals] = []
    known, room = 0, 0
    for part in parts:
        if part.costs is not None and part.entries is not None:
            np.add.at(costs, part.entries, own(part.costs, 1))
        if part.edges is None or part.weights is None or part.tables is None:
            continue
        table = own(part.tables, 2)
        count, cells = table.shape
        edges.append(part.edges)
        weights.append(own(part.weights, 1))
        each = np.arange(len(part.edges), dtype=np.int64)
        table_of.append(known + each % count if count else each)
        starts.append(room + cells * np.arange(count, dtype=np.int64))
        tables.append(table.reshape(-1))
        known, room = known + count, room + count * cells
    constant = own(graph.constant, 0) if graph.segments is None else np.zeros(())
    return FlatPairwise(
        counts=counts,
        offsets=offsets,
        costs=costs,
        edges=_joined(edges, np.zeros((0, 2), np.int64)),
        weights=_joined(weights, np.zeros(0)),
        table_of=_joined(table_of, np.zeros(0, np.int64)),
        starts=_joined(starts, np.zeros(0, np.int64)),
        tables=_joined(tables, np.zeros(0)),
        constant=float(constant),
    )


def _joined(parts: Sequence[Any], empty: Any) -> Any:
    return np.ascontiguousarray(np.concatenate(parts)) if parts else empty


def _cut(graph: FactorGraph, whole: FlatPairwise, problem: int) -> FlatPairwise:
    """One problem of a union; tables are shared."""
    segment = cast(Tensor, graph.segments).cpu().numpy()
    inside = segment == problem
    number = np.cumsum(inside) - 1
    entries = np.repeat(inside, whole.counts)
    kept = inside[whole.edges[:, 0]]
    counts = whole.counts[inside]
    return FlatPairwise(
        counts=counts,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        costs=whole.costs[entries],
        edges=number[whole.edges[kept]],
        weights=whole.weights[kept],
        table_of=whole.table_of[kept],
        starts=whole.starts,
        tables=whole.tables,
        constant=float(graph.constant[problem]),
    )
