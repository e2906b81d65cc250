"""`unflatten` with a type: torch ships without one for it."""

from collections.abc import Sequence
from typing import cast

from jaxtyping import Shaped
from torch import Tensor


def unflatten(x: Shaped[Tensor, "..."], axis: int, sizes: Sequence[int]) -> Shaped[Tensor, "..."]:
    """One axis as several; a size of -1 is what is left."""
    return cast(Tensor, x.unflatten(axis, tuple(sizes)))
