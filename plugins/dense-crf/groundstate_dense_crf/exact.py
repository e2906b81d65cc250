"""The Gaussian kernel itself, all pairs of pixels, a few rows at a time."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils import checkpoint

_KEPT = 1 << 23
"""Entries of kernels that are kept between applications; larger ones are made afresh."""
_CHUNK = 1 << 22
"""Entries of the rows that are made at a time."""


@dataclass(frozen=True, kw_only=True)
class ExactFilter:
    """K_ij = exp(-‖f_i - f_j‖²/2) for i ≠ j, and 0 on the diagonal; any device, differentiable.

    Attributes:
        features: f, `[*batch, pixels, d]`, in standard deviations of the kernel.
    """

    features: Float[Tensor, "*batch pixels d"]
    kept: int = field(default=_KEPT, repr=False)

    @property
    def pixels(self) -> int:
        return self.features.shape[-2]

    @property
    def how(self) -> Literal["exact", "lattice"]:
        return "exact"

    @property
    def learned(self) -> bool:
        return self.features.requires_grad

    @property
    def own(self) -> Float[Tensor, "*batch pixels"]:
        return torch.ones_like(self.features[..., 0])

    def apply(self, values: Float[Tensor, "*lead pixels c"]) -> Float[Tensor, "*lead pixels c"]:
        if self.features.shape[:-1].numel() * self.pixels <= self.kept:
            return self._matrix @ values
        rows = max(1, _CHUNK // self.features.shape[:-1].numel())
        tracked = torch.is_grad_enabled() and (values.requires_grad or self.features.requires_grad)
        parts: list[Tensor] = []
        for start in range(0, self.pixels, rows):
            # rows are made again in the backward pass: memory stays linear in pixels
            arguments = (self.features, values, start, rows)
            part = (
                cast(Any, checkpoint).checkpoint(_rows_times, *arguments, use_reentrant=False)
                if tracked
                else _rows_times(*arguments)
            )
            parts.append(part)
        return torch.cat(parts, -2)

    @property
    def _matrix(self) -> Float[Tensor, "*batch pixels pixels"]:
        # what may be learned may change under us, so nothing made from it is kept
        return _rows(self.features, 0, self.pixels) if self.learned else self._plain_matrix

    @cached_property
    def _plain_matrix(self) -> Float[Tensor, "*batch pixels pixels"]:
        return _rows(self.features, 0, self.pixels)


def _rows(
    features: Float[Tensor, "*batch pixels d"], start: int, count: int
) -> Float[Tensor, "*batch rows pixels"]:
    """Some rows of K. Exponents are found in float64: ‖a‖² + ‖b‖² - 2ab cancels."""
    centred = (features - features.mean(-2, keepdim=True)).double()
    own = centred[..., start : start + count, :]
    half = 0.5 * centred.square().sum(-1)
    exponents = own @ centred.mT - half[..., start : start + count, None] - half.unsqueeze(-2)
    row = torch.arange(start, start + own.shape[-2], device=features.device)
    diagonal = row.unsqueeze(-1) == torch.arange(features.shape[-2], device=features.device)
    kernel = exponents.clamp(max=0).to(features.dtype).exp()
    return kernel.masked_fill(diagonal, 0.0)


def _rows_times(features: Tensor, values: Tensor, start: int, count: int) -> Tensor:
    return _rows(features, start, count) @ values
