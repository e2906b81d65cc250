"""Messages of an energy of a count, for padded cliques of binary variables.

Everywhere: `off` and `on` are the incoming costs of labels 0 and 1, `[*batch, factors, places]`;
`values` is `[*batch, factors, places + 1]`; the answer is `[*batch, factors, places, 2]`. Padding
is switched off at no cost.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

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
    """-T log Σ exp(-·/T) over the other variables, by the chain of running counts."""
    off = torch.where(real, off, 0.0) / -temperature
    on = torch.where(real, on, INFINITY) / -temperature
    behind = [(values / -temperature).expand(*off.shape[:-1], values.shape[-1])]
    for place in reversed(range(off.shape[-1])):
        last = behind[-1]
        behind.append(
            torch.logaddexp(
                last[..., :-1] + off[..., place, None], last[..., 1:] + on[..., place, None]
            )
        )
    behind.reverse()
    ahead = torch.zeros_like(off[..., :1])
    sent: list[Tensor] = []
    nothing = torch.full_like(ahead, -INFINITY)
    for place in range(off.shape[-1]):
        rest = behind[place + 1]
        message = [
            torch.logsumexp(ahead + rest[..., label : label + place + 1], -1) for label in (0, 1)
        ]
        sent.append(torch.stack(message, -1))
        ahead = torch.logaddexp(
            torch.cat([ahead + off[..., place, None], nothing], -1),
            torch.cat([nothing, ahead + on[..., place, None]], -1),
        )
    return -temperature * torch.stack(sent, -2)


def mean_messages(
    chance: Float[Tensor, "..."], values: Float[Tensor, "..."], *, only_first: bool = False
) -> Float[Tensor, "..."]:
    """Mean value over the other variables, which are 1 with these chances, independently.

    With `only_first`, only those of the first place.
    """
    mean = _mean_messages(chance, torch.where(values.isinf(), 0.0, values), only_first)
    if not bool(values.isinf().any()):
        return mean
    forbidden = _mean_messages(chance, values.isinf().to(values.dtype), only_first)
    return torch.where(forbidden > 0, INFINITY, mean)


def _mean_messages(
    chance: Float[Tensor, "..."], values: Float[Tensor, "..."], only_first: bool
) -> Float[Tensor, "..."]:
    behind = [values.expand(*chance.shape[:-1], values.shape[-1])]
    for place in reversed(range(1, chance.shape[-1])):
        p, last = chance[..., place, None], behind[-1]
        behind.append((1 - p) * last[..., :-1] + p * last[..., 1:])
    behind.reverse()
    if only_first:
        return behind[0].unsqueeze(-2)
    ahead = torch.ones_like(chance[..., :1])
    sent: list[Tensor] = []
    for place in range(chance.shape[-1]):
        rest = behind[place]
        message = [(ahead * rest[..., label : label + place + 1]).sum(-1) for label in (0, 1)]
        sent.append(torch.stack(message, -1))
        p = chance[..., place, None]
        zero = torch.zeros_like(p)
        ahead = torch.cat([ahead * (1 - p), zero], -1) + torch.cat([zero, ahead * p], -1)
    return torch.stack(sent, -2)
