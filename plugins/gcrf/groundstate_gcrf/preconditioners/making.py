"""The preconditioners by name.

A preconditioner is a value: a frozen dataclass of tensors with a method `apply`, so that it is made
once, when a solve begins, and lives in the solver's state. M⁻¹ must be symmetric and positive
definite. To add one, write a function from the energy to it, and name it in `MAKERS`.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy
from groundstate_gcrf.preconditioners.blocks import block_jacobi
from groundstate_gcrf.preconditioners.diagonal import identity, jacobi
from groundstate_gcrf.preconditioners.hierarchy import multigrid

Name = Literal["none", "jacobi", "block-jacobi", "multigrid"]


@runtime_checkable
class Preconditioner(Protocol):
    """M⁻¹, which stands for A⁻¹."""

    def apply(self, remainder: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """M⁻¹r for every problem, in the shape of a configuration."""
        ...


MAKERS: Mapping[Name, Callable[[Energy, int], Preconditioner]] = {
    "none": lambda energy, _: identity(energy),
    "jacobi": lambda energy, _: jacobi(energy),
    "block-jacobi": block_jacobi,
    "multigrid": lambda energy, _: multigrid(energy),
}
"""From the energy, and the most variables that a block may have.

Raise:
    ViewError: if the energy does not have the structure that is needed.
"""
