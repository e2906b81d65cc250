"""What must hold of settings and of the parts of a grid energy; each error says what was got."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy.sparse import coo_array, csgraph
from torch import Tensor

from groundstate_gcrf.structure import common_shape

Array = NDArray[Any]


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a setting that is none of the words it may be.

    Raises:
        ValueError: naming those that there are.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")


def check_types(tensors: Mapping[str, Tensor]) -> None:
    types = {name: each.dtype for name, each in tensors.items()}
    if len(set(types.values())) > 1 or not tensors["values"].is_floating_point():
        raise TypeError(
            "weights (so the image), pins and values must have one floating-point type, got "
            + ", ".join(f"{name} {kind}" for name, kind in types.items())
        )


def check_shapes(tensors: Mapping[str, Tensor]) -> None:
    if tensors["values"].dim() < 2:
        shape = tuple(tensors["values"].shape)
        raise ValueError(f"values must be [*batch, height, width], got the shape {shape}")
    height, width = tensors["values"].shape[-2:]
    expected = {
        "pinned": (tensors["pinned"], (height, width)),
        "right": (tensors["right"], (height, width - 1)),
        "down": (tensors["down"], (height - 1, width)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape[-2:]) != shape:
            raise ValueError(
                f"values are {height} x {width} pixels, so {name} must end in {shape}, got the "
                f"shape {tuple(tensor.shape)}; image, pinned and values must be of one size"
            )
    batches = {name: tuple(each.shape[:-2]) for name, (each, _) in expected.items()}
    batches["values"] = tuple(tensors["values"].shape[:-2])
    if not _broadcast(*batches.values()):
        raise ValueError(f"the batch dimensions must broadcast, got {batches}")
    full = (*common_shape(*batches.values()), height, width)
    for name in ("strength", "diagonal"):
        shape = tuple(tensors[name].shape)
        if not _broadcast(shape, full) or common_shape(shape, full) != full:
            raise ValueError(f"{name} must broadcast to {full}, got the shape {shape}")


def _broadcast(*shapes: Sequence[int]) -> bool:
    try:
        common_shape(*shapes)
    except RuntimeError:
        return False
    return True


def check_signs(tensors: Mapping[str, Tensor]) -> None:
    limits = {
        "right": tensors["right"],
        "down": tensors["down"],
        "pinned": tensors["pinned"],
        "strength": tensors["strength"],
        "diagonal": tensors["diagonal"],
    }
    for name, tensor in limits.items():
        bad = ~((tensor >= 0) & tensor.isfinite())
        if bool(bad.any()):
            raise ValueError(
                f"{name} must be finite and at least 0, got {float(tensor[bad][0])}; right and "
                "down come from the image and its settings"
            )
    known = tensors["values"].isfinite() | (tensors["pinned"] <= 0)
    if not bool(known.all()):
        raise ValueError("values must be finite wherever `pinned` is above 0, got NaN or infinity")


def check_definite(tensors: Mapping[str, Tensor]) -> None:
    """Refuse an energy without a unique minimum (spec errata: without pins A is singular)."""
    own = (tensors["strength"] * tensors["pinned"] + tensors["diagonal"]).detach()
    loose = own.amax((-2, -1)) <= 0
    reason = "no pixel is pinned"
    if not bool(loose.any()):
        loose, reason = _has_loose_part(tensors, own), "part of the grid has no pinned pixel"
    if bool(loose.any()):
        where = tuple(int(index) for index in loose.nonzero()[0])
        raise ValueError(
            f"the energy must have one minimum, but{f' in problem {where}' if where else ''} "
            f"{reason} and `diagonal` is 0 there, so a constant can be added at no cost; pin a "
            "pixel (with `strength` above 0), or set `diagonal` above 0"
        )


def _has_loose_part(
    tensors: Mapping[str, Tensor], own: Float[Tensor, "*own_batch height width"]
) -> Bool[Tensor, "*batch"]:
    """Whether edges of weight 0 cut off a part where nothing holds the level."""
    right, down = tensors["right"].detach(), tensors["down"].detach()
    if bool((right > 0).all()) and bool((down > 0).all()):
        return torch.zeros((), dtype=torch.bool)
    batch = common_shape(own.shape[:-2], right.shape[:-2], down.shape[:-2])
    parts = [each.expand(*batch, *each.shape[-2:]) for each in (right, down, own)]
    flat = [each.reshape(-1, *each.shape[-2:]).cpu().numpy() for each in parts]
    loose = [_is_loose(*(each[item] for each in flat)) for item in range(len(flat[0]))]
    return torch.tensor(loose).reshape(batch)


def _is_loose(right: Array, down: Array, own: Array) -> bool:
    pixel = cast(Array, np.arange(own.size).reshape(own.shape))
    across, along = right > 0, down > 0
    begin: Array = np.concatenate([pixel[:, :-1][across], pixel[:-1][along]])
    end: Array = np.concatenate([pixel[:, 1:][across], pixel[1:][along]])
    graph = coo_array((np.ones(begin.size), (begin, end)), shape=(own.size, own.size))
    count, part = cast(tuple[int, Array], csgraph.connected_components(graph, directed=False))
    held = np.zeros(count, dtype=bool)
    held[part[own.ravel() > 0]] = True
    return not held.all()
