"""Runs the compiled recurrences on torch tensors, each group of problems in a thread."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_gcrf.preconditioners.diagonal import Diagonal
from groundstate_gcrf.preconditioners.making import Preconditioner
from groundstate_gcrf.preconditioners.multigrid import Multigrid, starts
from groundstate_gcrf.recurrence import Recurrence
from groundstate_gcrf.stencil_kernel import advance  # pyright: ignore[reportUnknownVariableType]
from groundstate_gcrf.structure import GridStencil, common_shape
from groundstate_gcrf.threads import run_all

Array = NDArray[Any]
_advance = cast(Callable[..., None], advance)
_WORK = 100_000_000
"""Entry updates between two looks at the deadline, a fifth of a second or so."""
_CYCLE = 10
"""What a multigrid cycle costs, in iterations without one."""
_LEAST = 16
"""Iterations with cycles before a look: each look costs one more cycle."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Problems in the form that compiled code wants.

    Attributes:
        fields: x, remainder and direction, which may be written, and what else it needs.
        numbers: beta, scale, goal of each problem, and whether it got there, in float64; then what
            else it needs.
        groups: of each problem; those of one group are advanced by one call.
        advance: `(problems, fields, numbers, status, iterations, epsilon, count)`: at most `count`
            iterations of some problems, in place.
        restore: from such a field to the shape of a configuration.
        cost: entry updates of a problem in one iteration.
        least: iterations before a look at the deadline.
    """

    fields: tuple[Array, ...]
    numbers: Array
    groups: Array
    advance: Callable[..., None]
    restore: Callable[[Array], Tensor]
    cost: int
    least: int = 1


def may_run(recurrence: Recurrence, parts: Iterable[Tensor]) -> bool:
    """Whether compiled code can do it: numbers on a CPU that carry no graph."""
    x = recurrence.x
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64) or not x.numel():
        return False
    # the remainder is b - Ax, so it carries the graph of b
    carriers = (x, recurrence.remainder, *parts)
    return not (torch.is_grad_enabled() and any(each.requires_grad for each in carriers))


def numbers_of(recurrence: Recurrence, *more: Tensor) -> Array:
    """The scalars of each problem, as `Job` wants them, and more of them."""
    batch = recurrence.outcome.shape
    scalars = (recurrence.beta, recurrence.scale, recurrence.goal, torch.zeros(batch), *more)
    columns = [each.detach().expand(batch).reshape(-1).double().numpy() for each in scalars]
    return np.stack(columns, axis=-1)


def iterate_compiled(
    recurrence: Recurrence, job: Job, count: int, deadline: Deadline
) -> Recurrence:
    """What `groundstate_gcrf.recurrence.iterate` does, by a job."""
    batch, numbers = recurrence.outcome.shape, job.numbers
    status = recurrence.outcome.reshape(-1).numpy().copy()
    iterations = recurrence.iterations.reshape(-1).numpy().copy()
    epsilon = torch.finfo(recurrence.x.dtype).eps
    while count > 0 and not deadline.passed:
        wanting = (status == Status.RUNNING) & (numbers[:, 3] == 0) & ~np.isnan(numbers[:, 0])
        eager = np.flatnonzero(wanting)
        if not eager.size:
            break
        share = min(count, max(job.least, _WORK // (eager.size * job.cost)))
        rest = (job.fields, numbers, status, iterations, epsilon, share)
        run_all([partial(job.advance, each, *rest) for each in _by_group(eager, job.groups)])
        count -= share
    x, remainder, direction = (job.restore(each) for each in job.fields[:3])

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


def stencil_job(
    recurrence: Recurrence, stencil: GridStencil, preconditioner: Preconditioner
) -> Job | None:
    """That of a stencil with a diagonal or multigrid as preconditioner; of others there is none."""
    if not isinstance(preconditioner, Diagonal | Multigrid):
        return None
    if not may_run(recurrence, (stencil.diagonal, stencil.right, stencil.down)):
        return None
    batch = recurrence.outcome.shape
    height, width = recurrence.x.shape[-2:]
    flat = _matrices(stencil, preconditioner, batch, (height, width), recurrence.x.dtype)
    moving = (recurrence.x, recurrence.remainder, recurrence.direction)
    cycles = bool(flat.sizes.size)

    def run(problems: Array, fields: tuple[Array, ...], *rest: Any) -> None:
        _advance(problems, flat.which, fields, flat.matrices, flat.grids, flat.sizes, *rest)

    return Job(
        fields=tuple(each.detach().reshape(-1, height, width).numpy().copy() for each in moving),
        numbers=numbers_of(recurrence),
        groups=np.arange(batch.numel()) % torch.get_num_threads(),
        advance=run,
        restore=lambda field: torch.from_numpy(field).reshape(recurrence.x.shape),
        cost=height * width * (_CYCLE if cycles else 1),
        least=_LEAST if cycles else 1,
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
    flat = [flatten(part.detach(), batch, 2) for part in parts]
    flat.append(flatten(grids.detach(), batch, 1))
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


def _by_group(problems: Array, groups: Array) -> list[Array]:
    order = problems[np.argsort(groups[problems], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def flatten(part: Tensor, batch: torch.Size, axes: int) -> tuple[Array, Array]:
    """The different matrices of a part with so many axes, and which of them each problem has."""
    own, shape = part.shape[: part.dim() - axes], part.shape[part.dim() - axes :]
    index = torch.arange(own.numel()).reshape(own).expand(batch)
    values = part.reshape(own.numel(), *shape).contiguous()
    return values.numpy(), index.reshape(-1).numpy()
