"""An energy whose matrix need not be positive definite, and what its guard makes of it."""

from collections.abc import Callable
from typing import TypeVar, get_args

from jaxtyping import Float
from torch import Tensor

from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.energies.guard import Guard, refuse_indefinite, shrinking
from groundstate_gcrf.energies.matrix import GaussianCrf, Matrix

M = TypeVar("M", bound=Matrix)

ADVICE = 'raise `diagonal`, make the pairwise terms smaller, or let `guard = "rescale"` shrink them'


def guarded(
    matrix: M,
    linear: Float[Tensor, "..."],
    scale: Float[Tensor, "..."],
    guard: Guard,
    *,
    radius: Callable[[], Float[Tensor, "..."]],
    times: Callable[[Float[Tensor, "..."]], M],
    advice: str = ADVICE,
) -> GaussianCrf:
    """The energy, rescaled or held to be definite.

    Args:
        matrix: A.
        linear: b.
        scale: λ.
        guard: what to do where A is not proved to be positive definite.
        radius: a certified bound on how far the pairwise terms reach below 0.
        times: A with its pairwise terms multiplied by one factor per problem.
        advice: what to do about an energy that is refused.
    """
    check_choice("guard", guard, get_args(Guard))
    if guard == "rescale":
        matrix = times(shrinking(radius(), scale))
    energy = GaussianCrf(matrix=matrix, linear=linear)
    if guard == "check":
        refuse_indefinite(energy, advice)
    return energy
