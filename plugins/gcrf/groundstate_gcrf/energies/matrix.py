"""What the matrix of a Gaussian CRF can do, and the one energy made of a matrix and b."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Views
from groundstate.space import Real
from groundstate.views import Density, Quadratic
from groundstate_gcrf.density import gaussian_density
from groundstate_gcrf.kept import Kept
from groundstate_gcrf.structure import common_shape


@runtime_checkable
class Matrix(Protocol):
    """A symmetric matrix A over configurations, given by its parameters.

    Whoever implements it is a frozen dataclass of tensors, so that it can be moved and learned.
    """

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the independent matrices."""
        ...

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one configuration."""
        ...

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """A times x, on `[*sample, *batch, *event]`; differentiable in the parameters."""
        ...

    def diagonal(self) -> Float[Tensor, "..."]:
        """The diagonal of A, broadcastable to `[*batch, *event]`."""
        ...

    def floor(self) -> Float[Tensor, "..."]:
        """A certified lower bound on the smallest eigenvalue, per matrix; not above 0: unknown."""
        ...

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        """What it gives besides `Quadratic`, with this linear term."""
        ...


@dataclass(frozen=True, kw_only=True)
class GaussianCrf:
    """E(x) = ½xᵀAx - bᵀx + c, with all parameters tensors that may be learned.

    Attributes:
        matrix: A; its batch dimensions broadcast against those of `linear`.
        linear: b, `[*batch, *event]`; higher scores lower the energy of high values.
        constant: c, in nats.

    Raises:
        TypeError: for tensors of different floating-point types.
        ValueError: for a linear term that does not fit the matrix.
    """

    matrix: Matrix
    linear: Float[Tensor, "..."]
    constant: Float[Tensor, "..."] = field(default_factory=lambda: torch.zeros(()))

    def __post_init__(self) -> None:
        if self.constant.dtype != self.linear.dtype or self.constant.device != self.linear.device:
            if bool((self.constant != 0).any()):
                raise TypeError(
                    f"constant must be {self.linear.dtype} on {self.linear.device} as the linear "
                    f"term is, got {self.constant.dtype} on {self.constant.device}"
                )
            object.__setattr__(self, "constant", self.linear.new_zeros(self.constant.shape))
        kinds = {each.dtype for each in _floating((self.matrix, self.linear))}
        if len(kinds) > 1:
            raise TypeError(
                "all parameters and the linear term must have one floating-point type, got "
                + ", ".join(sorted(str(kind) for kind in kinds))
            )
        event = self.matrix.event_shape
        if 0 in event:
            raise ValueError(f"a configuration must have at least one variable, got shape {event}")
        shape = tuple(self.linear.shape)
        if len(shape) < len(event) or shape[len(shape) - len(event) :] != event:
            raise ValueError(
                f"the unary (linear) term must have a shape that ends in {event}, as the pairwise "
                f"parameters say, got {shape}"
            )
        self._check_batches(shape[: len(shape) - len(event)])

    def _check_batches(self, own: tuple[int, ...]) -> None:
        try:
            common_shape(own, self.matrix.batch_shape)
        except RuntimeError as error:
            raise ValueError(
                f"batch dimensions must broadcast, got {own} for the unary term and "
                f"{self.matrix.batch_shape} for the pairwise parameters"
            ) from error

    @property
    def space(self) -> Real:
        return self._space

    @cached_property
    def _space(self) -> Real:
        event = self.matrix.event_shape
        own = tuple(self.linear.shape[: self.linear.dim() - len(event)])
        return Real(
            event_shape=event,
            batch_shape=common_shape(own, self.matrix.batch_shape),
            dtype=self.linear.dtype,
            device=self.linear.device,
        )

    @property
    def views(self) -> Views:
        expanded = self.linear.expand(self.space.layout.shape)
        return {
            **self.matrix.structure(expanded),
            Density: lambda: gaussian_density(self),
            Quadratic: lambda: self.quadratic,
        }

    def __call__(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        space = self.space
        # ½Ax - b, twice, in one pass
        double = torch.sub(self.matrix.matvec(x), self.linear, alpha=2)
        return 0.5 * space.layout.dot(x, double) + self.constant

    @property
    def quadratic(self) -> Quadratic:
        learned = any(each.requires_grad for each in self._parameters)
        return self._make() if learned else self._kept.get(self._parameters, self._make)

    @cached_property
    def _parameters(self) -> tuple[Tensor, ...]:
        """Found once: every look at the quadratic form asks whether they are learned."""
        return tuple(_floating(self))

    @cached_property
    def _kept(self) -> Kept[Quadratic]:
        return Kept()

    def _make(self) -> Quadratic:
        return Quadratic(
            matvec=self.matrix.matvec,
            linear=self.linear.expand(self.space.layout.shape),
            constant=self.constant.expand(self.space.batch_shape),
            diagonal=self.matrix.diagonal(),
            floor=self._floor(),
        )

    @cached_property
    def _kept_floor(self) -> Kept[Tensor | None]:
        return Kept()

    def _floor(self) -> Float[Tensor, "*batch"] | None:
        return self._kept_floor.get(tuple(_floating(self.matrix)), self._find_floor)

    @torch.no_grad()
    def _find_floor(self) -> Float[Tensor, "*batch"] | None:
        # a copy, for it may be a parameter itself, which is changed in place
        found = self.matrix.floor().detach().clone()
        return found.expand(self.space.batch_shape) if bool((found > 0).all()) else None


def _floating(thing: object) -> Iterator[Tensor]:
    """Every floating-point tensor inside a dataclass or tuple."""
    if isinstance(thing, Tensor):
        if thing.is_floating_point():
            yield thing
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        for each in dataclasses.fields(thing):
            yield from _floating(getattr(thing, each.name))
    elif isinstance(thing, tuple | list):
        for item in cast(tuple[Any, ...], thing):
            yield from _floating(item)


def spread(values: Float[Tensor, "..."], dimensions: int) -> Float[Tensor, "..."]:
    """One value per problem as something that broadcasts over `dimensions` event dimensions."""
    return values.reshape(*values.shape, *(1,) * dimensions)


def as_scale(
    value: float | Tensor, like: Float[Tensor, "..."], *, name: str = "diagonal"
) -> Float[Tensor, "..."]:
    """λ as a tensor of the type of `like`.

    Raises:
        ValueError: if it is not above 0: then A is singular or indefinite.
    """
    scale = torch.as_tensor(value, dtype=like.dtype, device=like.device)
    bad = ~((scale > 0) & scale.isfinite())
    if bool(bad.any()):
        raise ValueError(
            f"{name} must be finite and above 0, got {float(scale[bad][0])}; raise it until the "
            "energy has one minimum"
        )
    return scale
