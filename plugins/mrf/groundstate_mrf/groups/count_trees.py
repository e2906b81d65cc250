"""Sums over all labellings of an energy of a count, by a tree of counts.

The counts of two halves of the places make the count of both; what the rest of the tree says of a
half's count goes down the same tree. All terms are of one sign, so nothing is lost by subtracting.
O(n²) time in few vector operations and O(n log n) memory, where the chain of running counts needs
O(n²) (Tarlow et al.: Fast Exact Inference for Recursive Cardinality Models, 2012, §3).

Everywhere, `leaves` is `[*batch, factors, places, 2]`: what belongs to label 0 and 1 of each place;
`values` is `[*batch, factors, places + 1]`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_NOTHING = float("-inf")
_CHUNK = 64
"""Counts of one half that are taken at once: more need memory, fewer more operations."""


@dataclass(frozen=True, kw_only=True)
class _Arithmetic:
    """Sums and products, of numbers or of their logarithms.

    Attributes:
        logarithms: whether the numbers are logarithms.
    """

    logarithms: bool

    def times(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right if self.logarithms else left * right

    def plus(self, left: Tensor, right: Tensor) -> Tensor:
        return torch.logaddexp(left, right) if self.logarithms else left + right

    def total(self, terms: Tensor) -> Tensor:
        """The sum over the last axis."""
        return torch.logsumexp(terms, -1) if self.logarithms else terms.sum(-1)

    @property
    def zero(self) -> float:
        return _NOTHING if self.logarithms else 0.0

    @property
    def one(self) -> float:
        return 0.0 if self.logarithms else 1.0


def log_sums(leaves: Float[Tensor, "..."], values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Log Σ exp of value and leaves over the other places, for both labels of each place."""
    return _outside(leaves, values, _Arithmetic(logarithms=True))


def means(leaves: Float[Tensor, "..."], values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Mean value over the other places, whose labels have these chances, for both labels."""
    return _outside(leaves, values, _Arithmetic(logarithms=False))


def count_chances(leaves: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The chance of each count, `[*batch, factors, places + 1]`."""
    top = _levels(leaves, _Arithmetic(logarithms=False))[-1].squeeze(-2)
    return top[..., : leaves.shape[-2] + 1]


def _outside(leaves: Tensor, values: Tensor, arithmetic: _Arithmetic) -> Tensor:
    levels = _levels(leaves, arithmetic)
    full = levels[-1].shape[-1]
    lead = levels[-1].shape[:-2]
    # counts beyond the places have no share in any sum
    rest = values.new_full((*lead, full - values.shape[-1]), arithmetic.zero)
    outside = torch.cat([values.expand(*lead, values.shape[-1]), rest], -1).unsqueeze(-2)
    for level in reversed(levels[:-1]):
        left, right = level[..., 0::2, :], level[..., 1::2, :]
        parts = [_without(outside, right, arithmetic), _without(outside, left, arithmetic)]
        outside = torch.stack(parts, -2).flatten(-3, -2)
    return outside[..., : leaves.shape[-2], :]


def _levels(leaves: Tensor, arithmetic: _Arithmetic) -> list[Tensor]:
    """The counts of single places, of pairs, of fours and so on, up to all."""
    places = leaves.shape[-2]
    missing = (1 << max(places - 1, 0).bit_length()) - places
    never = leaves.new_tensor([arithmetic.one, arithmetic.zero])
    padding = never.expand(*leaves.shape[:-2], missing, 2)
    levels = [torch.cat([leaves, padding], -2)]
    while levels[-1].shape[-2] > 1:
        left, right = levels[-1][..., 0::2, :], levels[-1][..., 1::2, :]
        levels.append(_together(left, right, arithmetic))
    return levels


def _together(left: Tensor, right: Tensor, arithmetic: _Arithmetic) -> Tensor:
    """The counts of two halves as those of both: a convolution."""
    width = left.shape[-1]
    nothing = right.new_full((*right.shape[:-1], width - 1), arithmetic.zero)
    padded = torch.cat([nothing, right, nothing], -1)
    total = right.new_full((*right.shape[:-1], 2 * width - 1), arithmetic.zero)
    for begin in range(0, width, _CHUNK):
        end = min(begin + _CHUNK, width)
        windows = padded.unfold(-1, end - begin, 1)[..., width - end : 3 * width - 1 - end, :]
        mine = left[..., begin:end].flip(-1).unsqueeze(-2)
        total = arithmetic.plus(total, arithmetic.total(arithmetic.times(windows, mine)))
    return total


def _without(outside: Tensor, other: Tensor, arithmetic: _Arithmetic) -> Tensor:
    """What the rest of the tree and the other half say of this half's count."""
    width = other.shape[-1]
    total = other.new_full((1,), arithmetic.zero)
    for begin in range(0, width, _CHUNK):
        end = min(begin + _CHUNK, width)
        windows = outside.unfold(-1, end - begin, 1)[..., begin : begin + width, :]
        part = arithmetic.total(arithmetic.times(windows, other[..., None, begin:end]))
        total = arithmetic.plus(total, part)
    return total
