"""Whether an affinity energy has one minimum: no set of pixels whose level is free.

S·1 = 1, so without pins and λ a constant costs nothing; the paper's claim that A is always positive
definite needs at least one pinned pixel in every set of pixels that S maps to itself (structured
models spec §2.3).
Where no similarity leads out of a set, it must hold a pin itself. A pin outside that such sets lead
up to could hold them, too; that is not looked into, and such a problem is refused.

What leads out must not be lost in rounding either: solvers would find a level, and not the right
one. If all of it in a row is w, the level of a set costs about w² in ‖(I - S)y‖², beside 1, and μw
in the other term.
"""

import math
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import csgraph, csr_array
from torch import Tensor

from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.similarity import DenseSimilarity, Similarity

Array = NDArray[Any]


def check_held(
    similarity: Similarity,
    *,
    batch: tuple[int, ...],
    pull: Float[Tensor, "*pull_batch pixels"],
    ties: Bool[Tensor, "*tie_batch regions pixels"],
    smooth: Bool[Tensor, "..."],
    scale: Float[Tensor, "..."],
) -> None:
    """Refuse a problem in which the level of some pixels is free.

    Args:
        similarity: S.
        batch: shape of all problems.
        pull: βh.
        ties: the pixels that share a value.
        smooth: whether pixels are drawn to each of those that look alike, not to their mean alone.
        scale: λ.

    Raises:
        NotPositiveDefinite: naming the problem of the batch.
    """
    pulled = (pull.detach() > 0).expand(*batch, -1)
    open_ = (scale.detach() <= 0).expand(batch)
    loose = open_ & ~pulled.any(-1)
    limit = _least(similarity, linked=bool(smooth.all()))
    if bool(open_.any()) and not bool(loose.any()) and not _all_above(similarity, limit):
        loose = open_ & ~_all_classes_held(similarity, batch, pulled, ties, smooth.expand(batch))
    if bool(loose.any()):
        where = tuple(int(index) for index in loose.nonzero()[0])
        raise NotPositiveDefinite(
            f"the energy must have one minimum, but{f' in problem {where}' if where else ''} "
            "nothing holds the level of some pixels: pin one of them (with `strength` above 0), "
            "tie them to pinned ones, or set `diagonal` above 0. Pixels fall apart where "
            "embeddings are so large that similarities round to 0 (`weakest` above 0 keeps them), "
            "or where too few `neighbours` are looked at"
        )


def _least(similarity: Similarity, *, linked: bool) -> float:
    """The similarity below which even all of a row together is lost in rounding."""
    epsilon = torch.finfo(similarity.own().dtype).eps
    return (epsilon if linked else epsilon**0.5) / similarity.own().shape[-1]


def _all_above(similarity: Similarity, limit: float) -> bool:
    """Whether every pixel leads to every other at once."""
    return isinstance(similarity, DenseSimilarity) and bool((similarity.weights > limit).all())


def _all_classes_held(
    similarity: Similarity,
    batch: tuple[int, ...],
    pulled: Bool[Tensor, "*batch pixels"],
    ties: Bool[Tensor, "*tie_batch regions pixels"],
    smooth: Bool[Tensor, "*batch"],
) -> Bool[Tensor, "*batch"]:
    kinds = [kind for kind in (False, True) if bool((smooth == kind).any())]
    graphs = {kind: similarity.graphs(_least(similarity, linked=kind)) for kind in kinds}
    count = math.prod(similarity.batch_shape)
    which = torch.arange(count).reshape(similarity.batch_shape).expand(batch).reshape(-1)
    pins = pulled.reshape(-1, pulled.shape[-1]).cpu().numpy()
    # a length of -1 cannot be told where there are no regions
    shape = (math.prod(batch), *ties.shape[-2:])
    groups = ties.expand(*batch, *ties.shape[-2:]).reshape(shape).cpu().numpy()
    parts: dict[tuple[int, bool], tuple[Array, Array]] = {}
    held: list[bool] = []
    for problem, (index, linked) in enumerate(
        zip(which.numpy(), smooth.reshape(-1).cpu().numpy(), strict=True)
    ):
        key = (int(index), bool(linked))
        if key not in parts:
            parts[key] = _classes(graphs[key[1]][key[0]], key[1])
        held.append(_is_held(*parts[key], pins[problem], groups[problem]))
    return torch.tensor(held, device=pulled.device).reshape(batch)


def _classes(graph: csr_array, linked: bool) -> tuple[Array, Array]:
    """The class of each pixel, and of each class whether its level is its own.

    On each closed class of S (no similarity leads out of it) y = Sy makes y constant, by Perron and
    Frobenius, and elsewhere it is a mean of these constants. Where pixels are drawn to each other,
    too, y is constant on all that is connected.
    """
    count, part = cast(
        tuple[int, Array],
        csgraph.connected_components(
            graph, directed=True, connection="weak" if linked else "strong"
        ),
    )
    closed = np.ones(count, dtype=bool)
    entries = graph.tocoo()
    row, column = part[entries.row], part[entries.col]
    closed[row[row != column]] = False
    return part, closed


def _is_held(part: Array, closed: Array, pinned: Array, groups: Array) -> bool:
    """Whether y = Sy, pins at 0 and equal values in each group leave only y = 0."""
    zero = np.asarray(pinned, dtype=bool).copy()
    while True:
        before = zero.sum()
        known = np.zeros(len(closed), dtype=bool)
        known[part[zero]] = True
        zero |= (known & closed)[part]
        for group in groups:
            if zero[group].any():
                zero |= group
        if zero.sum() == before:
            return bool(zero[closed[part]].all())
