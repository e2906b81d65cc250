"""`energy/video-gcrf`: frames with embeddings of their own, coupled in time by further ones.

Block (u, v) of A is T_uᵀT_v for frames that are neighbours, and A_vᵀA_v + λI for u = v (Chandra,
Couprie, Kokkinos: Deep Spatio-Temporal Random Fields for Efficient Video Segmentation, 2018;
Gaussian CRF spec §8). The paper calls it positive definite for every λ > 0, which it is not: the
temporal part lacks its diagonal. Its smallest eigenvalue is at least λ + μ max_v σ_max(T_v)², with
μ the smallest eigenvalue of the neighbourhood's adjacency matrix (-1 if all frames are neighbours).
`temporal_diagonal="gram"` adds the diagonal, and then it is λ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, cast, get_args

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Views
from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.energies.guard import Guard, NotPositiveDefinite
from groundstate_gcrf.energies.guarded import guarded
from groundstate_gcrf.energies.low_rank import (
    apply_columns,
    apply_rows,
    check_factor,
    event_of,
    gram_product,
    largest_gram_eigenvalue,
    normal,
)
from groundstate_gcrf.energies.matrix import GaussianCrf, as_scale, spread
from groundstate_gcrf.linear_algebra import cholesky, eigen
from groundstate_gcrf.structure import Factored, VideoStructure, common_shape

Neighbourhood = Literal["2", "4", "6-multiscale", "full"]
TemporalDiagonal = Literal["none", "gram"]
_REACH: dict[str, tuple[int, ...]] = {"2": (1,), "4": (1, 2), "6-multiscale": (1, 2, 4)}


@dataclass(frozen=True, kw_only=True)
class VideoMatrix:
    """The matrix of a video; the event is `[frames, *frame]`.

    Attributes:
        spatial: A_v, `[*batch, frames, rank, *frame]`.
        temporal: T_v, `[*batch, frames, other rank, *frame]`.
        coupling: how strongly the temporal parts of two frames are coupled; see `VideoStructure`.
        scale: λ, broadcastable to the batch.
        frame_shape: shape of one frame, such as labels, height and width.
    """

    spatial: Float[Tensor, "..."]
    temporal: Float[Tensor, "..."]
    coupling: Float[Tensor, "frames frames"]
    scale: Float[Tensor, "..."]
    frame_shape: tuple[int, ...]

    def __post_init__(self) -> None:
        for factor, name in ((self.spatial, "spatial"), (self.temporal, "temporal")):
            check_factor(factor, self.frame_shape, f"{name} embeddings (of each frame)")
            frames = factor.shape[: factor.dim() - len(self.frame_shape) - 1][-1:]
            if tuple(frames) != tuple(self.coupling.shape[:1]):
                raise ValueError(
                    f"{name} embeddings must be [*batch, frames, rank, *frame] for "
                    f"{self.coupling.shape[0]} frames, got the shape {tuple(factor.shape)}"
                )

    @property
    def batch_shape(self) -> tuple[int, ...]:
        size = len(self.frame_shape) + 2
        factors = (self.spatial, self.temporal)
        return common_shape(
            *(each.shape[: each.dim() - size] for each in factors), self.scale.shape
        )

    @property
    def event_shape(self) -> tuple[int, ...]:
        return (self.coupling.shape[0], *self.frame_shape)

    @property
    def factors(self) -> tuple[Float[Tensor, "..."], Float[Tensor, "..."]]:
        """A_v and T_v over flattened frames."""
        dimensions = len(self.frame_shape)
        return self.spatial.flatten(-dimensions), self.temporal.flatten(-dimensions)

    def matvec(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        """Each T_v and each A_v once in either direction, whatever the neighbourhood.

        The sum over neighbours is taken of the short vectors T_u x_u.
        """
        spatial, temporal = self.factors
        flat = x.flatten(-len(self.frame_shape))
        product = gram_product(spatial, flat)
        seen = self.coupling @ apply_rows(temporal, flat)
        product = product + apply_columns(temporal, seen)
        product = product.reshape(*product.shape[:-1], *self.frame_shape)
        return product + spread(self.scale, len(self.event_shape)) * x

    def diagonal(self) -> Float[Tensor, "..."]:
        axis = -1 - len(self.frame_shape)
        own = spread(self.coupling.diagonal(), len(self.frame_shape))
        grams = self.spatial.square().sum(axis) + own * self.temporal.square().sum(axis)
        return grams + spread(self.scale, len(self.event_shape))

    def _coupling_deficit(self) -> Float[Tensor, ""]:
        """δ with which coupling + δI is positive semidefinite."""
        lowest = cast(Tensor, torch.linalg.eigvalsh(self.coupling))[0]
        # an adjacency matrix with its degrees, or all ones, is positive semidefinite
        return torch.where(lowest < -1e-5, -lowest * (1 + 1e-5), torch.zeros_like(lowest))

    def temporal_bound(self) -> Float[Tensor, "..."]:
        """How far below 0 the eigenvalues of the temporal part may lie, at most."""
        deficit = self._coupling_deficit()
        return deficit * largest_gram_eigenvalue(self.factors[1]).amax(-1)

    def floor(self) -> Float[Tensor, "..."]:
        return self.scale - self.temporal_bound()

    def structure(self, linear: Float[Tensor, "..."], /) -> Views:
        spatial, temporal = self.factors
        return {
            Factored: lambda: Factored(noise=partial(self._noise, linear)),
            VideoStructure: lambda: VideoStructure(
                spatial=spatial, temporal=temporal, coupling=self.coupling, scale=self.scale
            ),
        }

    def _noise(
        self, linear: Tensor, sample_shape: tuple[int, ...], rng: torch.Generator
    ) -> Float[Tensor, "..."]:
        """A_vᵀε_v + T_vᵀ Σ_u W_vu ε'_u + noise of covariance λI - δT_vᵀT_v, WWᵀ = coupling + δI.

        The last is ζ - T_vᵀ(δT_vζ/λ + √δ Lε) with ζ ~ N(0, λI) and LLᵀ = I - δT_vT_vᵀ/λ: what is
        left of ζ when T_vζ was seen through noise (Matheron's rule). No root of a large matrix.
        """
        spatial, temporal = self.factors
        batch = (*sample_shape, *linear.shape[: linear.dim() - len(self.event_shape)])
        frames, size = len(self.coupling), temporal.shape[-1]

        def draw(length: int) -> Tensor:
            return normal((*batch, frames, length), linear, rng)

        values, vectors = eigen(self.coupling)
        deficit = self._coupling_deficit()
        root = vectors * (values + deficit).clamp(min=0).sqrt()
        scale = spread(self.scale, 2)
        own = scale.sqrt() * draw(size)
        short = root @ draw(temporal.shape[-2])
        if bool(deficit > 0):
            lower = self._lower(deficit)
            white = draw(temporal.shape[-2])
            rest = (lower @ white[..., None])[..., 0]
            short = short - (deficit / scale) * apply_rows(temporal, own) - deficit.sqrt() * rest
        noise = apply_columns(spatial, draw(spatial.shape[-2])) + apply_columns(temporal, short)
        return (noise + own).reshape(*batch, *self.event_shape)

    def _lower(self, deficit: Float[Tensor, ""]) -> Float[Tensor, "*batch frames rank rank"]:
        """The Cholesky factor of I - δT_vT_vᵀ/λ.

        Raises:
            NotPositiveDefinite: if λ is less than δσ_max(T_v)².
        """
        temporal = self.factors[1]
        gram = (deficit / spread(self.scale, 3)) * (temporal @ temporal.mT)
        eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        lower, definite = cholesky(eye - gram)
        if not bool(definite.all()):
            raise NotPositiveDefinite(
                "noise with the covariance A can be drawn where A is proved to be positive "
                "definite, and its temporal part may outweigh `diagonal`; raise it, set "
                '`temporal_diagonal = "gram"`, or let `guard = "rescale"` shrink the temporal '
                "embeddings"
            )
        return lower


def video_gcrf(
    *,
    unary: Float[Tensor, "..."],
    spatial: Float[Tensor, "..."],
    temporal: Float[Tensor, "..."],
    neighbourhood: Neighbourhood = "full",
    temporal_diagonal: TemporalDiagonal = "none",
    diagonal: Annotated[float, Gt(0)] | Tensor = 1.0,
    guard: Guard = "check",
) -> GaussianCrf:
    """Scores of labels in the frames of a video, coupled within frames and between them.

    Args:
        unary: b, `[*batch, frames, labels, height, width]`.
        spatial: A_v, `[*batch, frames, rank, labels, height, width]`.
        temporal: T_v, the same, with a rank of its own.
        neighbourhood: which frames are coupled: those 1 before and after, up to 2, at 1, 2 and 4,
            or all.
        temporal_diagonal: "none" is the paper's energy; "gram" adds T_vᵀT_v times the number of
            neighbours (once for "full"), and is positive definite for every λ.
        diagonal: λ, above 0, broadcastable to the batch.
        guard: what to do where A is not proved to be positive definite; "rescale" shrinks T.
    """
    event, scale = event_of(unary, 4), as_scale(diagonal, unary)
    coupling = coupling_of(event[0], neighbourhood, temporal_diagonal, unary)

    def build(factor: Tensor) -> VideoMatrix:
        return VideoMatrix(
            spatial=spatial,
            temporal=factor,
            coupling=coupling,
            scale=scale,
            frame_shape=event[1:],
        )

    matrix = build(temporal)
    return guarded(
        matrix,
        unary,
        scale,
        guard,
        radius=matrix.temporal_bound,
        times=lambda factor: build(spread(factor.sqrt(), len(event) + 1) * temporal),
        advice='raise `diagonal`, set `temporal_diagonal = "gram"`, or let `guard = "rescale"` '
        "shrink the temporal embeddings",
    )


def coupling_of(
    frames: int,
    neighbourhood: Neighbourhood,
    temporal_diagonal: TemporalDiagonal,
    like: Tensor,
) -> Float[Tensor, "frames frames"]:
    """Which frames are neighbours, and on the diagonal how much of each Gram block is added.

    Raises:
        ValueError: for a neighbourhood or a diagonal that is none.
    """
    check_choice("neighbourhood", neighbourhood, get_args(Neighbourhood))
    check_choice("temporal_diagonal", temporal_diagonal, get_args(TemporalDiagonal))
    frame = torch.arange(frames, device=like.device)
    distance = (frame[:, None] - frame).abs()
    if neighbourhood == "full":
        adjacent = distance > 0
        own = torch.ones(frames, device=like.device)
    else:
        reach = torch.tensor(_REACH[neighbourhood], device=like.device)
        adjacent = torch.isin(distance, reach)
        own = adjacent.sum(-1)
    coupling = adjacent.to(like.dtype)
    return coupling + torch.diag(own.to(like.dtype)) if temporal_diagonal == "gram" else coupling


def window_starts(frames: int, context: int, stride: int = 1) -> list[int]:
    """Where windows of `context` frames begin so that they cover a video of `frames`.

    Raises:
        ValueError: for a context that is longer than the video, or a stride that skips frames.
    """
    if not 1 <= context <= frames or not 1 <= stride <= context:
        raise ValueError(
            f"a window must have 1 ... {frames} frames and a stride of 1 ... its length, got "
            f"{context} frames and a stride of {stride}"
        )
    starts = list(range(0, frames - context + 1, stride))
    last = frames - context
    return starts if starts[-1] == last else [*starts, last]


def average_windows(
    windows: Sequence[Float[Tensor, "..."]],
    starts: Sequence[int],
    frames: int,
    frame_dimensions: int = 3,
) -> Float[Tensor, "..."]:
    """One prediction per frame: the mean over all windows that contain it.

    Args:
        windows: `[*batch, context, *frame]` each.
        starts: the first frame of each.
        frames: of the whole video; each must be in a window.
        frame_dimensions: how many dimensions a frame has.
    """
    axis = -1 - frame_dimensions
    first = windows[0]
    shape = list(first.shape)
    shape[axis] = frames
    total, count = first.new_zeros(shape), first.new_zeros(frames)
    for window, start in zip(windows, starts, strict=True):
        index = torch.arange(start, start + window.shape[axis], device=first.device)
        total = total.index_add(axis, index, window)
        count = count.index_add(0, index, torch.ones_like(index, dtype=count.dtype))
    if bool((count == 0).any()):
        missing = int((count == 0).nonzero()[0, 0])
        raise ValueError(f"every frame must be in a window, got none for frame {missing}")
    return total / spread(count, frame_dimensions)
