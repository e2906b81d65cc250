"""`solver/video-direct`: frames coupled through embeddings, solved by one small system (spec §8.5).

With U_v = [A_v; T_v] for each frame, A = λI + UᵀKU: U has U_v of every frame on its diagonal, K the
identity for spatial rows and the coupling c for temporal ones. So with the Gram blocks G = UUᵀ

    A⁻¹b = (b - Uᵀ (λI + KG)⁻¹ K U b) / λ,

a system with frames · (rank + other rank) unknowns, whatever the neighbourhood. A is positive
definite if and only if λ > 0 and λI + G^½KG^½ is, which has the same eigenvalues as A beside λ.
"""

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate_gcrf.direct import Direct, Inverse, verdict_of
from groundstate_gcrf.linear_algebra import cholesky, eigen, factor_lu, solve_lu
from groundstate_gcrf.sides import Sides
from groundstate_gcrf.structure import VideoStructure, common_shape


def video_direct(*, tolerance: Annotated[float, Ge(0)] | None = None) -> Direct:
    """By one system of the ranks of all frames.

    With V frames of n variables and R embedding rows each: O(VnR² + (VR)³) time, (VR)² numbers.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """
    return Direct(factorise=factorise, tolerance=tolerance)


def factorise(energy: Energy) -> Inverse:
    """A⁻¹ of the matrix of a video, with a verdict per problem."""
    video, layout = view(energy, VideoStructure), energy.space.layout
    spatial, temporal = video.spatial.detach(), video.temporal.detach()
    own = common_shape(spatial.shape[:-3], temporal.shape[:-3], video.scale.shape)
    parts = [each.expand(*own, *each.shape[-3:]) for each in (spatial, temporal)]
    rows = torch.cat(parts, -2)  # U_v of each frame
    frames, rank = rows.shape[-3:-1]
    scale = video.scale.detach().expand(own)
    finite = rows.isfinite().flatten(-3).all(-1) & scale.isfinite()
    usable = finite & (scale > 0)
    rows = torch.where(usable[..., None, None, None], rows, 0.0)
    safe = torch.where(usable, scale, 1.0)[..., None, None]
    coupling = _coupling(video, spatial.shape[-2], temporal.shape[-2])
    gram = rows @ rows.mT
    eye = torch.eye(frames * rank, dtype=rows.dtype, device=rows.device)
    definite = _is_definite(gram, coupling, safe * eye)
    small = safe * eye + coupling @ _on_diagonal(gram)
    small = torch.where(definite[..., None, None], small, eye)
    sides = Sides(batch=layout.batch_shape, own=own)
    factors = factor_lu(sides.matrices(small))
    stacked = sides.matrices(rows.flatten(-3, -2))
    kept = stacked.shape[:-2]
    lower = stacked.reshape(*kept, frames, rank, -1)
    shift = sides.matrices(safe)

    def apply(b: Tensor) -> Tensor:
        columns = sides.columns(b.reshape(*layout.batch_shape, -1))
        count = columns.shape[-1]
        seen = lower @ columns.reshape(*kept, frames, -1, count)
        small = solve_lu(factors, coupling @ seen.flatten(-3, -2))
        rest = lower.mT @ small.reshape(*kept, frames, rank, count)
        return sides.rows((columns - rest.flatten(-3, -2)) / shift).reshape(layout.shape)

    verdict = sides.spread(verdict_of(definite & usable, finite))
    stats = {"unknowns of the small system": float(frames * rank)}
    return Inverse(apply=apply, verdict=verdict, stats=stats)


def _coupling(video: VideoStructure, rank: int, other_rank: int) -> Float[Tensor, "all all"]:
    """K over frames and rows: δ_uv for spatial rows, c_uv for temporal ones."""
    c = video.coupling.detach()
    eye = torch.eye(rank + other_rank, dtype=c.dtype, device=c.device)
    first = eye.clone()
    first[rank:] = 0.0
    frames = torch.eye(len(c), dtype=c.dtype, device=c.device)
    return torch.kron(frames, first) + torch.kron(c, eye - first)


def _on_diagonal(blocks: Float[Tensor, "*own frames n n"]) -> Float[Tensor, "*own all all"]:
    frames, n = blocks.shape[-3:-1]
    eye = torch.eye(frames, dtype=blocks.dtype, device=blocks.device)
    spread = blocks[..., :, None, :, :] * eye[:, :, None, None]
    return spread.transpose(-3, -2).reshape(*blocks.shape[:-3], frames * n, frames * n)


def _is_definite(
    gram: Float[Tensor, "*own frames n n"],
    coupling: Float[Tensor, "all all"],
    shift: Float[Tensor, "*own all all"],
) -> Tensor:
    values, vectors = eigen(gram)
    root = (vectors * values.clamp(min=0.0).sqrt()[..., None, :]) @ vectors.mT
    whole = _on_diagonal(root)
    return cholesky(whole @ coupling @ whole + shift)[1]
