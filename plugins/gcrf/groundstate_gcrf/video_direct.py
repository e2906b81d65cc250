"""`solver/video-direct`: frames coupled through embeddings, solved by one small system (spec §8.5).

With U_v = [A_v; T_v] for each frame, A = λI + UᵀKU: U has U_v of every frame on its diagonal, K the
identity for spatial rows and the coupling c for temporal ones. So with the Gram blocks G = UUᵀ

    A⁻¹b = (b - Uᵀ (λI + KG)⁻¹ K U b) / λ,

a system with frames · (rank + other rank) unknowns, whatever the neighbourhood. A is positive
definite if and only if λ > 0 and λI + G^½KG^½ is, which has the same eigenvalues as A beside λ.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Bool, Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate_gcrf.direct import Direct, Inverse, verdict_of
from groundstate_gcrf.linear_algebra import all_finite, cholesky, eigen, factor_lu, solve_lu
from groundstate_gcrf.sides import Sides
from groundstate_gcrf.structure import VideoStructure, common_shape


def video_direct(*, tolerance: Annotated[float, Ge(0)] | None = None) -> Direct:
    """By one system of the ranks of all frames.

    With V frames of n variables and R embedding rows each: O(VnR² + (VR)³) time, (VR)² numbers.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """
    return Direct(factorise=factorise, tolerance=tolerance)


@dataclass(frozen=True, kw_only=True)
class SmallSystem:
    """What the matrix of a video is made of beside U.

    Attributes:
        rows: U_v of each frame.
        gram: U_v U_vᵀ.
        coupling: K over frames and rows: δ_uv for spatial rows, c_uv for temporal ones.
        scale: λ.
    """

    rows: Float[Tensor, "*own frames rank variables"]
    gram: Float[Tensor, "*own frames rank rank"]
    coupling: Float[Tensor, "all all"]
    scale: Float[Tensor, "*own"]


def small_system(video: VideoStructure) -> SmallSystem:
    """The parts of A, differentiable."""
    own = common_shape(video.spatial.shape[:-3], video.temporal.shape[:-3], video.scale.shape)
    parts = [each.expand(*own, *each.shape[-3:]) for each in (video.spatial, video.temporal)]
    rows = torch.cat(parts, -2)
    return SmallSystem(
        rows=rows,
        gram=rows @ rows.mT,
        coupling=_coupling(video.coupling, *(each.shape[-2] for each in parts)),
        scale=video.scale.expand(own),
    )


def factorise(energy: Energy) -> Inverse:
    """A⁻¹ of the matrix of a video, with a verdict per problem."""
    layout, small = energy.space.layout, small_system(view(energy, VideoStructure))
    own, (frames, rank) = small.scale.shape, small.rows.shape[-3:-1]
    # what is not finite in U is not finite on the diagonal of UUᵀ
    finite = all_finite(small.gram.flatten(-3, -2)) & small.scale.isfinite()
    usable = finite & (small.scale > 0)
    rows, gram = small.rows, small.gram
    if not bool(usable.all()):
        where = usable[..., None, None, None]
        rows, gram = (torch.where(where, each, 0.0) for each in (rows, gram))
        small = replace(small, gram=gram, scale=torch.where(usable, small.scale, 1.0))
    definite = is_definite(small)
    eye = torch.eye(frames * rank, dtype=rows.dtype, device=rows.device)
    matrix = small.scale[..., None, None] * eye + _coupled(small, gram)
    matrix = torch.where(definite[..., None, None], matrix, eye)
    sides = Sides(batch=layout.batch_shape, own=tuple(own))
    factors = factor_lu(sides.matrices(matrix))
    stacked = sides.matrices(rows.flatten(-3, -2))
    kept = stacked.shape[:-2]
    lower = stacked.reshape(*kept, frames, rank, -1)
    shift = sides.matrices(small.scale[..., None, None])

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(b.reshape(*layout.batch_shape, -1))
        count = columns.shape[-1]
        seen = lower @ columns.reshape(*kept, frames, -1, count)
        inner = solve_lu(factors, small.coupling @ seen.flatten(-3, -2))
        rest = lower.mT @ inner.reshape(*kept, frames, rank, count)
        return sides.rows((columns - rest.flatten(-3, -2)) / shift).reshape(layout.shape)

    verdict = sides.spread(verdict_of(definite & usable, finite))
    stats = {"unknowns of the small system": float(frames * rank)}
    return Inverse(apply=apply, verdict=verdict, stats=stats)


def is_definite(small: SmallSystem) -> Bool[Tensor, "*own"]:
    """Whether A is, by a matrix of the small size with the same eigenvalues as A beside λ."""
    values, vectors = eigen(small.gram.detach())
    root = (vectors * values.clamp(min=0.0).sqrt()[..., None, :]) @ vectors.mT
    small = replace(small, coupling=small.coupling.detach())
    both = _coupled(small, root, root)
    eye = torch.eye(both.shape[-1], dtype=root.dtype, device=root.device)
    return cholesky(both + small.scale.detach()[..., None, None] * eye)[1]


def _coupled(
    small: SmallSystem,
    right: Float[Tensor, "*own frames n n"],
    left: Float[Tensor, "*own frames n n"] | None = None,
) -> Float[Tensor, "*own all all"]:
    """K times the block-diagonal matrix of some blocks, and that of others times it.

    Each block of K is diagonal, so it only scales rows.
    """
    frames, n = right.shape[-3:-1]
    mixed = small.coupling.reshape(frames, n, frames, n).diagonal(dim1=1, dim2=3)
    if left is None:
        blocks = mixed[..., None] * right[..., None, :, :, :]
    else:
        blocks = (left[..., :, None, :, :] * mixed[:, :, None, :]) @ right[..., None, :, :, :]
    return blocks.transpose(-3, -2).reshape(*right.shape[:-3], frames * n, frames * n)


def on_diagonal(blocks: Float[Tensor, "*own frames n n"]) -> Float[Tensor, "*own all all"]:
    """The block-diagonal matrix of some blocks."""
    frames, n = blocks.shape[-3:-1]
    eye = torch.eye(frames, dtype=blocks.dtype, device=blocks.device)
    spread = blocks[..., :, None, :, :] * eye[:, :, None, None]
    return spread.transpose(-3, -2).reshape(*blocks.shape[:-3], frames * n, frames * n)


def _coupling(
    c: Float[Tensor, "frames frames"], rank: int, other_rank: int
) -> Float[Tensor, "all all"]:
    eye = torch.eye(rank + other_rank, dtype=c.dtype, device=c.device)
    first = eye.clone()
    first[rank:] = 0.0
    frames = torch.eye(len(c), dtype=c.dtype, device=c.device)
    return torch.kron(frames, first) + torch.kron(c, eye - first)
