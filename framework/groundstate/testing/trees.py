"""Tensors inside anything: listing them, comparing two such things, making leaves of them."""

import copy
import dataclasses
import random
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from groundstate.testing.saying import require, same


def tensors(obj: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor inside modules, dataclasses, sequences and mappings, with its path."""
    if isinstance(obj, Tensor):
        yield name, obj
        return
    for key, value in _children(obj):
        yield from tensors(value, f"{name}.{key}" if name else key)


def _children(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, nn.Module):
        yield from obj.named_parameters()
        yield from obj.named_buffers()
    elif dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        for field in dataclasses.fields(obj):
            yield field.name, getattr(obj, field.name)
    elif isinstance(obj, tuple | list):
        for index, value in enumerate(cast(list[Any], obj)):
            yield str(index), value
    elif isinstance(obj, Mapping):
        for key, value in cast(Mapping[Any, Any], obj).items():
            yield str(key), value


def snapshot(obj: Any) -> dict[str, Tensor]:
    """A copy of every tensor inside, by path."""
    return {name: tensor.detach().clone() for name, tensor in tensors(obj)}


def unchanged(obj: Any, before: Mapping[str, Tensor], what: str) -> None:
    """Hold every tensor inside to be what the snapshot has."""
    after = dict(tensors(obj))
    for name, tensor in before.items():
        require(name in after, f"{what} has lost {name!r}")
        same(after[name].detach(), tensor, f"{what}: {name or 'the tensor'} after the call")


def equal(got: Any, expected: Any, what: str) -> None:
    """Hold two trees of tensors and plain values to be equal bit by bit."""
    if isinstance(expected, Tensor):
        require(isinstance(got, Tensor), f"{what}: expected a tensor, got {type(got).__name__}")
        same(got.detach(), expected.detach(), what)
        return
    children = dict(_children(expected))
    if children or isinstance(expected, Mapping | tuple | list):
        found = dict(_children(got))
        require(
            sorted(found) == sorted(children),
            f"{what}: expected the entries {sorted(children)}, got {sorted(found)}",
        )
        for name, value in children.items():
            equal(found[name], value, f"{what}.{name}")
        return
    try:
        matches = bool(got == expected)
    except (TypeError, ValueError, RuntimeError):
        return  # something that has no equality of its own
    comparable = type(expected).__eq__ is not object.__eq__
    require(
        matches or not comparable or expected != expected,
        f"{what}: expected {expected!r}, got {got!r}",
    )


def leaves(obj: Any) -> tuple[Any, list[Tensor]]:
    """A float64 copy of `obj` whose floating-point tensors require gradients, and those tensors.

    Of a module its parameters alone: buffers, such as running statistics, are not learned.
    """
    from groundstate.move import to

    copied = to(copy.deepcopy(obj), dtype=torch.float64)
    found: dict[int, Tensor] = {}
    own = copied.named_parameters() if isinstance(copied, nn.Module) else tensors(copied)
    for _, tensor in own:
        if tensor.is_floating_point() and tensor.is_leaf:
            found[id(tensor)] = tensor.requires_grad_()
    return copied, list(found.values())


def directions(obj: Any, leaf: list[Tensor], seed: int) -> list[Tensor]:
    """A direction for each tensor in which it may be moved.

    Parameters of modules take any; other tensors are only scaled, which keeps what an energy may
    ask of them: symmetry, definiteness, signs, zeros.
    """
    rng = generator(seed)
    free = {id(p) for p in obj.parameters()} if isinstance(obj, nn.Module) else set[int]()
    found: list[Tensor] = []
    for tensor in leaf:
        shape = tensor.shape if id(tensor) in free else ()
        noise = torch.randn(shape, dtype=tensor.dtype, generator=rng)
        found.append(noise if id(tensor) in free else noise * tensor.detach())
    return found


@contextmanager
def nudged(leaf: list[Tensor], along: list[Tensor], step: float) -> Generator[None, None, None]:
    """Within the block every tensor has moved by `step` along its direction."""
    kept = [tensor.detach().clone() for tensor in leaf]
    with torch.no_grad():
        for tensor, direction in zip(leaf, along, strict=True):
            tensor.add_(direction, alpha=step)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(leaf, kept, strict=True):
                tensor.copy_(value)


def global_randomness() -> dict[str, Any]:
    """The state of the global generators of torch and numpy.

    That of `random` is left out: shape checkers draw from it. A plugin that does so, too, shows by
    its results.
    """
    return {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(_numpy_state())}


def _numpy_state() -> Any:
    state: Any = np.random.get_state()
    return state[1].astype(np.int64)


def disturb_global_randomness(seed: int) -> None:
    """Put every global generator somewhere else."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


@contextmanager
def kept_randomness(seed: int = 0) -> Generator[None, None, None]:
    """Seed the global generators for the block and put them back after it."""
    before_numpy, before_random = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[]):
        disturb_global_randomness(seed)
        try:
            yield
        finally:
            np.random.set_state(before_numpy)
            random.setstate(before_random)


def generator(seed: int, device: torch.device | None = None) -> torch.Generator:
    """A seeded generator."""
    return torch.Generator(device=device or "cpu").manual_seed(seed)
