"""`energy/quadratic-sum`: several quadratic energies of one space, such as dense plus sparse.

The sum of positive definite matrices is positive definite, and its smallest eigenvalue is at least
the sum of theirs. Where all parts know their entries, or can draw noise, so does the sum.
`OverFrames` makes one energy of a video out of one energy per frame, so that terms within frames
can be added to terms in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, Views, view
from groundstate.space import Real
from groundstate.views import Density, Quadratic, SparseMatrix
from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.density import gaussian_density
from groundstate_gcrf.energies.guard import refuse_indefinite
from groundstate_gcrf.structure import Factored, common_shape


@dataclass(frozen=True, kw_only=True)
class QuadraticSum:
    """The sum of some energies, each of which gives `Quadratic`.

    Attributes:
        energies: of one event shape; their batch dimensions broadcast.
    """

    energies: tuple[Energy, ...]

    def __post_init__(self) -> None:
        if not self.energies:
            raise ValueError("a sum needs at least one energy, got none")
        spaces = [each.space for each in self.energies]
        kinds = {(space.layout.event_shape, space.dtype) for space in spaces}
        flat = all(isinstance(each, Real) and each.segments is None for each in spaces)
        if len(kinds) > 1 or not flat:
            raise ValueError(
                "the energies of a sum must be real, of one event shape and dtype, got "
                + ", ".join(f"{space.layout.event_shape} {space.dtype}" for space in spaces)
            )
        for each in self.energies:
            view(each, Quadratic)

    @property
    def space(self) -> Real:
        return self._space

    @cached_property
    def _space(self) -> Real:
        first = self.energies[0].space
        assert isinstance(first, Real)
        batches = (each.space.layout.batch_shape for each in self.energies)
        return replace(first, batch_shape=common_shape(*batches))

    @property
    def views(self) -> Views:
        parts = {Factored: self._factored, SparseMatrix: self._sparse}
        return {
            **{kind: make for kind, make in parts.items() if self._all_give(kind)},
            Density: lambda: gaussian_density(self),
            Quadratic: self._quadratic,
        }

    def _all_give(self, kind: type) -> bool:
        """Whether each part gives a view; noise must be drawn anew for each problem, too."""
        batch = self.space.batch_shape
        return all(
            kind in each.views and (kind is not Factored or each.space.layout.batch_shape == batch)
            for each in self.energies
        )

    def __call__(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        layout, parts = self.space.layout, self._parts()
        linear = _total([part.linear for part in parts])
        half = 0.5 * _total([part.matvec(x) for part in parts]) - linear
        return layout.dot(x, half) + _total([part.constant for part in parts])

    def _parts(self) -> list[Quadratic]:
        return [view(each, Quadratic) for each in self.energies]

    def _quadratic(self) -> Quadratic:
        parts, space = self._parts(), self.space
        floors = [part.floor for part in parts if part.floor is not None]
        constant = _total([part.constant for part in parts])
        return Quadratic(
            matvec=lambda x: _total([part.matvec(x) for part in parts]),
            linear=_total([part.linear for part in parts]).expand(space.layout.shape),
            constant=constant.expand(space.batch_shape),
            diagonal=_total([part.diagonal for part in parts]),
            floor=_total(floors).expand(space.batch_shape) if len(floors) == len(parts) else None,
        )

    def _sparse(self) -> SparseMatrix:
        """Entries of one place added up."""
        parts = [view(each, SparseMatrix) for each in self.energies]
        n = torch.Size(self.space.event_shape).numel()
        batch = common_shape(*(part.values.shape[:-1] for part in parts))
        places = torch.cat([part.indices[0] * n + part.indices[1] for part in parts])
        values = torch.cat([part.values.expand(*batch, -1) for part in parts], dim=-1)
        found, where = cast(tuple[Tensor, Tensor], torch.unique(places, return_inverse=True))
        total = values.new_zeros(*batch, len(found)).index_add(-1, where, values)
        return SparseMatrix(indices=torch.stack([found // n, found % n]), values=total)

    def _factored(self) -> Factored:
        parts = [view(each, Factored) for each in self.energies]
        return Factored(noise=lambda shape, rng: _total([part.noise(shape, rng) for part in parts]))


def quadratic_sum(
    *, energies: Sequence[Energy], guard: Literal["check", "report"] = "check"
) -> QuadraticSum:
    """Some quadratic energies at once.

    Args:
        energies: of one event shape; their batch dimensions broadcast.
        guard: "check" refuses a sum that is proved to be indefinite; "report" leaves it to the
            solver.
    """
    check_choice("guard", guard, ("check", "report"))
    total = QuadraticSum(energies=tuple(energies))
    if guard == "check":
        refuse_indefinite(total, "raise `diagonal` in one of the energies")
    return total


@dataclass(frozen=True, kw_only=True)
class OverFrames:
    """One energy over all frames, from independent problems along the last batch dimension.

    Attributes:
        energy: quadratic, `[*batch, frames, *event]`; it becomes `[*batch]` of `[frames, *event]`.
    """

    energy: Energy

    def __post_init__(self) -> None:
        if not self.energy.space.layout.batch_shape:
            raise ValueError("the frames must be the last batch dimension, but there is no batch")

    @property
    def space(self) -> Real:
        space = self.energy.space
        assert isinstance(space, Real)
        *batch, frames = space.batch_shape
        return replace(space, event_shape=(frames, *space.event_shape), batch_shape=tuple(batch))

    @property
    def views(self) -> Views:
        frames = {Density: self._density, Factored: lambda: view(self.energy, Factored)}
        kept = {kind: make for kind, make in frames.items() if kind in self.energy.views}
        return {**kept, Quadratic: self._quadratic}

    def __call__(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.energy(x).sum(-1)

    def _density(self) -> Density:
        frames = view(self.energy, Density)
        return Density(log_prob=lambda x: frames.log_prob(x).sum(-1))

    def _quadratic(self) -> Quadratic:
        quadratic, shape = view(self.energy, Quadratic), self.energy.space.layout.shape
        floor = quadratic.floor
        return Quadratic(
            matvec=quadratic.matvec,
            linear=quadratic.linear.expand(shape),
            constant=quadratic.constant.expand(self.energy.space.layout.batch_shape).sum(-1),
            diagonal=quadratic.diagonal.expand(shape),
            floor=None if floor is None else floor.amin(-1),
        )


def _total(parts: Sequence[Tensor]) -> Tensor:
    return sum(parts[1:], start=parts[0])
