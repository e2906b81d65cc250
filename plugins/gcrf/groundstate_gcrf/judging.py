"""How the solvers of a quadratic energy judge a configuration: residual, energy, bound, verdict."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.space import Layout
from groundstate.status import Status
from groundstate.views import Quadratic


def norm(layout: Layout, values: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Euclidean norm of each configuration, without a graph.

    By a sum, which torch makes pairwise: its `vector_norm` adds one entry after the other, and of
    five million in float32 it misses 1.5e-4, more than bounds allow for.
    """
    values = values.detach()
    return layout.dot(values, values).sqrt()


def scale_of(
    layout: Layout, linear: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """A power of 2 that brings the largest entry of each right-hand side near 1, and that entry.

    Raises:
        TypeError: for a type too short to solve in.
    """
    if torch.finfo(linear.dtype).bits < 32:
        # 11 bits of a sum over a pixel's neighbours leave no residual to judge by
        raise TypeError(
            f"a quadratic energy is solved in float32 or float64, got {linear.dtype}: move it with "
            "`groundstate.to(energy, dtype=torch.float32)`"
        )
    absolute = linear.abs()
    if layout.segments is not None:
        zeros = absolute.new_zeros(layout.batch_shape)
        size = zeros.scatter_reduce(0, layout.segments, absolute, "amax")
    elif layout.event_shape:
        size = absolute.amax(tuple(range(-len(layout.event_shape), 0)))
    else:
        size = absolute
    known = torch.where(size.isfinite() & (size > 0), size, 1.0)
    limit = 1000 if linear.dtype == torch.float64 else 120
    exponent = torch.frexp(known).exponent.clamp(-limit, limit)
    return torch.ldexp(torch.ones_like(size), -exponent), size


def first_verdict(
    layout: Layout, quadratic: Quadratic, size: Float[Tensor, "*batch"]
) -> Int[Tensor, "*batch"]:
    """What can be said before the first iteration."""
    diagonal = quadratic.diagonal.detach()
    finite = size.isfinite()
    if bool(((diagonal > 0) & diagonal.isfinite()).all()):  # few numbers, where it is constant
        outcome = torch.zeros_like(size, dtype=torch.int64)
        outcome = outcome.masked_fill(size == 0, int(Status.CONVERGED))
        return outcome.masked_fill(~finite, int(Status.DIVERGED))
    diagonal = diagonal.expand(layout.shape)
    # an entry that is not positive is eᵀAe ≤ 0: proof enough
    indefinite = layout.sum((diagonal <= 0).to(torch.int64)) > 0
    finite = finite & (layout.sum((~diagonal.isfinite()).to(torch.int64)) == 0)
    outcome = torch.zeros_like(size, dtype=torch.int64)
    outcome = outcome.masked_fill(size == 0, int(Status.CONVERGED))
    outcome = outcome.masked_fill(indefinite, int(Status.INDEFINITE))
    return outcome.masked_fill(~finite, int(Status.DIVERGED))


def claims_at_zero(
    layout: Layout, quadratic: Quadratic, linear: Float[Tensor, "..."]
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"] | None]:
    """What `claims` gives for x = 0, where b - Ax = b whatever A: c and c - ‖b‖² / (2 floor)."""
    value = quadratic.constant.detach().expand(layout.batch_shape)
    if quadratic.floor is None:
        return value, None
    slack = 16 * torch.finfo(linear.dtype).eps * value.abs()
    distance = norm(layout, linear)
    return value, value - distance**2 / (2 * quadratic.floor.detach()) - slack


def claims(
    layout: Layout, quadratic: Quadratic, x: Tensor, left: Tensor
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"] | None]:
    """The energy, and the bound that r = b - Ax gives: min E ≥ E(x) - ‖r‖² / (2 floor)."""
    linear, constant = quadratic.linear.detach(), quadratic.constant.detach()
    value = constant - 0.5 * layout.dot(x, linear + left)  # Ax = b - r
    if quadratic.floor is None:
        return value, None
    # what rounding may add: a bound must hold for the numbers as they are. Of Ax it is as large as
    # of its diagonal part, however much cancels
    few = 16 * torch.finfo(value.dtype).eps
    own = norm(layout, quadratic.diagonal.detach() * x)
    distance = norm(layout, left)
    terms = norm(layout, linear.expand_as(x)) + distance + own
    slack = few * (norm(layout, x) * terms + constant.abs())
    distance = distance + few * own
    return value, value - distance**2 / (2 * quadratic.floor.detach()) - slack
