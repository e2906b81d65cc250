"""The supporting interfaces: datasets, metrics and readers of problem files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from groundstate.energy import Energy

Pictures = Mapping[str, UInt8[Tensor, "height width 3"]]
"""Pictures by title."""


@runtime_checkable
class Dataset(Protocol):
    """The real input of a pipeline, and how to look at it."""

    def load(self) -> Mapping[str, object]:
        """Its outputs by name, as the component's `gives` lists them."""
        ...

    def pictures(self, outputs: Mapping[str, object], x: Shaped[Tensor, "..."] | None) -> Pictures:
        """Pictures of the input (x is None), or of a configuration that a solver found."""
        ...


@runtime_checkable
class Metric(Protocol):
    """One number that says how good a configuration is; what it is compared with is part of it."""

    @property
    def higher_is_better(self) -> bool: ...

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "*batch"]: ...


@runtime_checkable
class Reader(Protocol):
    """A file format of problems."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File name endings it takes, such as `.uai`."""
        ...

    def read(self, path: Path) -> Energy:
        """The problem in the file.

        Raises:
            FormatError: with the line and what was expected there.
        """
        ...

    def write(self, energy: Energy, path: Path) -> None:
        """Write the problem so that `read` gives an equal one back."""
        ...
