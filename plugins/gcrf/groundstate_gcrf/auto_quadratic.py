"""`solver/auto-quadratic`: looks at the structure and the size of an energy, and picks a solver.

The choice depends on structure and size, never on the numbers, and is told in the state's stats.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.solver import Deadline, PreparableSolver, Solver, State
from groundstate.views import Covariance, SparseMatrix
from groundstate_gcrf.cholesky import cholesky
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.covariance import by_covariance
from groundstate_gcrf.direct import check_tolerance
from groundstate_gcrf.potts_cg import PottsConjugateGradients
from groundstate_gcrf.potts_split import potts_split
from groundstate_gcrf.sparse_direct import sparse_direct
from groundstate_gcrf.structure import GridStencil, LowRank, PottsStructure, VideoStructure
from groundstate_gcrf.video_direct import video_direct
from groundstate_gcrf.woodbury import woodbury

_DENSE = 512
"""Variables up to which a dense factor is quicker than anything cleverer."""
_ENTRIES = 1 << 26
"""Numbers that written-out matrices may have: half a gigabyte."""
_SMALL_SYSTEM = 2048
"""Unknowns up to which a small dense system is worth its cubic cost."""
_RANK = 128
"""Rank for each right-hand side of a matrix up to which its Gram matrix costs no more than the some
twenty products of a solve with it (benchmarks/gcrf_dense, gcrf_video)."""
_SHARED_RANK = 16
"""The same of embeddings that labels share, for each label: of its products some eight count."""
_FILLING = 16
"""Entries in a row of a sparse matrix beyond which its factors fill up."""
_SPARSE = 20_000
"""Variables up to which a sparse factor stays small beside the time of many iterations."""
_GRID = 4096
"""Pixels of a grid up to which its sparse factor is quicker than iterations with multigrid."""


@dataclass(frozen=True, kw_only=True)
class AutoState(State):
    """State of the solver that was picked.

    Attributes:
        inner: that solver's state.
        choice: the solver's name.
    """

    inner: State
    choice: str


@dataclass(frozen=True, kw_only=True)
class AutoQuadratic:
    """Minimises E(x) = ½xᵀAx - bᵀx + c by the solver that fits.

    In this order: a product where the covariance is given; dense factors for a small problem;
    `potts-cg` for labels on a grid that share their weights; the Potts split, the video solver or
    Woodbury where their structure is given and the system they need is small; sparse factors up to
    some size; conjugate gradients for all the rest, with multigrid on a pixel grid in the memory of
    the CPU.

    Attributes:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """

    tolerance: Annotated[float, Ge(0)] | None = None

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance)

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> AutoState:
        return self._chosen(energy, *choose(energy)).init(energy, x0, rng)

    def step(self, energy: Energy, state: AutoState, deadline: Deadline) -> AutoState:
        chosen = self._chosen(energy, state.choice, str(state.stats["why"]))
        return chosen.step(energy, state, deadline)

    def status(self, state: AutoState) -> Int[Tensor, "*batch"]:
        return _SOLVERS[state.choice](None).status(state.inner)

    def prepared(self, energy: Energy) -> "Chosen":
        """The choice for this energy, itself prepared where it can be."""
        chosen = self._chosen(energy, *choose(energy))
        if not isinstance(chosen.solver, PreparableSolver):
            return chosen
        return replace(chosen, solver=chosen.solver.prepared(energy))

    def _chosen(self, energy: Energy, choice: str, why: str) -> "Chosen":
        tolerance = self.tolerance
        if choice in ("cg", "potts-cg") and tolerance is None:
            tolerance = torch.finfo(energy.space.dtype).eps ** 0.5
        solver = _SOLVERS[choice](tolerance)
        if choice == "cg" and _suits_multigrid(energy):
            solver = replace(cast(ConjugateGradients, solver), preconditioner="multigrid")
        return Chosen(solver=solver, choice=choice, why=why)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A solver that tells its name, and why it was picked.

    Attributes:
        solver: what solves.
        choice: its name.
        why: the reason.
    """

    solver: Solver[Any]
    choice: str
    why: str

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "..."] | None, rng: torch.Generator
    ) -> AutoState:
        return self._told(self.solver.init(energy, x0, rng))

    def step(self, energy: Energy, state: AutoState, deadline: Deadline) -> AutoState:
        return self._told(self.solver.step(energy, state.inner, deadline))

    def status(self, state: AutoState) -> Int[Tensor, "*batch"]:
        return self.solver.status(state.inner)

    def _told(self, inner: State) -> AutoState:
        return AutoState(
            x=inner.x,
            energy=inner.energy,
            bound=inner.bound,
            residual=inner.residual,
            stats={**inner.stats, "solver": self.choice, "why": self.why},
            inner=inner,
            choice=self.choice,
        )


