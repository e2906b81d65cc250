"""Arithmetic that the factor groups share."""

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor


def add_at(
    total: int, index: Int[Tensor, " *places"], values: Float[Tensor, "..."]
) -> Float[Tensor, "*batch entries"]:
    """Values added up at their entries, 0 elsewhere.

    Args:
        total: how many entries there are.
        index: the entry of each value; its shape is the end of the shape of `values`.
        values: `[*batch, *places]`.
    """
    flat = values.flatten(values.dim() - index.dim())
    result = flat.new_zeros((*flat.shape[:-1], total))
    return result.index_add(-1, index.flatten(), flat)


def take(
    values: Shaped[Tensor, "*batch entries"], index: Int[Tensor, " *places"]
) -> Shaped[Tensor, "..."]:
    """The values at these entries, `[*batch, *places]`."""
    taken = values.index_select(-1, index.flatten())
    return taken.reshape(*values.shape[:-1], *index.shape)


def mean_weight(
    weight: Float[Tensor, "..."], probability: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Weight · probability, where nothing times infinity is nothing."""
    return torch.where(probability > 0, weight * probability, 0.0)


def first_entries(counts: Int[Tensor, " variables"]) -> Int[Tensor, " variables"]:
    """The first entry of each variable."""
    return counts.cumsum(0) - counts
