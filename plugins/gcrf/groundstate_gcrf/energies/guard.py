"""Positive definiteness: certified bounds, proofs of the opposite, exact rescaling.

The largest |eigenvalue| of a symmetric B is at most that of |B|, and for every v > 0 that is at
most max_i (|B|v)_i / v_i (Collatz 1942, Wielandt 1950). v = 1 gives the largest row sum, so
Gershgorin's bound; power iteration makes the bound tight, and each iterate certifies.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.space import Layout, first
from groundstate.views import Quadratic

Guard = Literal["check", "rescale", "report"]
"""What to do about A that may not be positive definite.

"check": an energy that is proved to be indefinite is refused. "rescale": the pairwise parameters
of each problem are multiplied by the largest number up to 1 that proves A definite. "report":
nothing is tried but the bound; solvers say INDEFINITE.
"""

_ENOUGH = 0.9
"""A bound this far below what is needed is not worth another iteration."""

SHARE = 0.95
"""How much of λ the pairwise terms may use up after a rescaling."""


class NotPositiveDefinite(ValueError):
    """An energy without a unique minimum."""


def radius_bound(
    absolute: Callable[[Tensor], Tensor],
    ones: Float[Tensor, "..."],
    layout: Layout,
    goal: Float[Tensor, "..."] | None = None,
    iterations: int = 32,
) -> Float[Tensor, "*batch"]:
    """A certified upper bound on the largest |eigenvalue| of each problem's matrix.

    Args:
        absolute: v to |B|v.
        ones: of the shape of a configuration of every problem.
        layout: where batch and event are.
        goal: below it the bound is good enough; None always takes all iterations.
        iterations: at most; differentiable through all of them.
    """
    axes = tuple(range(-len(layout.event_shape), 0))
    vector, best = ones, None
    for _ in range(iterations):
        product = absolute(vector)
        bound = (product / vector).amax(axes)
        best = bound if best is None else torch.minimum(best, bound)
        if goal is not None and bool((best < _ENOUGH * goal).all()):
            break
        # adding the vector itself keeps it positive, and converges where ± pairs would oscillate
        size = torch.where(bound > 0, bound, 1.0)
        vector = vector + product / layout.expand(size)
        vector = vector / layout.expand(vector.amax(axes))
        vector = vector + 1e-9
    assert best is not None
    return best * (1 + 256 * torch.finfo(best.dtype).eps)


def shrinking(bound: Float[Tensor, "..."], scale: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """The largest factor up to 1 that brings a bound of pairwise terms to `SHARE` of λ."""
    factor = SHARE * scale / torch.where(bound > 0, bound, 1.0)
    # where nothing reaches below 0 nothing is in the way of 1
    return torch.where(bound > 0, factor, torch.ones_like(factor)).clamp(max=1.0)


def has_negative_curvature(energy: Energy, iterations: int = 48) -> Bool[Tensor, "*batch"]:
    """Whether a direction p with pᵀAp < 0 is found, which proves A indefinite.

    Searched by conjugate gradients from a random right-hand side, whose directions are those of the
    Lanczos process: an eigenvalue that is well below 0 shows after few iterations.
    """
    quadratic, layout = view(energy, Quadratic), energy.space.layout
    linear = quadratic.linear.detach()
    rng = torch.Generator(device="cpu").manual_seed(0)
    remainder = torch.randn(linear.shape, generator=rng, dtype=torch.float64).to(linear)
    direction, norm = remainder, layout.dot(remainder, remainder)
    found = torch.zeros_like(norm, dtype=torch.bool)
    largest = torch.zeros_like(norm)
    epsilon = torch.finfo(norm.dtype).eps
    with torch.no_grad():
        for _ in range(iterations):
            product = quadratic.matvec(direction)
            size = layout.dot(direction, direction)
            ratio = layout.dot(direction, product) / torch.where(size > 0, size, 1.0)
            largest = torch.maximum(largest, ratio.abs())
            found = found | (ratio < -64 * epsilon * largest)
            if bool(found.all()):
                break
            going = ~found & (ratio > 0) & (norm > 0)
            step = torch.where(going, norm / torch.where(going, ratio * size, 1.0), 0.0)
            remainder = remainder - layout.expand(step) * product
            fresh = layout.dot(remainder, remainder)
            beta = torch.where(going, fresh / torch.where(norm > 0, norm, 1.0), 0.0)
            direction, norm = remainder + layout.expand(beta) * direction, fresh
    return found


def refuse_indefinite(energy: Energy, advice: str) -> None:
    """Refuse an energy that is proved to have no minimum.

    Raises:
        NotPositiveDefinite: naming the problem of the batch.
    """
    if view(energy, Quadratic).floor is not None:
        return
    found = has_negative_curvature(energy)
    if bool(found.any()):
        where = first(found)
        raise NotPositiveDefinite(
            f"the matrix must be positive definite, but{f' in problem {where}' if where else ''} "
            f"there is a direction p with pᵀAp < 0, so the energy has no minimum; {advice}"
        )
