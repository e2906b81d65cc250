"""Different problems in one batch: flat, one after another, with a status per problem."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Energy, Views, view
from groundstate.factors import FactorGraph, join
from groundstate.space import Discrete, Real, Space


@dataclass(frozen=True, kw_only=True)
class Union:
    """Energies of different sizes whose flat configurations lie end to end.

    Attributes:
        parts: the energies, each without batch.
        space: all their variables; `space.layout` sums per part.
    """

    parts: tuple[Energy, ...]
    space: Space

    @property
    def views(self) -> Views:
        if all(FactorGraph in part.views for part in self.parts):
            return {FactorGraph: self._graph}
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return torch.stack([part(y) for part, y in zip(self.parts, self.split(x), strict=True)], -1)

    def split(self, x: Shaped[Tensor, "..."]) -> list[Tensor]:
        """The configuration of each part, in its own shape."""
        shapes = [part.space.layout.event_shape for part in self.parts]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        pieces = torch.split(x, sizes, dim=-1)
        return [
            piece.reshape(*piece.shape[:-1], *shape)
            for piece, shape in zip(pieces, shapes, strict=True)
        ]

    def _graph(self) -> FactorGraph:
        return join([view(part, FactorGraph) for part in self.parts])


def union(energies: Sequence[Energy]) -> Union:
    """One energy for problems of different sizes.

    Its configurations are flat, `[*sample, all variables]`, its energies `[*sample, problems]`.

    Raises:
        ValueError: for no energies, one that has a batch, or discrete and real ones together.
    """
    if not energies:
        raise ValueError("a union needs at least one energy, got none")
    for energy in energies:
        if energy.space.layout.batch_shape:
            raise ValueError(
                f"each energy of a union must be one problem, got a batch of shape "
                f"{energy.space.layout.batch_shape}; a batch of one size needs no union"
            )
    return Union(parts=tuple(energies), space=_join_spaces([each.space for each in energies]))


def _join_spaces(spaces: Sequence[Space]) -> Space:
    sizes = torch.tensor([torch.Size(space.layout.event_shape).numel() for space in spaces])
    segments = torch.arange(len(spaces)).repeat_interleave(sizes).to(spaces[0].device)
    discrete = [space for space in spaces if isinstance(space, Discrete)]
    if len(discrete) == len(spaces):
        counts = torch.cat([space.counts.flatten() for space in discrete])
        return Discrete(counts=counts, batch_shape=(len(spaces),), segments=segments)
    real = [space for space in spaces if isinstance(space, Real)]
    kinds = {(space.dtype, space.lower, space.upper) for space in real}
    if len(real) != len(spaces) or len(kinds) != 1:
        raise ValueError(
            "the energies of a union must all be discrete, or all real with one dtype and bounds"
        )
    return Real(
        event_shape=(int(sizes.sum()),),
        batch_shape=(len(spaces),),
        segments=segments,
        dtype=real[0].dtype,
        lower=real[0].lower,
        upper=real[0].upper,
        device=real[0].device,
    )
