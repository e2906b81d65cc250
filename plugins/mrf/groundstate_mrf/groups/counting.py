"""Messages of an energy of a count, for padded cliques of variables that count or do not.

Everywhere: `off` and `on` are the incoming costs of labels 0 and 1, `[*batch, factors, places]`;
`values` is `[*batch, factors, places + 1]`; the answer is `[*batch, factors, places, 2]`. Padding
is switched off at no cost.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate_mrf.groups.count_trees import count_chances, log_sums, means

INFINITY = float("inf")


@dataclass(frozen=True, kw_only=True)
class Clique:
    """Factors of like size, padded to the largest.

    Attributes:
        factors: which factors of the group.
        slots: the group's slot at each place; 0 at padding.
        real: whether a place is no padding.
    """

    factors: Int[Tensor, " factors"]
    slots: Int[Tensor, "factors places"]
    real: Bool[Tensor, "factors places"]


def lowest_messages(
    off: Float[Tensor, "..."],
    on: Float[Tensor, "..."],
    values: Float[Tensor, "..."],
    real: Bool[Tensor, "factors places"],
) -> Float[Tensor, "..."]:
    """Minimum over the other variables, for each label of each: sort, then running minima.

    The cheapest way to switch k variables on is the k smallest differences; without variable s, at
    rank r, it is the same for k ≤ r and one further up, less s itself, for k > r.
    """
    off, on = torch.where(real, off, 0.0), torch.where(real, on, INFINITY)
    barred = off.isinf() & on.isinf()
    forced = off.isinf() & ~barred
    base = torch.where(forced, on, torch.where(barred, 0.0, off))
    # a forced variable is counted first and costs nothing more; a barred one can never be on
    finite = torch.where(forced | barred, 0.0, on - torch.where(off.isinf(), 0.0, off))
    difference = torch.where(barred, INFINITY, finite)
    order = torch.where(forced, -INFINITY, difference).argsort(stable=True, dim=-1)
    sorted_difference = difference.gather(-1, order)
    zero = torch.zeros_like(sorted_difference[..., :1])
    sums = torch.cat([zero, sorted_difference.cumsum(-1)], -1)
    places = torch.arange(values.shape[-1], device=values.device)
    sums = torch.where(places < forced.sum(-1, keepdim=True), INFINITY, sums)
    forced_sorted = forced.expand_as(order).gather(-1, order)
    messages = [
        _without_one(
            values[..., label : values.shape[-1] - 1 + label],
            sums,
            sorted_difference,
            forced_sorted,
        )
        for label in (0, 1)
    ]
    back = order.argsort(-1)
    sent = torch.stack([message.gather(-1, back.expand_as(message)) for message in messages], -1)
    others = base.sum(-1, keepdim=True) - base
    impossible = barred.sum(-1, keepdim=True) - barred.to(torch.int64) > 0
    return torch.where(impossible, INFINITY, others).unsqueeze(-1) + sent


def _without_one(
    values: Float[Tensor, "..."],
    sums: Float[Tensor, "..."],
    difference: Float[Tensor, "..."],
    forced: Bool[Tensor, "..."],
) -> Float[Tensor, "..."]:
    """Min over k of values[k] plus the k smallest differences but one's own, in sorted order."""
    below = (values + sums[..., :-1]).cummin(-1).values
    above = (values + sums[..., 1:]).flip(-1).cummin(-1).values.flip(-1)
    nothing = torch.full_like(above[..., :1], INFINITY)
    further = torch.cat([above[..., 1:], nothing], -1)
    shifted = torch.where(difference.isinf(), INFINITY, further - difference)
    # switched on in any case, a forced variable is the first to be left out
    return torch.where(forced, above[..., :1], torch.minimum(below, shifted))


def soft_messages(
    off: Float[Tensor, "..."],
    on: Float[Tensor, "..."],
    values: Float[Tensor, "..."],
    real: Bool[Tensor, "factors places"],
    temperature: float,
) -> Float[Tensor, "..."]:
    """-T log Σ exp(-·/T) over the other variables."""
    pairs = torch.stack([torch.where(real, off, 0.0), torch.where(real, on, INFINITY)], -1)
    return -temperature * log_sums(pairs / -temperature, values / -temperature)


def mean_messages(
    chance: Float[Tensor, "..."], values: Float[Tensor, "..."]
) -> Float[Tensor, "..."]:
    """Mean value over the other variables, which are 1 with these chances, independently."""
    leaves = torch.stack([1 - chance, chance], -1)
    mean = means(leaves, torch.where(values.isinf(), 0.0, values))
    if not bool(values.isinf().any()):
        return mean
    forbidden = means(leaves, values.isinf().to(values.dtype))
    return torch.where(forbidden > 0, INFINITY, mean)


def mean_values(chance: Float[Tensor, "..."], values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Mean value, `[*batch, factors]`, of variables that are 1 with these chances."""
    weights = count_chances(torch.stack([1 - chance, chance], -1))
    return torch.where(weights > 0, weights * values, 0.0).sum(-1)
