"""Runs the compiled recurrence on torch tensors, one thread per share of the problems."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_gcrf.preconditioners.diagonal import Diagonal
from groundstate_gcrf.preconditioners.multigrid import Multigrid, starts
from groundstate_gcrf.recurrence import Recurrence
from groundstate_gcrf.stencil_kernel import advance  # pyright: ignore[reportUnknownVariableType]
from groundstate_gcrf.structure import GridStencil, common_shape

Array = NDArray[Any]
_advance = cast(Callable[..., None], advance)
_WORK = 100_000_000
"""Entry updates between two looks at the deadline, a fifth of a second or so."""
_CYCLE = 10
"""What a multigrid cycle costs, in iterations without one."""
_LEAST = 16
"""Iterations with cycles before a look: each look costs one more cycle."""


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
    preconditioner: Diagonal | Multigrid,
    count: int,
    deadline: Deadline,
) -> Recurrence:
    """What `groundstate_gcrf.recurrence.iterate` does, for the matrices of a stencil."""
    batch = recurrence.outcome.shape
    height, width = recurrence.x.shape[-2:]
    flat = _matrices(stencil, preconditioner, batch, (height, width), recurrence.x.dtype)
    moving = (recurrence.x, recurrence.remainder, recurrence.direction)
    fields = tuple(each.detach().reshape(-1, height, width).numpy().copy() for each in moving)
    scalars = (recurrence.beta, recurrence.scale, recurrence.goal, torch.zeros(batch))
    numbers = np.stack([each.reshape(-1).double().numpy() for each in scalars], axis=-1)
    status = recurrence.outcome.reshape(-1).numpy().copy()
    iterations = recurrence.iterations.reshape(-1).numpy().copy()
    epsilon = torch.finfo(recurrence.x.dtype).eps
    while count > 0 and not deadline.passed:
        wanting = (status == Status.RUNNING) & (numbers[:, 3] == 0) & ~np.isnan(numbers[:, 0])
        eager = np.flatnonzero(wanting)
        if not eager.size:
            break
        share = _WORK // (eager.size * height * width)
        share = max(_LEAST, share // _CYCLE) if flat.sizes.size else max(1, share)
        share = min(count, share)
        common = (flat.which, fields, flat.matrices, flat.grids, flat.sizes)
        _in_threads(eager, (*common, numbers, status, iterations, epsilon, share))
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
        outcome=back(status, recurrence.outcome),
        iterations=back(iterations, recurrence.iterations),
    )


@dataclass(frozen=True, kw_only=True)
class _Matrices:
    """What the kernel reads, as `advance` in `groundstate_gcrf.stencil_kernel` wants it."""

    which: Array
    matrices: tuple[Array, ...]
    grids: Array
    sizes: Array


def _matrices(
    stencil: GridStencil,
    preconditioner: Diagonal | Multigrid,
    batch: torch.Size,
    event: tuple[int, int],
    dtype: torch.dtype,
) -> _Matrices:
    if isinstance(preconditioner, Multigrid):
        inverse, grids = torch.ones(1, event[1], dtype=dtype), preconditioner.numbers
        sizes = _sizes(preconditioner)
    else:
        inverse = preconditioner.inverse
        inverse = inverse.expand(common_shape(inverse.shape, event))
        grids, sizes = torch.zeros(0, dtype=dtype), np.zeros((0, 4), dtype=np.int64)
    parts = (stencil.diagonal, stencil.right, stencil.down, inverse)
    flat = [_flatten(part.detach(), batch, 2) for part in parts]
    flat.append(_flatten(grids.detach(), batch, 1))
    return _Matrices(
        which=np.stack([index for _, index in flat], axis=-1),
        matrices=tuple(array for array, _ in flat[:4]),
        grids=flat[4][0],
        sizes=sizes,
    )


def _sizes(multigrid: Multigrid) -> Array:
    """Of each grid: height, width, where it starts, and where in a space for two fields each."""
    sizes = np.array(multigrid.sizes, dtype=np.int64)
    fields = 2 * sizes.prod(axis=1)
    return np.column_stack([sizes, starts(multigrid.sizes), fields.cumsum() - fields])


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


def _flatten(part: Tensor, batch: torch.Size, axes: int) -> tuple[Array, Array]:
    """The different matrices of a part with so many axes, and which of them each problem has."""
    own, shape = part.shape[: part.dim() - axes], part.shape[part.dim() - axes :]
    index = torch.arange(own.numel()).reshape(own).expand(batch)
    values = part.reshape(own.numel(), *shape).contiguous()
    return values.numpy(), index.reshape(-1).numpy()
