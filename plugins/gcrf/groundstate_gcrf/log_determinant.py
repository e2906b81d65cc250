"""Log det A of a quadratic energy, exactly or estimated: what makes a density of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Solver
from groundstate.views import SparseMatrix
from groundstate_gcrf import exact_determinant, lanczos
from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.exact_determinant import LogDeterminant
from groundstate_gcrf.structure import LowRank, PottsStructure, VideoStructure

Method = Literal["auto", "exact", "cholesky", "sparse", "low-rank", "potts", "video", "lanczos"]

_SMALL = 512
_DENSE = 2048
_SPARSE = 100_000


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number per problem and how far off it may be.

    Attributes:
        value: the number, in nats; differentiable in the energy's parameters.
        error: its standard error plus what the quadrature changed in its last step; 0 where exact.
        method: how it was found.
    """

    value: Float[Tensor, "*batch"]
    error: Float[Tensor, "*batch"]
    method: str


_EXACT: Mapping[str, Callable[[Energy], LogDeterminant]] = {
    "cholesky": lambda energy: exact_determinant.of_dense(energy, max(_variables(energy), 1)),
    "sparse": exact_determinant.of_sparse,
    "low-rank": exact_determinant.of_low_rank,
    "potts": lambda energy: exact_determinant.of_potts(energy, _variables(energy)),
    "video": exact_determinant.of_video,
}


def log_determinant(
    energy: Energy,
    *,
    method: Method = "auto",
    probes: int = 16,
    steps: int = 32,
    rng: torch.Generator | None = None,
    solver: Solver[Any] | None = None,
) -> Estimate:
    """Log det A of each problem.

    Args:
        energy: one that gives `Quadratic`.
        method: "cholesky" writes A out; "sparse" factors its entries; "low-rank", "potts" and
            "video" use that structure; "lanczos" needs products only, and estimates. "exact" takes
            the first exact one that is affordable, "auto" the same or else "lanczos".
        probes: random sign vectors of "lanczos"; the error falls with their root.
        steps: Lanczos steps for each, so the degree of exactness is twice that.
        rng: what draws the signs; None is seed 0.
        solver: solves Ag = z for the gradient of "lanczos".

    Raises:
        ValueError: if A is not positive definite, nothing exact is affordable, or `method` is none.
        ViewError: if `method` needs a structure that the energy does not give.
    """
    check_choice("method", method, get_args(Method))
    if probes < 2 or steps < 1:
        raise ValueError(f"probes must be at least 2 and steps at least 1, got {probes}, {steps}")
    found = _affordable(energy) if method in ("auto", "exact") else method
    if found is None and method == "exact":
        raise ValueError(
            f"log det A is exact for at most {_DENSE} variables, or for a structure that makes it "
            f"cheap, got {_variables(energy)} variables without one; estimate it: "
            'log_determinant(energy, method="lanczos")'
        )
    if found is not None and found in _EXACT:
        exact = _EXACT[found](energy)
        _refuse_where(~exact.definite)
        value = exact.value.expand(energy.space.layout.batch_shape)
        return Estimate(value=value, error=torch.zeros_like(value).detach(), method=found)
    rng = torch.Generator().manual_seed(0) if rng is None else rng
    solver = AutoQuadratic() if solver is None else solver
    rough = lanczos.estimate(energy, probes=probes, steps=steps, rng=rng, solver=solver)
    _refuse_where(rough.value.isnan())
    return Estimate(value=rough.value, error=rough.error, method="lanczos")


def _variables(energy: Energy) -> int:
    return math.prod(energy.space.layout.event_shape)


def _affordable(energy: Energy) -> str | None:
    """The exact method that is quickest, or None where all take too long."""
    n, views = _variables(energy), energy.views
    if n <= _SMALL:
        return "cholesky"
    if LowRank in views and view(energy, LowRank).factor.shape[-2] <= min(_DENSE, n):
        return "low-rank"
    if PottsStructure in views and _labels_apart(energy):
        return "potts"
    if VideoStructure in views:
        video = view(energy, VideoStructure)
        rows = len(video.coupling) * (video.spatial.shape[-2] + video.temporal.shape[-2])
        if rows <= min(_DENSE, n):
            return "video"
    if SparseMatrix in views and n <= _SPARSE:
        return "sparse"
    return "cholesky" if n <= _DENSE else None


def _labels_apart(energy: Energy) -> bool:
    potts = view(energy, PottsStructure)
    pixels = math.prod(energy.space.layout.event_shape[1:])
    if potts.factor is not None:
        return potts.factor.shape[-2] <= _DENSE
    return pixels <= (_DENSE if potts.sparse is None else _SPARSE)


def _refuse_where(bad: Tensor) -> None:
    if bool(bad.any()):
        raise ValueError(
            "A must be positive definite, for otherwise there is no density; it is not in "
            f"{int(bad.sum())} of {bad.numel()} matrices: raise the energy's diagonal"
        )
