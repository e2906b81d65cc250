"""Right-hand sides that share a matrix as its columns, so that it is factored once."""

import math
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float, Shaped
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Rearranges `[*batch, n]` against matrices `[*own, n, n]` whose batch broadcasts.

    Attributes:
        batch: batch shape of the problems.
        own: batch shape of the matrices, which broadcasts to `batch`.
    """

    batch: tuple[int, ...]
    own: tuple[int, ...]

    @cached_property
    def _padded(self) -> tuple[int, ...]:
        return (1,) * (len(self.batch) - len(self.own)) + self.own

    @cached_property
    def _kept(self) -> tuple[int, ...]:
        """The axes along which the matrices differ."""
        return tuple(axis for axis, size in enumerate(self._padded) if size != 1)

    @cached_property
    def _shared(self) -> tuple[int, ...]:
        return tuple(axis for axis, size in enumerate(self._padded) if size == 1)

    def matrices(self, values: Float[Tensor, "*own rows columns"]) -> Float[Tensor, "..."]:
        """One matrix for each `[*kept]`."""
        kept = tuple(self.batch[axis] for axis in self._kept)
        return values.reshape(*kept, *values.shape[-2:])

    def columns(self, rows: Float[Tensor, "*batch n"]) -> Float[Tensor, "*kept n columns"]:
        """Every right-hand side of a matrix as one of its columns."""
        kept = tuple(self.batch[axis] for axis in self._kept)
        count = math.prod(self.batch[axis] for axis in self._shared)
        last = len(self.batch)
        moved = rows.permute(*self._kept, last, *self._shared)
        return moved.reshape(*kept, rows.shape[-1], count)

    def sides(self, rows: Float[Tensor, "*batch n"]) -> Float[Tensor, "*kept count n"]:
        """Every right-hand side of a matrix as one row: no copy where all share one matrix."""
        kept = tuple(self.batch[axis] for axis in self._kept)
        count = math.prod(self.batch[axis] for axis in self._shared)
        moved = rows.permute(*self._kept, *self._shared, len(self.batch))
        return moved.reshape(*kept, count, rows.shape[-1])

    def unsides(self, sides: Float[Tensor, "*kept count n"]) -> Float[Tensor, "*batch n"]:
        """What `sides` did, undone."""
        order = (*self._kept, *self._shared, len(self.batch))
        back = [order.index(axis) for axis in range(len(self.batch) + 1)]
        sizes = (self.batch[axis] for axis in order[:-1])
        return sides.reshape(*sizes, sides.shape[-1]).permute(*back)

    def rows(self, columns: Float[Tensor, "*kept n columns"]) -> Float[Tensor, "*batch n"]:
        """What `columns` did, undone."""
        kept = tuple(self.batch[axis] for axis in self._kept)
        shared = tuple(self.batch[axis] for axis in self._shared)
        n = columns.shape[-2]
        order = (*self._kept, len(self.batch), *self._shared)
        back = [order.index(axis) for axis in range(len(self.batch) + 1)]
        return columns.reshape(*kept, n, *shared).permute(*back)

    def spread(self, values: Shaped[Tensor, "*own"]) -> Shaped[Tensor, "*batch"]:
        """One number per matrix as one per problem."""
        return values.reshape(self._padded).expand(self.batch)
