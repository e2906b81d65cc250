"""States and saved things through `torch.save`, and their comparison."""

import io
from typing import Any, TypeVar

import torch

from groundstate.solver import State
from groundstate.testing.saying import require
from groundstate.testing.trees import equal, tensors

T = TypeVar("T")


def reloaded(obj: T) -> T:
    """What comes back after `torch.save` and `torch.load`, in memory."""
    buffer = io.BytesIO()
    try:
        torch.save(obj, buffer)
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        require(False, f"{type(obj).__name__} must be data that `torch.save` can store: {error}")
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def equal_states(got: State, expected: State, what: str) -> None:
    """Hold two states to be equal bit by bit, in every field that decides what comes next."""
    found = dict(tensors(got))
    for name, tensor in tensors(expected):
        require(name in found, f"{what}.{name} is missing")
        equal(found[name], tensor, f"{what}.{name}")


def storages(obj: Any) -> set[int]:
    """Addresses of the memory behind every tensor inside."""
    return {tensor.untyped_storage().data_ptr() for _, tensor in tensors(obj) if tensor.numel()}