def _cg(tolerance: float | None) -> Solver[Any]:
    return ConjugateGradients() if tolerance is None else ConjugateGradients(tolerance=tolerance)


def _potts_cg(tolerance: float | None) -> Solver[Any]:
    if tolerance is None:
        return PottsConjugateGradients()
    return PottsConjugateGradients(tolerance=tolerance)


_SOLVERS: Mapping[str, Callable[[float | None], Solver[Any]]] = {
    "cg": _cg,
    "cholesky": lambda tolerance: cholesky(tolerance=tolerance),
    "covariance": lambda tolerance: by_covariance(tolerance=tolerance),
    "potts-cg": _potts_cg,
    "potts-split": lambda tolerance: potts_split(tolerance=tolerance),
    "sparse-direct": lambda tolerance: sparse_direct(tolerance=tolerance),
    "video-direct": lambda tolerance: video_direct(tolerance=tolerance),
    "woodbury": lambda tolerance: woodbury(tolerance=tolerance),
}


def choose(energy: Energy) -> tuple[str, str]:
    """The name of the solver that fits, and why."""
    layout, views = energy.space.layout, energy.views
    n = math.prod(layout.event_shape)
    if Covariance in views:
        return "covariance", "its covariance is given: the minimum is a product with it"
    entries = n * n * (1 if SparseMatrix in views else math.prod(layout.batch_shape))
    if n <= _DENSE and entries <= _ENTRIES:
        return "cholesky", f"{n} variables: dense factors are quickest"
    for choose_one in (_by_labels, _by_frames, _by_rank):
        found = choose_one(energy)
        if found is not None:
            return found
    if _suits_multigrid(energy) and n > _GRID:
        return "cg", f"{n} pixels of a grid: with multigrid a few iterations do"
    if SparseMatrix in views and n <= _SPARSE and _entries_per_row(energy) <= _FILLING:
        return "sparse-direct", f"{n} variables and a sparse matrix: its factors stay small"
    return "cg", f"{n} variables without structure that makes factors cheap: iterations are"


def _suits_multigrid(energy: Energy) -> bool:
    """Whether it has a pixel grid where compiled code can run; elsewhere a cycle is slow."""
    return GridStencil in energy.views and energy.space.device.type == "cpu"


def _entries_per_row(energy: Energy) -> float:
    entries = view(energy, SparseMatrix).indices.shape[-1]
    return entries / math.prod(energy.space.layout.event_shape)


def _by_labels(energy: Energy) -> tuple[str, str] | None:
    if PottsStructure not in energy.views:
        return None
    potts = view(energy, PottsStructure)
    pixels = math.prod(energy.space.layout.event_shape[1:])
    if potts.neighbours is not None:
        return "potts-cg", f"{potts.labels} labels share one grid: iterations over its pixels"
    if potts.factor is not None:
        rank, columns = potts.factor.shape[-2], potts.labels * _sides(energy, potts.factor, 2)
        fits, size = rank <= max(_RANK, _SHARED_RANK * columns), f"of rank {rank}"
    elif potts.sparse is not None:
        fits, size = pixels <= _SPARSE, f"sparse, over {pixels} pixels"
    else:
        fits, size = pixels <= _DENSE, f"over {pixels} pixels"
    if not fits:
        return "potts-cg", f"{potts.labels} labels share one matrix {size}, too large to factor"
    return "potts-split", f"{potts.labels} labels share one matrix {size}: each solves with it"


def _by_frames(energy: Energy) -> tuple[str, str] | None:
    if VideoStructure not in energy.views:
        return None
    video = view(energy, VideoStructure)
    rank = video.spatial.shape[-2] + video.temporal.shape[-2]
    rows, variables = len(video.coupling) * rank, math.prod(energy.space.layout.event_shape)
    sides = min(_sides(energy, each, 3) for each in (video.spatial, video.temporal))
    if rows > min(_SMALL_SYSTEM, variables) or rank > _RANK * sides:
        return None
    return "video-direct", f"embeddings of all frames have {rows} rows for {variables} variables"


def _by_rank(energy: Energy) -> tuple[str, str] | None:
    if LowRank not in energy.views:
        return None
    factor = view(energy, LowRank).factor
    rank, variables = factor.shape[-2:]
    sides = _sides(energy, factor, 2)
    if rank > min(_RANK * sides, variables):
        return None
    return "woodbury", f"rank {rank} for {variables} variables, {sides} right-hand sides a matrix"


def _sides(energy: Energy, factor: Tensor, axes: int) -> int:
    """How many problems share a matrix made of embeddings with so many axes."""
    matrices = math.prod(factor.shape[: factor.dim() - axes])
    return max(1, math.prod(energy.space.layout.batch_shape) // max(1, matrices))
