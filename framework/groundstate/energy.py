"""The Energy interface, and the few energies that are no method: wrappers the core itself needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.errors import ViewError
from groundstate.space import Space
from groundstate.views import MatrixView, Quadratic

V = TypeVar("V")
Views = Mapping[type, Callable[[], object]]
"""What structure an energy declares: each view it gives, and how to make it."""


@runtime_checkable
class Energy(Protocol):
    """`E(x)` in nats: lower is better, and p(x) ∝ exp(-E(x)).

    Continuous and discrete energies are one concept; the space tells. Parameters, data and graph
    are part of the energy, so `x` is the only argument.
    """

    @property
    def space(self) -> Space:
        """The configurations it is defined on."""
        ...

    @property
    def views(self) -> Views:
        """The structure it declares, each view made on demand; empty where there is none."""
        ...

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """Energy of each configuration: `[*sample, *batch, *event]` to `[*sample, *batch]`."""
        ...


def view(energy: Energy, kind: type[V]) -> V:
    """The view of `energy` that a solver or loss asks for.

    Raises:
        ViewError: if the energy does not declare it, or declares something else under its name.
    """
    make = energy.views.get(kind)
    if make is None:
        given = ", ".join(sorted(each.__name__ for each in energy.views)) or "none"
        raise ViewError(
            f"the view {kind.__name__} is needed, but {type(energy).__name__} gives: {given}. "
            f"Choose a solver that needs one of these, or an adapter that gives {kind.__name__} "
            f"(`groundstate components adapter`)."
        )
    found = make()
    if not isinstance(found, kind):
        raise ViewError(
            f"{type(energy).__name__} declares {kind.__name__} but made a {type(found).__name__}"
        )
    return found


@dataclass(frozen=True, kw_only=True)
class FunctionEnergy:
    """A function and the space it is defined on, as an energy without declared structure.

    Attributes:
        function: maps `[*sample, *batch, *event]` to `[*sample, *batch]`, in nats.
        space: the configurations it takes.
    """

    function: Callable[[Tensor], Tensor]
    space: Space

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.function(x)


@dataclass(frozen=True, kw_only=True)
class QuadraticEnergy:
    """The energy that a `Quadratic` view describes: E(x) = ½xᵀAx - bᵀx + c.

    Attributes:
        quadratic: A, b and c.
        space: real configurations.
        structure: further views of A.
    """

    quadratic: Quadratic
    space: Space
    structure: Views = field(default_factory=dict[type, Callable[[], object]])

    @property
    def views(self) -> Views:
        return {**self.structure, Quadratic: lambda: self.quadratic}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return evaluate_quadratic(self.quadratic, self.space, x)


def evaluate_quadratic(
    quadratic: Quadratic, space: Space, x: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """½xᵀAx - bᵀx + c for each configuration, in nats."""
    half = 0.5 * quadratic.matvec(x) - quadratic.linear
    return space.layout.dot(x, half) + quadratic.constant


def with_linear(energy: Energy, linear: Float[Tensor, "..."]) -> QuadraticEnergy:
    """The same quadratic form with another linear term b, and so another minimiser A⁻¹b.

    Views that describe A alone (sparsity, rank) are kept; the constant becomes 0.
    """
    quadratic = view(energy, Quadratic)
    zero = quadratic.constant.new_zeros(())
    kept = {kind: make for kind, make in energy.views.items() if issubclass(kind, MatrixView)}
    return QuadraticEnergy(
        quadratic=replace(quadratic, linear=linear, constant=zero),
        space=energy.space,
        structure=kept,
    )
