"""`block-jacobi`: the variables are cut into boxes, and each box is solved for alone.

A box is a range along every axis of the event: a tile of pixels, a few labels of a tile, a run of
variables where the event is flat. Its extents grow evenly, the smallest one first, for the entries
of A that couple neighbours in labels, rows and columns are alike in size; the labels of one pixel
alone are not coupled at all in most energies of labels. M is A without the entries between boxes:
symmetric, and positive definite wherever A is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from groundstate.energy import Energy, view
from groundstate.errors import ViewError
from groundstate.views import SparseMatrix
from groundstate_gcrf.linear_algebra import cholesky, cholesky_solve
from groundstate_gcrf.structure import LowRank, PottsStructure, VideoStructure


@dataclass(frozen=True, kw_only=True)
class Boxes:
    """Which variables are in which box.

    Attributes:
        variables: the flat index of each, box by box; one past the last where a box has fewer.
        place: where each variable is in `variables`, flattened.
    """

    variables: Int[Tensor, "boxes size"]
    place: Int[Tensor, " variables"]

    @property
    def present(self) -> Tensor:
        """Whether there is a variable."""
        return self.variables < len(self.place)

    @property
    def known(self) -> Int[Tensor, "boxes size"]:
        """The variables, with some variable or other where there is none."""
        return self.variables.clamp(max=len(self.place) - 1)


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """M⁻¹, by the inverses of the diagonal blocks.

    Attributes:
        boxes: of the variables.
        inverse: of the block of each box.
        event_shape: of a configuration.
    """

    boxes: Boxes
    inverse: Float[Tensor, "*own boxes size size"]
    event_shape: tuple[int, ...]

    def apply(self, remainder: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        batch = remainder.shape[: remainder.dim() - len(self.event_shape)]
        flat = pad(remainder.reshape(*batch, -1), (0, 1))
        found = self.inverse @ flat[..., self.boxes.variables][..., None]
        return found.flatten(-3)[..., self.boxes.place].reshape(remainder.shape)


def extents(event_shape: Sequence[int], limit: int) -> tuple[int, ...]:
    """Of a box with at most `limit` variables: the smallest is doubled, of equals the last."""
    found = [1] * len(event_shape)
    while True:
        size = math.prod(found)
        grown = {
            axis: min(2 * extent, length)
            for axis, (extent, length) in enumerate(zip(found, event_shape, strict=True))
            if extent < length and size // extent * min(2 * extent, length) <= limit
        }
        if not grown:
            return tuple(found)
        axis = min(grown, key=lambda each: (found[each], -each))
        found[axis] = grown[axis]


def boxes_of(event_shape: Sequence[int], limit: int, device: torch.device) -> Boxes:
    """The event cut into boxes, from the first variable on; those at the end may be smaller."""
    number = torch.zeros(tuple(event_shape), dtype=torch.int64, device=device)
    shape = extents(event_shape, limit)
    for axis, (length, extent) in enumerate(zip(event_shape, shape, strict=True)):
        own = torch.arange(length, device=device) // extent
        count = -(-length // extent)
        number = number * count + own.reshape(-1, *[1] * (len(event_shape) - axis - 1))
    number, size = number.flatten(), math.prod(shape)
    order = number.argsort(stable=True)
    counts = torch.bincount(number)
    first = counts.cumsum(0) - counts
    place = torch.empty_like(number)
    rank = torch.arange(len(number), device=device) - first[number[order]]
    place[order] = number[order] * size + rank
    variables = torch.full((len(counts) * size,), len(number), device=device)
    variables[place] = torch.arange(len(number), device=device)
    return Boxes(variables=variables.reshape(-1, size), place=place)


def block_jacobi(energy: Energy, limit: int) -> Blocks:
    """The inverses of the diagonal blocks of an energy.

    Args:
        energy: with one of the views that know entries of A.
        limit: the most variables in a box.

    Raises:
        ViewError: if it has none of them.
    """
    layout = energy.space.layout
    boxes = boxes_of(layout.event_shape, limit, energy.space.device)
    for kind, entries in _ENTRIES.items():
        found = entries(energy, boxes) if kind in energy.views else None
        if found is not None:
            inverse = _inverse(found, boxes)
            return Blocks(boxes=boxes, inverse=inverse, event_shape=layout.event_shape)
    needed = ", ".join(sorted(kind.__name__ for kind in _ENTRIES))
    given = ", ".join(sorted(kind.__name__ for kind in energy.views))
    raise ViewError(
        f"the preconditioner 'block-jacobi' needs entries of the matrix, so one of the views "
        f"{needed}, but {type(energy).__name__} gives: {given}. Use 'jacobi'"
    )


def _inverse(
    entries: Float[Tensor, "*own boxes size size"], boxes: Boxes
) -> Float[Tensor, "*own boxes size size"]:
    """Of each block; of its diagonal where the block is not positive definite.

    Then A is not either, which the solver finds out by itself.
    """
    present = boxes.present
    ones = torch.eye(present.shape[-1], dtype=entries.dtype, device=entries.device)
    entries = torch.where(present[:, :, None] & present[:, None, :], entries, ones)
    diagonal = entries.diagonal(dim1=-2, dim2=-1)
    diagonal = torch.diag_embed(torch.where(diagonal > 0, diagonal, 1.0))
    finite = entries.isfinite().all(-1).all(-1)[..., None, None]
    factor, definite = cholesky(torch.where(finite, entries, diagonal))
    factor = torch.where(definite[..., None, None], factor, diagonal.sqrt())
    inverse = cholesky_solve(factor, ones.expand(entries.shape))
    return 0.5 * (inverse + inverse.mT)


def _of_sparse(energy: Energy, boxes: Boxes) -> Tensor:
    sparse = view(energy, SparseMatrix)
    count, size = boxes.variables.shape
    rows, columns = boxes.place[sparse.indices]
    inside = rows // size == columns // size
    values = sparse.values[..., inside]
    zeros = values.new_zeros(*values.shape[:-1], count * size * size)
    found = zeros.index_add(-1, rows[inside] * size + columns[inside] % size, values)
    return found.reshape(*values.shape[:-1], count, size, size)


def _gram(
    factor: Float[Tensor, "*own rank columns"], columns: Int[Tensor, "boxes size"]
) -> Float[Tensor, "*own boxes size size"]:
    """FᵀF over the columns of each box."""
    chosen = factor[..., columns].movedim(-3, -2)
    return chosen.mT @ chosen


def _of_low_rank(energy: Energy, boxes: Boxes) -> Tensor:
    rank = view(energy, LowRank)
    chosen = rank.factor[..., boxes.known].movedim(-3, -2)
    gram = (chosen * rank.signs[:, None]).mT @ chosen
    return gram + _scaled_identity(rank.scale, boxes)


def _of_potts(energy: Energy, boxes: Boxes) -> Tensor | None:
    potts = view(energy, PottsStructure)
    if potts.factor is None:
        return None
    pixels = potts.factor.shape[-1]
    label = boxes.known // pixels
    coupled = label[:, :, None] != label[:, None, :]
    between = _gram(potts.factor, boxes.known % pixels)
    return between * coupled + _scaled_identity(potts.scale, boxes)


def _of_video(energy: Energy, boxes: Boxes) -> Tensor:
    video = view(energy, VideoStructure)
    frame = boxes.known // video.spatial.shape[-1]
    spatial, temporal = (
        _gram(part.movedim(-3, -2).flatten(-2), boxes.known)
        for part in (video.spatial, video.temporal)
    )
    own = frame[:, :, None] == frame[:, None, :]
    between = video.coupling[frame[:, :, None], frame[:, None, :]]
    return spatial * own + temporal * between + _scaled_identity(video.scale, boxes)


def _scaled_identity(scale: Float[Tensor, "*own"], boxes: Boxes) -> Tensor:
    size = boxes.variables.shape[-1]
    return scale[..., None, None, None] * torch.eye(size, dtype=scale.dtype, device=scale.device)


_ENTRIES: Mapping[type, Callable[[Energy, Boxes], Tensor | None]] = {
    SparseMatrix: _of_sparse,
    LowRank: _of_low_rank,
    PottsStructure: _of_potts,
    VideoStructure: _of_video,
}
"""Where the entries of blocks come from, the cheapest first; None where a view has none."""
