"""Prepares matrices made of blocks on edges for the compiled recurrence."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundstate_gcrf.block_cg_kernel import (
    advance_together,  # pyright: ignore[reportUnknownVariableType]
)
from groundstate_gcrf.compiled import Job, flatten, may_run, numbers_of
from groundstate_gcrf.energies.block_kernel import to_nodes
from groundstate_gcrf.preconditioners.diagonal import Diagonal
from groundstate_gcrf.preconditioners.making import Preconditioner
from groundstate_gcrf.recurrence import Recurrence
from groundstate_gcrf.structure import EdgeBlocks

Array = NDArray[Any]
_advance = cast(Callable[..., None], advance_together)


def block_job(
    recurrence: Recurrence, matrix: EdgeBlocks, preconditioner: Preconditioner
) -> Job | None:
    """That of blocks with a multiple of I as preconditioner; of others there is none."""
    batch, shape = recurrence.outcome.shape, recurrence.x.shape
    axes = len(shape) - len(batch)
    terms = [blocks for blocks, _ in matrix.parts]
    if not may_run(recurrence, (*terms, matrix.scale)) or not isinstance(preconditioner, Diagonal):
        return None
    inverse = preconditioner.inverse
    if any(size != 1 for size in inverse.shape[-axes:]):
        return None
    inverse = inverse.reshape(inverse.shape[: max(inverse.dim() - axes, 0)])
    labels = shape[len(batch)]
    moving = (recurrence.x, recurrence.remainder, recurrence.direction)
    nodewise = [to_nodes(each.detach().reshape(batch.numel(), labels, -1)) for each in moving]
    fields = [each.flatten(-2).numpy() for each in nodewise]
    flat = [flatten(each.detach(), batch, 3) for each in terms]
    begins, ends = (
        tuple(edges[end].contiguous().numpy() for _, edges in matrix.parts) for end in (0, 1)
    )
    which = np.stack([index for _, index in flat], axis=-1)

    def run(problems: Array, *rest: Any) -> None:
        own = which[problems[0]]
        blocks = tuple(each[k].reshape(-1) for (each, _), k in zip(flat, own, strict=True))
        _advance(problems, blocks, begins, ends, labels, *rest)

    def restore(field: Array) -> Tensor:
        values = torch.from_numpy(field).reshape(nodewise[0].shape)[..., :labels]
        return values.mT.reshape(shape)

    room = torch.zeros(batch, dtype=torch.float64)
    return Job(
        fields=(*fields, np.empty_like(fields[0])),
        numbers=numbers_of(recurrence, matrix.scale, inverse, room),
        groups=np.unique(which, axis=0, return_inverse=True)[1].reshape(-1),
        advance=run,
        restore=restore,
        cost=max(1, sum(each[0].size for each, _ in flat)),
    )
