"""Runs the compiled recurrence on torch tensors, one thread per share of the problems."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_gcrf.recurrence import Recurrence
from groundstate_gcrf.stencil_kernel import advance  # pyright: ignore[reportUnknownVariableType]
from groundstate_gcrf.structure import GridStencil, common_shape

Array = NDArray[Any]
_advance = cast(Callable[..., None], advance)
_WORK = 100_000_000
"""Entry updates between two looks at the deadline, a fifth of a second or so."""


def fits(recurrence: Recurrence, stencil: GridStencil) -> bool:
    """Whether compiled code can do it: numbers on a CPU that carry no graph."""
    x = recurrence.x
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or not x.numel():
        return False
    # the remainder is b - Ax, so it carries the graph of b
    parts = (x, recurrence.remainder, stencil.diagonal, stencil.right, stencil.down)
    return not (torch.is_grad_enabled() and any(part.requires_grad for part in parts))


def iterate_compiled(
    recurrence: Recurrence,
    stencil: GridStencil,
    inverse: Float[Tensor, "..."],
    count: int,
    deadline: Deadline,
) -> Recurrence:
    """What `groundstate_gcrf.recurrence.iterate` does, with a diagonal preconditioner `inverse`."""
    batch = recurrence.outcome.shape
    height, width = recurrence.x.shape[-2:]
    inverse = inverse.expand(common_shape(inverse.shape, (height, width)))
    flat = [_flatten(part.detach(), batch) for part in _parts(inverse, stencil)]
    matrices = tuple(array for array, _ in flat)
    which = np.stack([index for _, index in flat], axis=-1)
    moving = (recurrence.x, recurrence.remainder, recurrence.direction)
    fields = tuple(each.detach().reshape(-1, height, width).numpy().copy() for each in moving)
    scalars = (recurrence.beta, recurrence.energy_norm, recurrence.scale, recurrence.goal)
    numbers = np.stack([each.reshape(-1).double().numpy() for each in scalars], axis=-1)
    numbers = np.concatenate([numbers, np.zeros_like(numbers[:, :1])], axis=-1)
    status = recurrence.outcome.reshape(-1).numpy().copy()
    iterations = recurrence.iterations.reshape(-1).numpy().copy()
    epsilon = torch.finfo(recurrence.x.dtype).eps
    while count > 0 and not deadline.passed:
        eager = np.flatnonzero((status == Status.RUNNING) & (numbers[:, 4] == 0))
        if not eager.size:
            break
        share = max(1, min(count, _WORK // (eager.size * height * width)))
        common = (which, fields, matrices, numbers, status, iterations, epsilon, share)
        _in_threads(eager, common)
        count -= share
    x, remainder, direction = (
        torch.from_numpy(each).reshape(recurrence.x.shape) for each in fields
    )

    def back(values: Array, like: Tensor) -> Tensor:
        return torch.from_numpy(values.copy()).to(like.dtype).reshape(batch)

    return replace(
        recurrence,
        x=x,
        remainder=remainder,
        direction=direction,
        beta=back(numbers[:, 0], recurrence.beta),
        energy_norm=back(numbers[:, 1], recurrence.energy_norm),
        outcome=back(status, recurrence.outcome),
        iterations=back(iterations, recurrence.iterations),
    )


def _in_threads(problems: Array, common: tuple[Any, ...]) -> None:
    threads = min(torch.get_num_threads(), len(problems))
    if threads == 1:
        _advance(problems, *common)
        return
    # plain threads, for the kernel holds no lock: no second thread pool beside torch's
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(_advance, problems[i::threads].copy(), *common) for i in range(threads)]
        for job in jobs:
            job.result()


def _parts(inverse: Tensor, stencil: GridStencil) -> tuple[Tensor, ...]:
    return inverse, stencil.diagonal, stencil.right, stencil.down


def _flatten(part: Tensor, batch: torch.Size) -> tuple[Array, Array]:
    """The different matrices of a part, and which of them each problem has."""
    own = part.shape[:-2]
    index = torch.arange(own.numel()).reshape(own).expand(batch)
    values = part.reshape(own.numel(), *part.shape[-2:]).contiguous()
    return values.numpy(), index.reshape(-1).numpy()
