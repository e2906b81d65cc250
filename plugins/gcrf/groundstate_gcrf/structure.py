"""Views that this plugin adds: the stencil of a pixel grid, and noise with covariance A."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.views import MatrixView


@dataclass(frozen=True, kw_only=True)
class GridStencil(MatrixView):
    """A matrix that couples each pixel with its four neighbours and itself.

    The batch dimensions of the parts need not be equal; they broadcast.

    Attributes:
        diagonal: the entries (i, i).
        right: minus the entry that couples a pixel and the one to its right.
        down: minus the entry that couples a pixel and the one below it.
    """

    diagonal: Float[Tensor, "*diagonal_batch height width"]
    right: Float[Tensor, "*right_batch height width-1"]
    down: Float[Tensor, "*down_batch height-1 width"]

    def matvec(self, x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """A times x, by slices: no gather, five passes."""
        # Writing into views of a fresh tensor is seen by autograd, and saves four temporaries.
        product = self.diagonal * x
        product[..., :, :-1].addcmul_(self.right, x[..., :, 1:], value=-1)
        product[..., :, 1:].addcmul_(self.right, x[..., :, :-1], value=-1)
        product[..., :-1, :].addcmul_(self.down, x[..., 1:, :], value=-1)
        product[..., 1:, :].addcmul_(self.down, x[..., :-1, :], value=-1)
        return product


@dataclass(frozen=True, kw_only=True)
class Factored(MatrixView):
    """A = FFᵀ for some F that can be applied to white noise.

    Attributes:
        noise: (sample shape, generator) to Fε with ε ~ N(0, I), so draws from N(0, A), of shape
            `[*sample, *batch, *event]`; differentiable in the parameters of A.
    """

    noise: Callable[[tuple[int, ...], torch.Generator], Tensor]


def common_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that tensors of these shapes broadcast to."""
    shape = cast(torch.Size, torch.broadcast_shapes(*(tuple(each) for each in shapes)))
    return tuple(shape)
