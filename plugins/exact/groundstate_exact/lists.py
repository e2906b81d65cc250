"""Whole numbers of a tensor as Python lists, with a type; torch leaves that open."""

from typing import Any, cast

from torch import Tensor


def listed(values: Tensor) -> list[Any]:
    """Nested lists of numbers."""
    return cast("list[Any]", cast(Any, values).tolist())
