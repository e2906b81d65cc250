"""Bucket elimination: each clique adds up its tables and sends what is left without its variable.

Dechter: Bucket Elimination: A Unifying Framework for Reasoning (1999); Koller, Friedman (2009),
§9.3, §10.2. For the least energy a message is a minimum, and where it was reached is kept; for log
Z it is a soft minimum -log Σ exp(-·), and the chances of the variable given its separator are kept.
The way back turns these into joint probabilities of each clique: nothing is divided by a message,
so forbidden combinations need no care.

A sweep works on some buckets at a time and can be left and taken up between any two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_exact.blocks import Blocks
from groundstate_exact.elimination import Bucket
from groundstate_exact.lists import listed

Waiting = tuple[tuple[Tensor, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """How far an elimination is.

    Attributes:
        position: buckets done.
        waiting: the tables that each bucket has got so far, `[batch, ...]`, with an axis for each
            variable of its clique, of length 1 where the table does not depend on it.
        kept: of each bucket done: where the minimum was reached, `[batch, separator...]`, or the
            chances of its variable, `[batch, clique...]`.
        total: what is left when all variables are gone, in nats; one per problem.
    """

    position: int
    waiting: Waiting
    kept: tuple[Tensor, ...]
    total: Float[Tensor, " problems"]


def open_sweep(blocks: Blocks, buckets: Sequence[Bucket]) -> Sweep:
    """Every factor in the bucket of the first of its variables to go."""
    position = {bucket.scope[0]: place for place, bucket in enumerate(buckets)}
    counts = listed(blocks.counts)
    waiting: list[list[Tensor]] = [[] for _ in buckets]
    total = blocks.constant.clone()
    for block in blocks.blocks:
        tables = block.tables()
        free = [place for place, width in enumerate(block.widths) if width > 1]
        widths = [block.widths[place] for place in free]
        for factor, row in enumerate(listed(block.scope)):
            table = tables[:, factor].reshape(-1, *widths)
            scope = [row[place] for place in free]
            if not scope:
                _add(total, blocks, row[0], table.reshape(-1))
                continue
            order = sorted(range(len(scope)), key=lambda place: position[scope[place]])
            inner = [scope[place] for place in order]
            table = table.permute(0, *(place + 1 for place in order))
            home = position[inner[0]]
            waiting[home].append(_spread(table, inner, buckets[home], counts))
    return Sweep(
        position=0,
        waiting=tuple(tuple(tables) for tables in waiting),
        kept=(),
        total=total,
    )


def sweep_on(
    blocks: Blocks,
    buckets: Sequence[Bucket],
    sweep: Sweep,
    collapse: Callable[[Tensor], tuple[Tensor, Tensor]],
    stop: Callable[[], bool],
) -> Sweep:
    """Eliminate until done or told to stop.

    Args:
        blocks: the factors.
        buckets: the cliques.
        sweep: where to begin.
        collapse: a table to its message and to what is kept: `lowest` or `soft`.
        stop: asked after each bucket.
    """
    place = {bucket.scope[0]: number for number, bucket in enumerate(buckets)}
    counts = listed(blocks.counts)
    waiting = [list(tables) for tables in sweep.waiting]
    kept = list(sweep.kept)
    total = sweep.total.clone()
    done = sweep.position
    while done < len(buckets):
        bucket = buckets[done]
        message, keep = collapse(_sum(bucket, waiting[done]))
        waiting[done] = []
        kept.append(keep)
        done += 1
        if len(bucket.scope) == 1:
            _add(total, blocks, bucket.scope[0], message)
        else:
            parent = place[bucket.scope[1]]
            inner = bucket.scope[1:]
            waiting[parent].append(_spread(message, inner, buckets[parent], counts))
        if stop():
            break
    left = tuple(tuple(tables) for tables in waiting)
    return replace(sweep, position=done, waiting=left, kept=tuple(kept), total=total)


def lowest(table: Float[Tensor, "batch own *rest"]) -> tuple[Tensor, Tensor]:
    """The minimum over the first variable, and the first label that reaches it."""
    value = table.amin(1)
    kind = torch.uint8 if table.shape[1] <= 256 else torch.int32
    where = torch.zeros(value.shape, dtype=kind)
    for label in range(table.shape[1] - 1, -1, -1):
        where = torch.where(table[:, label] == value, label, where)
    return value, where


def soft(table: Float[Tensor, "batch own *rest"]) -> tuple[Tensor, Tensor]:
    """The soft minimum over the first variable, and its chances given the rest."""
    least = table.amin(1)
    least = torch.where(least.isfinite(), least, 0.0)
    weights = (least.unsqueeze(1) - table).exp()
    total = weights.sum(1)
    chances = weights / torch.where(total > 0, total, 1.0).unsqueeze(1)
    return least - total.log(), chances


def labels_of(
    buckets: Sequence[Bucket], sweep: Sweep, variables: int
) -> Int[Tensor, "batch variables"]:
    """The best labels, each given those of its separator, from the last bucket back."""
    labels = torch.zeros((_batch(sweep.kept), variables), dtype=torch.int64)
    for bucket, where in zip(reversed(buckets), reversed(sweep.kept), strict=True):
        if bucket.widths[0] > 1:
            rows = torch.arange(len(labels)) if len(where) > 1 else torch.zeros(len(labels)).long()
            given = [labels[:, variable] for variable in bucket.scope[1:]]
            labels[:, bucket.scope[0]] = where[(rows, *given)].long()
    return labels


@dataclass(frozen=True, kw_only=True)
class Return:
    """How far the way back is.

    Attributes:
        position: buckets that are still to come.
        joints: probabilities of each clique, `[batch, clique...]`; the chances of its variable
            where it is still to come.
        marginals: of each bucket that is done: of its variable, `[batch, labels]`.
    """

    position: int
    joints: tuple[Tensor, ...]
    marginals: tuple[Tensor, ...]


def return_on(buckets: Sequence[Bucket], way: Return, stop: Callable[[], bool]) -> Return:
    """Probabilities of each clique from those of its parent, until done or told to stop."""
    place = {bucket.scope[0]: number for number, bucket in enumerate(buckets)}
    joints, marginals = list(way.joints), list(way.marginals)
    position = way.position
    while position > 0:
        position -= 1
        bucket, joint = buckets[position], joints[position]
        if len(bucket.scope) > 1:
            parent = place[bucket.scope[1]]
            outside = _separator_of(joints[parent], bucket, buckets[parent])
            joint = joint * outside.unsqueeze(1)
        joints[position] = joint
        marginals.append(joint.flatten(2).sum(2) if joint.dim() > 2 else joint)
        if stop():
            break
    return Return(position=position, joints=tuple(joints), marginals=tuple(marginals))


def _separator_of(joint: Tensor, bucket: Bucket, parent: Bucket) -> Tensor:
    """The parent's probabilities without the variables that the bucket does not have."""
    inside = set(bucket.scope)
    gone = [1 + axis for axis, each in enumerate(parent.scope) if each not in inside]
    return joint.sum(gone) if gone else joint


def _batch(tables: Sequence[Tensor]) -> int:
    return max((len(table) for table in tables), default=1)


def _add(total: Tensor, blocks: Blocks, variable: int, values: Tensor) -> None:
    """Add what no variable is left in, to the variable's problem."""
    if len(total) == blocks.batch:
        total += values
    else:
        total[blocks.problem[variable]] += values[0]


def _spread(table: Tensor, inner: Sequence[int], bucket: Bucket, counts: Sequence[int]) -> Tensor:
    """A table on some of the clique's variables, in their order there, with an axis for each."""
    inside = set(inner)
    axes = [counts[each] if each in inside else 1 for each in bucket.scope]
    return table.reshape(len(table), *axes)


def _sum(bucket: Bucket, tables: Sequence[Tensor]) -> Tensor:
    """All tables of a bucket together, over its whole clique."""
    batch = _batch(tables)
    total = torch.zeros((batch, *bucket.widths), dtype=torch.float64)
    for table in tables:
        total += table
    return total
