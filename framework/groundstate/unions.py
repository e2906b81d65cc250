"""Different problems in one batch: flat, one after another, with a status per problem."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Energy, Views, view
from groundstate.factors import FactorGraph, join
from groundstate.space import Discrete, Real, Space
from groundstate.views import Quadratic


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
        made: dict[type, Callable[[], object]] = {
            FactorGraph: lambda: self._graph,
            Quadratic: self._quadratic,
        }
        return {
            kind: make
            for kind, make in made.items()
            if all(kind in part.views for part in self.parts)
        }

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

    @cached_property
    def _graph(self) -> FactorGraph:
        return join([view(part, FactorGraph) for part in self.parts])

    def _quadratic(self) -> Quadratic:
        parts = [view(part, Quadratic) for part in self.parts]
        floors = [part.floor for part in parts if part.floor is not None]

        def flat(values: Sequence[Tensor]) -> Tensor:
            """Values of each part, of the shape of its event, end to end."""
            shapes = [part.space.layout.event_shape for part in self.parts]
            return torch.cat([v.expand(s).flatten() for v, s in zip(values, shapes, strict=True)])

        def matvec(x: Tensor) -> Tensor:
            products = [part.matvec(y) for part, y in zip(parts, self.split(x), strict=True)]
            return torch.cat([each.reshape(*x.shape[:-1], -1) for each in products], dim=-1)

        return Quadratic(
            matvec=matvec,
            linear=flat([part.linear for part in parts]),
            constant=torch.stack([part.constant for part in parts]),
            diagonal=flat([part.diagonal for part in parts]),
            floor=torch.stack(floors) if len(floors) == len(parts) else None,
        )


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
