"""Tables of one or two variables from factors of any form that serve messages."""

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.factors import FactorGraph, MessageGroup
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.typed import distinct


def pair_tables(
    group: MessageGroup, graph: FactorGraph, batch: tuple[int, ...]
) -> list[TableGroup] | None:
    """The factors as tables, one group for each pair of label counts; None beyond two variables.

    A message that comes in with all labels but one of the second variable forbidden is answered by
    a column of the table.
    """
    counts = graph.counts[group.slots]
    factors = torch.arange(group.count, device=counts.device)
    order = torch.bincount(group.owners, minlength=group.count)
    if group.count == 0 or int(order.max()) > 2:
        return [] if group.count == 0 else None
    head = torch.searchsorted(group.owners, factors)
    last = head + order - 1
    start = counts.cumsum(0) - counts
    columns = _columns(group, graph, last[order == 2], batch)
    tables: list[TableGroup] = []
    width = torch.where(order == 2, counts[last], 0)
    for key in distinct(counts[head] * (1 + columns.shape[-1]) + width):
        rows, across = divmod(key, 1 + columns.shape[-1])
        chosen = ((counts[head] == rows) & (width == across)).nonzero().flatten()
        places = start[head[chosen], None] + torch.arange(rows, device=counts.device)
        values = columns[..., places, : max(across, 1)]
        slots = torch.stack([head[chosen], last[chosen]], -1) if across else head[chosen, None]
        scope = group.slots[slots]
        tables.append(
            TableGroup(
                scope=scope,
                first=graph.offsets[scope],
                tables=values if across else values.squeeze(-1),
                total=graph.entries,
            )
        )
    return tables


def _columns(
    group: MessageGroup, graph: FactorGraph, second: Tensor, batch: tuple[int, ...]
) -> Float[Tensor, "*batch group_entries columns"]:
    """The group's answers for each label of the slots `second`."""
    counts = graph.counts[group.slots]
    slot = torch.arange(len(counts), device=counts.device).repeat_interleave(counts)
    is_second = torch.zeros(len(counts), dtype=torch.bool, device=counts.device)
    is_second[second] = True
    label = graph.label_of_entry[group.entries]
    most = int(counts[second].max()) if len(second) else 1
    columns: list[Tensor] = []
    for each in range(most):
        # past the last label of a variable, any column will do: it is not read
        chosen = label == (counts - 1).clamp(max=each)[slot]
        given = torch.where(is_second[slot] & ~chosen, float("inf"), 0.0).to(graph.constant.dtype)
        columns.append(group.messages(given.expand(*batch, -1), 0.0))
    return torch.stack(columns, -1)
