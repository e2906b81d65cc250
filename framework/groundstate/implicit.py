"""Gradients through the minimiser of a quadratic energy, without unrolling the solver.

With x = A(θ)⁻¹ b(θ) and g = A⁻¹ ∂L/∂x, the gradient of L is that of the scalar g·(b(θ) - A(θ)x) in
θ, for fixed g and x (Chandra's thesis on Gaussian CRFs, eq. 2.7-2.14). So the minimiser is written
as x + A⁻¹ r with the residual r = b(θ) - A(θ)x, which is zero but carries θ: only A⁻¹ needs a
backward of its own, which is one more solve. Memory does not grow with the number of iterations.
A is the same in both solves, so a `PreparableSolver` factors it once.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from groundstate.energy import Energy, view
from groundstate.views import Quadratic

Solve = Callable[[Tensor], Tensor]


class _InverseApply(torch.autograd.Function):
    """x + A⁻¹ r at r = 0: the forward value is x, the backward of r is A⁻¹ times the gradient."""

    @staticmethod
    def forward(ctx: Any, residual: Tensor, x: Tensor, solve: Solve) -> Tensor:
        ctx.solve = solve
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, None, None]:
        return ctx.solve(grad_outputs[0]), None, None


def attach_gradient(
    energy: Energy, x: Float[Tensor, "*shape"], solve_linear: Solve
) -> Float[Tensor, "*shape"]:
    """The minimiser `x` with a graph back to every parameter of A and b.

    Args:
        energy: a quadratic energy.
        x: its minimiser A⁻¹b, found without a graph.
        solve_linear: g to A⁻¹g, with the same solver.
    """
    quadratic = view(energy, Quadratic)
    with torch.enable_grad():
        fixed = x.detach()
        residual = quadratic.linear - quadratic.matvec(fixed)
        apply = cast(Callable[..., Tensor], _InverseApply.apply)
        return apply(residual, fixed, solve_linear)
