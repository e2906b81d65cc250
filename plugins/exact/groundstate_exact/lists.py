"""Whole numbers of tensors and arrays as lists, with types, which torch and NumPy leave open."""

from typing import Any, cast

from numpy.typing import NDArray
from torch import Tensor


def listed(values: Tensor) -> list[Any]:
    """Nested lists of numbers."""
    return cast("list[Any]", cast(Any, values).tolist())


def numbers(values: NDArray[Any]) -> list[int]:
    """The numbers of a flat array."""
    return cast("list[int]", values.tolist())


def rows(values: NDArray[Any]) -> list[list[int]]:
    """The numbers of an array, row by row."""
    return cast("list[list[int]]", values.tolist())
