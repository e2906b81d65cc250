"""Configuration spaces: what an energy may be asked about.

Every energy has a `space`, and everything that needs configurations draws on it: laws, solvers, the
loops. Shapes follow `torch.distributions`: sample, batch, event.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

_CPU = torch.device("cpu")


def first(where: Bool[Tensor, "..."]) -> tuple[int, ...]:
    """Index of the first True."""
    return tuple(int(each) for each in where.nonzero()[0])


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the batch and the event are in the shape of a configuration.

    Attributes:
        batch_shape: shape of the independent problems an energy holds.
        event_shape: shape of one configuration.
        segments: the problem each variable belongs to, where problems of different sizes lie end to
            end in one flat event (see `groundstate.union`); None where all have the same shape.
    """

    batch_shape: tuple[int, ...] = ()
    event_shape: tuple[int, ...] = ()
    segments: Int[Tensor, " variables"] | None = None

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one configuration of every problem: batch and event, or the flat event."""
        return (
            self.event_shape if self.segments is not None else self.batch_shape + self.event_shape
        )

    def sample_shape(self, x: Shaped[Tensor, "..."]) -> tuple[int, ...]:
        """What stands before batch and event in the shape of `x`.

        Raises:
            ValueError: if `x` does not end in this layout's shape.
        """
        dimensions = x.dim() - len(self.shape)
        if dimensions < 0 or tuple(x.shape[dimensions:]) != self.shape:
            raise ValueError(
                f"a configuration must have a shape that ends in {self.shape} "
                f"(batch {self.batch_shape}, event {self.event_shape}), got {tuple(x.shape)}"
            )
        return tuple(x.shape[:dimensions])

    def expand(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """One value per problem, `[*sample, *batch]`, as something that broadcasts over x."""
        if self.segments is not None:
            return values[..., self.segments]
        return values.reshape(values.shape + (1,) * len(self.event_shape))

    def sum(self, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Sum of an x-shaped tensor over each configuration: `[*sample, *batch]`."""
        if self.segments is not None:
            (problems,) = self.batch_shape
            zeros = values.new_zeros((*values.shape[:-1], problems))
            return zeros.index_add(-1, self.segments, values)
        if not self.event_shape:
            return values
        return values.sum(dim=tuple(range(-len(self.event_shape), 0)))

    def dot(
        self, left: Shaped[Tensor, "..."], right: Shaped[Tensor, "..."]
    ) -> Shaped[Tensor, "..."]:
        """Inner product of x-shaped tensors within each configuration: `[*sample, *batch]`."""
        return self.sum(left * right)


@dataclass(frozen=True, kw_only=True)
class Discrete:
    """Labels 0, 1, ... for each variable; the number of labels may differ per variable.

    Attributes:
        counts: how many labels each variable has; its shape is the event shape.
        batch_shape: shape of the independent problems.
        segments: see `Layout`.
    """

    counts: Int[Tensor, "*event"]
    batch_shape: tuple[int, ...] = ()
    segments: Int[Tensor, " variables"] | None = None

    def __post_init__(self) -> None:
        if self.counts.numel() and int(self.counts.min()) < 1:
            raise ValueError(f"every variable needs at least 1 label, got {int(self.counts.min())}")

    @cached_property
    def layout(self) -> Layout:
        return Layout(
            batch_shape=self.batch_shape,
            event_shape=tuple(self.counts.shape),
            segments=self.segments,
        )

    @property
    def dtype(self) -> torch.dtype:
        return torch.int64

    @property
    def device(self) -> torch.device:
        return self.counts.device

    def validate(self, x: Shaped[Tensor, "..."]) -> None:
        """Refuse anything that is not a labelling.

        Raises:
            TypeError: if `x` does not hold int64.
            ValueError: for another shape, or a label out of range (naming the first such variable).
        """
        if x.dtype != torch.int64:
            raise TypeError(f"labels must be torch.int64, got {x.dtype}; convert with `x.long()`")
        self.layout.sample_shape(x)
        outside = (x < 0) | (x >= self.counts)
        if bool(outside.any()):
            where = first(outside)
            event = where[x.dim() - self.counts.dim() :]
            raise ValueError(
                f"labels must lie in 0 ... counts - 1: variable {event} has "
                f"{int(self.counts[event])} labels, got {int(x[where])}"
            )

    def sample(
        self, rng: torch.Generator, sample_shape: Sequence[int] = ()
    ) -> Int[Tensor, "*shape"]:
        """Labels drawn uniformly, `[*sample, *batch, *event]`."""
        shape = (*sample_shape, *self.layout.shape)
        uniform = torch.rand(shape, generator=rng, device=rng.device, dtype=torch.float64)
        labels = (uniform.to(self.device) * self.counts).long()
        return torch.minimum(labels, self.counts - 1)


@dataclass(frozen=True, kw_only=True)
class Real:
    """Real numbers, optionally between bounds.

    Attributes:
        event_shape: shape of one configuration.
        batch_shape: shape of the independent problems.
        lower: smallest value allowed.
        upper: largest value allowed.
        dtype: floating-point type of configurations.
        device: where configurations live.
        segments: see `Layout`.
    """

    event_shape: tuple[int, ...]
    batch_shape: tuple[int, ...] = ()
    lower: float = float("-inf")
    upper: float = float("inf")
    dtype: torch.dtype = torch.float32
    device: torch.device = _CPU
    segments: Int[Tensor, " variables"] | None = None

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}")
        if not self.dtype.is_floating_point:
            raise TypeError(f"dtype must be a floating-point type, got {self.dtype}")

    @cached_property
    def layout(self) -> Layout:
        return Layout(
            batch_shape=self.batch_shape, event_shape=self.event_shape, segments=self.segments
        )

    def validate(self, x: Shaped[Tensor, "..."]) -> None:
        """Refuse anything that is not a configuration; NaN passes, for it says *diverged*.

        Raises:
            TypeError: if `x` is not of this space's dtype.
            ValueError: for another shape, or a value outside the bounds.
        """
        if x.dtype != self.dtype:
            raise TypeError(f"values must be {self.dtype}, got {x.dtype}; convert with `x.to(...)`")
        self.layout.sample_shape(x)
        if self.lower == float("-inf") and self.upper == float("inf"):
            return
        outside: Bool[Tensor, "..."] = (x < self.lower) | (x > self.upper)
        if bool(outside.any()):
            raise ValueError(
                f"values must lie in [{self.lower}, {self.upper}], got {float(x[outside][0])}"
            )

    def sample(self, rng: torch.Generator, sample_shape: Sequence[int] = ()) -> Tensor:
        """Values drawn uniformly between finite bounds, else from a standard normal, clamped."""
        shape = (*sample_shape, *self.layout.shape)
        if self.lower > float("-inf") and self.upper < float("inf"):
            uniform = torch.rand(shape, generator=rng, device=rng.device, dtype=self.dtype)
            return (self.lower + (self.upper - self.lower) * uniform).to(self.device)
        normal = torch.randn(shape, generator=rng, device=rng.device, dtype=self.dtype)
        return normal.clamp(self.lower, self.upper).to(self.device)


Space = Discrete | Real
