"""The recurrence of conjugate gradients, for many problems at once, in plain torch.

Algorithm 2 of the Gaussian CRF spec (§4.3), preconditioned. Every problem has its own step length;
one that is done takes steps of length 0, so its configuration stays bit for bit what it was. One
whose numbers break down goes no further: the solver starts it afresh from its true remainder.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.solver import Deadline
from groundstate.space import Layout
from groundstate.status import Status
from groundstate.views import Quadratic

_LOOK_EVERY = 8
"""Iterations between two looks at the clock, and, where a look waits for a device, at whether all
are done."""


@dataclass(frozen=True, kw_only=True)
class Recurrence:
    """Where the recurrence stands. Remainder and direction are in units of 1 / `scale`.

    Attributes:
        x: the configuration.
        remainder: scale · (b - Ax), as the recurrence knows it, without recomputing.
        direction: the last search direction.
        beta: how much of it goes into the next one; 0 starts afresh; NaN where the recurrence has
            broken down, because rᵀM⁻¹r or pᵀAp was no positive, finite number.
        scale: a power of 2 that brings the largest entry of b near 1, so that no right-hand side is
            too small or too large to square.
        reference: scale · ‖b‖, or 1 where b = 0.
        goal: remainder norm at which to stop and look.
        outcome: `Status` of each problem; only those RUNNING advance.
        iterations: done so far, for each problem.
    """

    x: Shaped[Tensor, "..."]
    remainder: Float[Tensor, "..."]
    direction: Float[Tensor, "..."]
    beta: Float[Tensor, "*batch"]
    scale: Float[Tensor, "*batch"]
    reference: Float[Tensor, "*batch"]
    goal: Float[Tensor, "*batch"]
    outcome: Int[Tensor, "*batch"]
    iterations: Int[Tensor, "*batch"]


def iterate(
    recurrence: Recurrence,
    quadratic: Quadratic,
    layout: Layout,
    precondition: Callable[[Tensor], Tensor],
    count: int,
    deadline: Deadline,
) -> Recurrence:
    """At most `count` iterations; problems that reach their goal stop there and stay RUNNING."""
    eager = recurrence.outcome == Status.RUNNING
    preconditioned = precondition(recurrence.remainder)
    now = _Pass(recurrence=recurrence, eager=eager, preconditioned=preconditioned)
    free = recurrence.x.device.type == "cpu"
    for done in range(count):
        due = done % _LOOK_EVERY == 0
        if (due and deadline.passed) or ((due or free) and not bool(now.eager.any())):
            break
        now = _advance(now, quadratic, layout, precondition)
    return now.recurrence


@dataclass(frozen=True, kw_only=True)
class _Pass:
    """The recurrence, which problems want another iteration, and M⁻¹r."""

    recurrence: Recurrence
    eager: Bool[Tensor, "*batch"]
    preconditioned: Float[Tensor, "..."]


def _advance(
    before: _Pass,
    quadratic: Quadratic,
    layout: Layout,
    precondition: Callable[[Tensor], Tensor],
) -> _Pass:
    """One iteration of those that want it."""
    now, eager = before.recurrence, before.eager
    energy_norm = layout.dot(now.remainder, before.preconditioned)
    direction = torch.addcmul(before.preconditioned, layout.expand(now.beta), now.direction)
    product = quadratic.matvec(direction)
    curvature = layout.dot(direction, product)
    verdict = judge(curvature, layout.dot(quadratic.diagonal * direction, direction).detach())
    verdict = verdict.masked_fill(~energy_norm.detach().isfinite(), int(Status.DIVERGED))
    # what is not finite may be the fault of the directions before: only the first one is proof
    broken = ((verdict == Status.DIVERGED) & (now.beta != 0)) | (energy_norm <= 0)
    verdict = verdict.masked_fill(broken, int(Status.RUNNING))
    moving = eager & ~broken & (verdict == Status.RUNNING)
    alpha = torch.where(moving, energy_norm / torch.where(moving, curvature, 1.0), 0.0)
    x = torch.addcmul(now.x, layout.expand(alpha / now.scale), direction)
    remainder = torch.addcmul(now.remainder, layout.expand(alpha), product, value=-1)
    if moving.device.type != "cpu" or not bool(moving.all()):
        where = layout.expand(moving)
        x = torch.where(where, x, now.x)
        remainder = torch.where(where, remainder, now.remainder)
        direction = torch.where(where, direction, now.direction)
    preconditioned = precondition(remainder)
    following = layout.dot(remainder, preconditioned)
    beta = torch.where(moving, following / torch.where(moving, energy_norm, 1.0), now.beta)
    norm = layout.dot(remainder, remainder).detach().sqrt()
    advanced = replace(
        now,
        x=x,
        remainder=remainder,
        direction=direction,
        beta=beta.masked_fill(eager & broken, float("nan")),
        outcome=torch.where(eager, verdict, now.outcome),
        iterations=now.iterations + moving.to(now.iterations.dtype),
    )
    wanting = moving & ~(norm <= now.goal)
    return _Pass(recurrence=advanced, eager=wanting, preconditioned=preconditioned)


def judge(
    curvature: Float[Tensor, "*batch"], magnitude: Float[Tensor, "*batch"]
) -> Int[Tensor, "*batch"]:
    """What pᵀAp says of A: INDEFINITE where it is not above its own rounding.

    Args:
        curvature: pᵀAp.
        magnitude: pᵀDp with the diagonal D of A, the size of the terms that cancel in pᵀAp.
    """
    epsilon = torch.finfo(curvature.dtype).eps
    running = torch.full_like(curvature, int(Status.RUNNING), dtype=torch.int64)
    verdict = running.masked_fill(curvature <= epsilon * magnitude, int(Status.INDEFINITE))
    finite = curvature.isfinite() & magnitude.isfinite()
    return verdict.masked_fill(~finite, int(Status.DIVERGED))
