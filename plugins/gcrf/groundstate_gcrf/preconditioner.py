"""Approximate inverses that make conjugate gradients need fewer iterations.

A preconditioner must be symmetric and positive definite. To add one, write a function from the
energy to a `Preconditioner` and name it in `MAKERS`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.views import Quadratic

Name = Literal["none", "jacobi"]


@dataclass(frozen=True, kw_only=True)
class Preconditioner:
    """M⁻¹, which stands for A⁻¹.

    Attributes:
        apply: r to M⁻¹r.
        diagonal: the diagonal of M⁻¹ where it has nothing else, so that kernels may fuse it;
            None for any other preconditioner.
    """

    apply: Callable[[Tensor], Tensor]
    diagonal: Float[Tensor, "..."] | None = None


def _none(energy: Energy) -> Preconditioner:
    ones = torch.ones_like(view(energy, Quadratic).diagonal)
    return Preconditioner(apply=lambda remainder: remainder, diagonal=ones)


def _jacobi(energy: Energy) -> Preconditioner:
    diagonal = view(energy, Quadratic).diagonal
    # a diagonal that is not positive is the solver's to report; it never gets as far as dividing
    inverse = torch.where(diagonal > 0, diagonal, 1.0).reciprocal()
    return Preconditioner(apply=lambda remainder: remainder * inverse, diagonal=inverse)


MAKERS: Mapping[Name, Callable[[Energy], Preconditioner]] = {"none": _none, "jacobi": _jacobi}
