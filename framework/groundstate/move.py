"""Moving anything made of tensors to another device or floating-point type."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

T = TypeVar("T")


def to(obj: T, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> T:
    """A copy of `obj` with every tensor inside it moved; `obj` itself is left alone.

    Goes through modules, frozen dataclasses, tuples, lists and mappings. `dtype` applies to
    floating-point tensors and to `torch.dtype` fields; labels stay integers. Anything else, such as
    a function that closes over tensors, is kept as it is.

    Args:
        obj: an energy, a space, a state, a batch, ...
        device: where to; None stays.
        dtype: floating-point type; None stays.
    """
    return cast(T, _moved(obj, None if device is None else torch.device(device), dtype))


def _moved(obj: Any, device: torch.device | None, dtype: torch.dtype | None) -> Any:
    if isinstance(obj, Tensor):
        return obj.to(device=device, dtype=dtype if obj.is_floating_point() else None)
    if isinstance(obj, torch.dtype):
        return dtype if dtype is not None and obj.is_floating_point else obj
    if isinstance(obj, torch.device):
        return obj if device is None else device
    if isinstance(obj, nn.Module):
        return copy.deepcopy(obj).to(device=device, dtype=dtype)
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        fields = [each.name for each in dataclasses.fields(obj) if each.init]
        moved = {name: _moved(getattr(obj, name), device, dtype) for name in fields}
        return dataclasses.replace(obj, **moved)
    if isinstance(obj, tuple):
        items = cast(tuple[Any, ...], obj)
        parts = [_moved(each, device, dtype) for each in items]
        return type(items)(*parts) if _is_named(items) else tuple(parts)
    if isinstance(obj, list):
        return [_moved(each, device, dtype) for each in cast(list[Any], obj)]
    if isinstance(obj, Mapping):
        pairs = cast(Mapping[Any, Any], obj)
        return {key: _moved(each, device, dtype) for key, each in pairs.items()}
    return obj


def bytes_of(obj: Any, dtype: torch.dtype) -> int:
    """Bytes that `to` would need for floating-point tensors that have another type as yet."""
    if isinstance(obj, Tensor):
        copied = obj.is_floating_point() and obj.dtype != dtype
        return obj.numel() * dtype.itemsize if copied else 0
    if isinstance(obj, nn.Module):
        return sum(bytes_of(each, dtype) for each in (*obj.parameters(), *obj.buffers()))
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return sum(bytes_of(getattr(obj, each.name), dtype) for each in dataclasses.fields(obj))
    if isinstance(obj, tuple | list):
        return sum(bytes_of(each, dtype) for each in cast(tuple[Any, ...], obj))
    if isinstance(obj, Mapping):
        return sum(bytes_of(each, dtype) for each in cast(Mapping[Any, Any], obj).values())
    return 0


def _is_named(items: tuple[Any, ...]) -> bool:
    return type(items) is not tuple
