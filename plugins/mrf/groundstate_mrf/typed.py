"""Tensor methods that torch leaves without annotations, with types; nothing else."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor


def split_axis(values: Tensor, sizes: Sequence[int], axis: int = -1) -> Tensor:
    """The tensor with one axis as several, of these sizes."""
    return cast(Tensor, values.unflatten(axis, tuple(sizes)))


def pieces(values: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """The tensor cut along its last axis into pieces of these sizes."""
    return torch.split(values, list(sizes), dim=-1)


def whole(values: Tensor) -> list[int]:
    """A flat tensor of whole numbers as a list."""
    return cast("list[int]", cast(Any, values).tolist())


def reals(values: Tensor) -> list[float]:
    """A flat tensor of numbers as a list."""
    return cast("list[float]", cast(Any, values).tolist())


def distinct(values: Tensor) -> list[int]:
    """The different whole numbers in a tensor, sorted."""
    return sorted(set(whole(values.flatten())))


def common_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that these shapes broadcast to."""
    return tuple(cast(Any, torch).broadcast_shapes(*(tuple(each) for each in shapes)))


def distinct_rows(values: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of a matrix, and which of them each row is."""
    rows, inverse = cast(Any, torch).unique(values, dim=0, return_inverse=True)
    return rows, inverse
