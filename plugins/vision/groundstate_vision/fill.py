"""Nearest-seed fill: each pixel takes the values of the nearest pixel that has any."""

from typing import Any, cast

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor


def nearest_fill(
    pinned: Float[Tensor, "height width"], values: Float[Tensor, "channels height width"]
) -> Float[Tensor, "channels height width"]:
    """The values of the nearest pinned pixel, by the distance of their centres.

    Raises:
        ValueError: Nothing is pinned.
    """
    given = (pinned > 0).cpu().numpy()
    if not given.any():
        raise ValueError("There must be at least one pinned pixel to take values from; got none.")
    places = cast(
        NDArray[Any],
        distance_transform_edt(~given, return_distances=False, return_indices=True),
    )
    rows, columns = torch.from_numpy(places).long().to(values.device)
    return values[:, rows, columns]
