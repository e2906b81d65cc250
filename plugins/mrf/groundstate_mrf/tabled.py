"""Factors with tables from flat arrays, as text formats give them, one group for each shape."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from jaxtyping import Float64, Int, Int64
from torch import Tensor

from groundstate_mrf.groups.slots import first_entries
from groundstate_mrf.groups.tables import TableGroup


def table_groups(
    counts: Int[Tensor, " variables"],
    scopes: Sequence[Sequence[int]],
    energies: Float64[np.ndarray, " cells"],
    starts: Int64[np.ndarray, " factors"],
    dtype: torch.dtype,
) -> tuple[TableGroup, ...]:
    """Groups of the factors that have variables.

    Args:
        counts: number of labels of each variable.
        scopes: the variables of each factor.
        energies: the cells of all tables, in nats; the last variable of a scope changes fastest.
        starts: where the cells of each factor begin.
        dtype: of the tables.
    """
    sizes = counts.numpy()
    forms: dict[tuple[int, ...], list[int]] = {}
    for factor, scope in enumerate(scopes):
        if scope:
            forms.setdefault(tuple(int(sizes[each]) for each in scope), []).append(factor)
    first = first_entries(counts)
    total = int(counts.sum())
    groups: list[TableGroup] = []
    for widths, members in forms.items():
        cells = prod(widths)
        begin = starts[members]
        tables = torch.from_numpy(np.empty((len(members), cells))).to(dtype)
        for row in range(0, len(members), max(1, (1 << 20) // cells)):
            rows = slice(row, row + max(1, (1 << 20) // cells))
            tables[rows] = torch.from_numpy(energies[begin[rows, None] + np.arange(cells)]).to(
                dtype
            )
        scope = torch.from_numpy(np.array([scopes[each] for each in members], np.int64))
        tables = tables.reshape(len(members), *widths)
        groups.append(TableGroup(scope=scope, first=first[scope], tables=tables, total=total))
    return tuple(groups)
