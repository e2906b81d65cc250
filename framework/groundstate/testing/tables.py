"""A table energy for the kit's own problems: the plainest factor group that serves everything.

The kit must not import plugins, so it has its own. Factors of one order share a group; their tables
lie end to end, one *cell* per joint labelling.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Views
from groundstate.factors import FactorGraph, FactorGroup, Service
from groundstate.space import Discrete
from groundstate.testing.oracles import labellings
from groundstate.testing.typed import broadcast, ints, pieces

ALL: frozenset[Service] = frozenset({"moves", "messages", "expectations"})


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Factors of one order, each with a table.

    Attributes:
        places: variable of each place of each factor.
        first: first graph entry of the variable of each place.
        sizes: label count of the variable of each place.
        cells: the tables end to end, in nats.
        total: how many entries the graph has.
        serves: what the group offers.
    """

    places: Int[Tensor, "factors order"]
    first: Int[Tensor, "factors order"]
    sizes: Int[Tensor, "factors order"]
    cells: Float[Tensor, "*batch cells"]
    total: int
    serves: frozenset[Service] = ALL

    @property
    def count(self) -> int:
        return len(self.places)

    @property
    def slots(self) -> Int[Tensor, " slots"]:
        return self.places.flatten()

    @property
    def owners(self) -> Int[Tensor, " slots"]:
        return torch.arange(self.count).repeat_interleave(self.places.shape[1])

    @cached_property
    def _strides(self) -> Int[Tensor, "factors order"]:
        return self.sizes.flip(1).cumprod(1).flip(1) // self.sizes

    @cached_property
    def _starts(self) -> Int[Tensor, " factors"]:
        lengths = self.sizes.prod(1)
        return lengths.cumsum(0) - lengths

    @cached_property
    def _owner_of_cell(self) -> Int[Tensor, " cells"]:
        return torch.arange(self.count).repeat_interleave(self.sizes.prod(1))

    @cached_property
    def _labels_of_cell(self) -> Int[Tensor, "cells order"]:
        tables = [labellings(sizes) for sizes in self.sizes]
        return torch.cat(tables) if tables else self.places.new_zeros(0, self.places.shape[1])

    @cached_property
    def _graph_entry(self) -> Int[Tensor, "cells order"]:
        return self.first[self._owner_of_cell] + self._labels_of_cell

    @cached_property
    def _group_entry(self) -> Int[Tensor, "cells order"]:
        sizes = self.sizes.flatten()
        starts = (sizes.cumsum(0) - sizes).reshape(self.sizes.shape)
        return starts[self._owner_of_cell] + self._labels_of_cell

    @cached_property
    def entries(self) -> Int[Tensor, " group_entries"]:
        parts = [
            start + torch.arange(size)
            for start, size in zip(ints(self.first), ints(self.sizes), strict=True)
        ]
        return torch.cat(parts) if parts else self.places.new_zeros(0)

    def _look_up(self, index: Int[Tensor, "*batch wanted"]) -> Float[Tensor, "*batch wanted"]:
        lead = broadcast(index.shape[:-1], self.cells.shape[:-1])
        cells = self.cells.expand(*lead, -1)
        return cells.gather(-1, index.expand(*lead, -1))

    def energies(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch factors"]:
        chosen = labels[..., self.places]
        return self._look_up((chosen * self._strides).sum(-1) + self._starts)

    def moves(self, labels: Int[Tensor, "*batch variables"]) -> Float[Tensor, "*batch entries"]:
        chosen = labels[..., self.places]
        base = (chosen * self._strides).sum(-1) + self._starts
        result = self.cells.new_zeros(())
        for place in range(self.places.shape[1]):
            without = base - chosen[..., place] * self._strides[:, place]
            owner = torch.arange(self.count).repeat_interleave(self.sizes[:, place])
            label = torch.cat([torch.arange(size) for size in ints(self.sizes[:, place])])
            values = self._look_up(without[..., owner] + label * self._strides[owner, place])
            zeros = values.new_zeros(*values.shape[:-1], self.total)
            result = result + zeros.index_add(-1, self.first[owner, place] + label, values)
        return result

    def minima(self) -> Float[Tensor, "*batch factors"]:
        tables = pieces(self.cells, ints(self.sizes.prod(1)))
        return torch.stack([table.amin(-1) for table in tables], -1)

    def messages(
        self, incoming: Float[Tensor, "*batch group_entries"], temperature: float
    ) -> Float[Tensor, "*batch group_entries"]:
        result = torch.full_like(incoming + self.cells[..., :1], float("inf"))
        for place in range(self.places.shape[1]):
            cost = self.cells
            for other in range(self.places.shape[1]):
                if other != place:
                    cost = cost + incoming[..., self._group_entry[:, other]]
            target = self._group_entry[:, place]
            cost = cost.expand(*result.shape[:-1], -1)
            lowest = result.scatter_reduce(-1, target.expand_as(cost), cost, "amin")
            if temperature > 0:
                base = torch.where(lowest.isfinite(), lowest, 0.0)
                weights = torch.exp((base[..., target] - cost) / temperature)
                sums = torch.zeros_like(result).index_add(-1, target, weights)
                soft = base - temperature * sums.log()
                lowest = torch.where(lowest.isfinite(), soft, lowest)
            result = torch.minimum(result, lowest)
        return result

    def _chances(
        self, beliefs: Float[Tensor, "*batch entries"], without: int | None
    ) -> Float[Tensor, "*batch cells"]:
        chance = torch.ones_like(beliefs[..., :1])
        for place in range(self.places.shape[1]):
            if place != without:
                chance = chance * beliefs[..., self._graph_entry[:, place]]
        return chance

    def expected_moves(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch entries"]:
        result = torch.zeros_like(beliefs + self.cells[..., :1])
        for place in range(self.places.shape[1]):
            mean = _product(self._chances(beliefs, place), self.cells)
            mean = mean.expand(*result.shape[:-1], -1)
            result = result.index_add(-1, self._graph_entry[:, place], mean)
        return result

    def expected_energies(
        self, beliefs: Float[Tensor, "*batch entries"]
    ) -> Float[Tensor, "*batch factors"]:
        mean = _product(self._chances(beliefs, None), self.cells)
        zeros = mean.new_zeros(*mean.shape[:-1], self.count)
        return zeros.index_add(-1, self._owner_of_cell, mean)

    def touching(self, variables: Bool[Tensor, " variables"]) -> "Tables":
        kept = variables[self.places].any(1)
        return Tables(
            places=self.places[kept],
            first=self.first[kept],
            sizes=self.sizes[kept],
            cells=self.cells[..., kept[self._owner_of_cell]],
            total=self.total,
            serves=self.serves,
        )

    def shifted(self, *, variables: int, entries: int, total: int) -> "Tables":
        return Tables(
            places=self.places + variables,
            first=self.first + entries,
            sizes=self.sizes,
            cells=self.cells,
            total=total,
            serves=self.serves,
        )


def _product(chance: Float[Tensor, "..."], value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Chance times value where what never happens counts nothing, be its energy infinite."""
    return torch.where(chance > 0, chance * value, 0.0)


@dataclass(frozen=True, kw_only=True)
class TableEnergy:
    """E(y) = c + Σ tables, on a discrete space.

    Attributes:
        space: the labels.
        graph: the factors, over the flat variables.
    """

    space: Discrete
    graph: FactorGraph

    @property
    def views(self) -> Views:
        return {FactorGraph: lambda: self.graph}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        self.space.validate(x)
        return self.graph.energy(x.flatten(x.dim() - self.space.counts.dim()))


def table_energy(
    counts: Int[Tensor, "*event"],
    factors: Sequence[tuple[tuple[int, ...], Tensor]],
    *,
    constant: float = 0.0,
    batch_shape: tuple[int, ...] = (),
    serves: frozenset[Service] = ALL,
) -> TableEnergy:
    """An energy from (variables, table) pairs; a table is `[*batch, labels, labels, ...]`."""
    flat = counts.flatten()
    offsets = flat.cumsum(0) - flat
    groups: list[FactorGroup] = []
    for order in sorted({len(variables) for variables, _ in factors}):
        chosen = [(v, t) for v, t in factors if len(v) == order]
        places = torch.tensor([variables for variables, _ in chosen])
        cells = [table.reshape(*table.shape[: table.dim() - order], -1) for _, table in chosen]
        groups.append(
            Tables(
                places=places,
                first=offsets[places],
                sizes=flat[places],
                cells=torch.cat(cells, -1),
                total=int(flat.sum()),
                serves=serves,
            )
        )
    dtype = factors[0][1].dtype
    graph = FactorGraph(
        counts=flat,
        groups=tuple(groups),
        constant=torch.full(batch_shape, constant, dtype=dtype),
    )
    return TableEnergy(space=Discrete(counts=counts, batch_shape=batch_shape), graph=graph)
