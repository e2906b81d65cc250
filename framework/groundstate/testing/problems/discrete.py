"""Factor graphs of tables: trees, cycles, grids, orders, constraints, batches."""

from collections.abc import Sequence

import torch
from torch import Tensor

from groundstate.testing.problems.problem import Problem
from groundstate.testing.tables import TableEnergy, Tables, table_energy
from groundstate.testing.trees import generator
from groundstate.testing.typed import ints, pieces
from groundstate.unions import union

_TREE = [(0, 1), (1, 2), (1, 3), (3, 4)]
_CYCLE = [(0, 1), (1, 2), (2, 3), (3, 0)]
_GRID = [(v, v + 1) for v in range(8) if v % 3 < 2] + [(v, v + 3) for v in range(6)]


def random_graph(
    counts: Sequence[int],
    scopes: Sequence[tuple[int, ...]],
    seed: int,
    *,
    batch: tuple[int, ...] = (),
    event_shape: tuple[int, ...] | None = None,
) -> TableEnergy:
    """Random tables on the given scopes, unary ones included."""
    rng = generator(seed)

    def table(scope: tuple[int, ...]) -> Tensor:
        shape = (*batch, *(counts[variable] for variable in scope))
        return torch.randn(shape, dtype=torch.float64, generator=rng)

    unary = [(variable,) for variable in range(len(counts))]
    factors = [(scope, table(scope)) for scope in [*unary, *scopes]]
    shaped = torch.tensor(counts).reshape(event_shape or (len(counts),))
    return table_energy(shaped, factors, constant=0.25, batch_shape=batch)


def factors_of(energy: TableEnergy, index: int | None) -> list[tuple[tuple[int, ...], Tensor]]:
    """The factors as (variables, table), those of problem `index` where there is a batch."""
    factors: list[tuple[tuple[int, ...], Tensor]] = []
    for group in energy.graph.groups:
        assert isinstance(group, Tables)
        cells = group.cells if index is None else group.cells[index]
        tables = pieces(cells, ints(group.sizes.prod(1)))
        for place, size, table in zip(group.places, group.sizes, tables, strict=True):
            factors.append((tuple(ints(place)), table.reshape(ints(size))))
    return factors


def _part(energy: TableEnergy, index: int) -> TableEnergy:
    """Problem `index` of a batch made by `random_graph`."""
    constant = float(energy.graph.constant[index])
    return table_energy(energy.space.counts, factors_of(energy, index), constant=constant)


def hard_constraints() -> TableEnergy:
    """A cycle of three labels in which neighbours must differ, one of them pinned."""
    counts = torch.tensor([3, 3, 3, 3])
    differ = torch.diag(torch.full((3,), float("inf"), dtype=torch.float64))
    pinned = torch.tensor([float("inf"), 0.0, float("inf")], dtype=torch.float64)
    unary = torch.randn(4, 3, dtype=torch.float64, generator=generator(21))
    unary[2] = unary[2] + pinned
    factors: list[tuple[tuple[int, ...], Tensor]] = [((v,), unary[v]) for v in range(4)]
    factors += [(scope, torch.where(differ > 0, differ, 0.0)) for scope in _CYCLE]
    return table_energy(counts, factors)


def contradiction() -> Problem:
    """Three variables with two labels that must all differ: no labelling has a finite energy."""
    differ = torch.tensor([[float("inf"), 0.0], [0.0, float("inf")]], dtype=torch.float64)
    factors = [(scope, differ) for scope in [(0, 1), (1, 2), (0, 2)]]
    return Problem(
        name="contradicting constraints",
        energy=table_energy(torch.tensor([2, 2, 2]), factors),
        solvable=False,
    )


def graphs() -> list[Problem]:
    """Factor graphs that brute force can solve: trees, cycles, orders, constraints, batches."""
    tree = random_graph([2, 3, 2, 3, 2], _TREE, 10)
    cycle = random_graph([2, 3, 4, 2], _CYCLE, 11)
    batch = random_graph([2, 3, 2, 2], _CYCLE, 13, batch=(3,))
    triple = random_graph([2, 3, 2, 2], [(0, 1, 2), (1, 2, 3), (0, 3)], 14)
    return [
        Problem(name="tree", energy=tree, tree=True),
        Problem(name="grid", energy=random_graph([2] * 9, _GRID, 12, event_shape=(3, 3))),
        Problem(name="cycle of unequal label counts", energy=cycle),
        Problem(
            name="one label only", energy=random_graph([1, 2, 1], [(0, 1), (1, 2)], 15), tree=True
        ),
        Problem(name="unary terms only", energy=random_graph([3, 2], [], 16), tree=True),
        Problem(
            name="batch of cycles",
            energy=batch,
            parts=tuple(_part(batch, index) for index in range(3)),
        ),
        Problem(name="factors of order 3", energy=triple),
        Problem(name="hard constraints", energy=hard_constraints()),
        Problem(name="union of graphs", energy=union([tree, cycle]), parts=(tree, cycle)),
        Problem(name="factors that serve only moves", energy=_moves_only(), higher_order=True),
        _linear_chains(),
    ]


def _linear(costs: Tensor, scopes: Sequence[tuple[int, ...]], weight: float) -> TableEnergy:
    """Prices weight·|a - b| on edges: submodular in the order of the labels, and a metric."""
    *_, variables, labels = costs.shape
    label = torch.arange(labels, dtype=torch.float64)
    price = (weight * (label[:, None] - label).abs()).expand(*costs.shape[:-2], labels, labels)
    factors = [((v,), costs[..., v, :]) for v in range(variables)]
    counts = torch.full((variables,), labels)
    batch = tuple(costs.shape[:-2])
    return table_energy(
        counts, [*factors, *((scope, price) for scope in scopes)], batch_shape=batch
    )


def _linear_chains() -> Problem:
    """A batch of cycles for solvers that ask for structure, such as graph cuts."""
    costs = torch.randn(2, 4, 3, dtype=torch.float64, generator=generator(24))
    return Problem(
        name="batch of linear cycles",
        energy=_linear(costs, _CYCLE, 0.7),
        parts=tuple(_linear(each, _CYCLE, 0.7) for each in costs),
    )


def forced_apart() -> Problem:
    """Submodular, and without a labelling of finite energy."""
    infinity = float("inf")
    table = torch.tensor([[0.0, infinity], [1.0, 0.0]], dtype=torch.float64)
    zero = torch.tensor([0.0, infinity], dtype=torch.float64)
    factors = [((0,), zero), ((0, 1), table), ((1,), zero.flip(0))]
    return Problem(
        name="forced apart",
        energy=table_energy(torch.tensor([2, 2]), factors),
        solvable=False,
    )


def large_linear_graph() -> Problem:
    """Too large for brute force, but not for a cut: 400 variables with 3 labels."""
    width = 20
    right = [(v, v + 1) for v in range(width * width) if v % width < width - 1]
    down = [(v, v + width) for v in range(width * (width - 1))]
    costs = torch.randn(width * width, 3, dtype=torch.float64, generator=generator(25))
    energy = _linear(costs, right + down, 0.7)
    return Problem(name="large linear grid", energy=energy, large=True)


def _moves_only() -> TableEnergy:
    rng = generator(17)
    counts = torch.tensor([2, 2, 3, 2])
    table = torch.randn(2, 2, 3, 2, dtype=torch.float64, generator=rng)
    unary = torch.randn(3, dtype=torch.float64, generator=rng)
    return table_energy(counts, [((0, 1, 2, 3), table), ((2,), unary)], serves=frozenset({"moves"}))


def medium_graph() -> Problem:
    """A million labellings: within the reach of brute force, but not at once."""
    width = 5
    right = [(v, v + 1) for v in range(20) if v % width < width - 1]
    down = [(v, v + width) for v in range(15)]
    return Problem(name="medium grid", energy=random_graph([2] * 20, right + down, 23), large=True)


def large_graph() -> Problem:
    """Too large for brute force: 400 variables with 3 labels."""
    width = 20
    right = [(v, v + 1) for v in range(width * width) if v % width < width - 1]
    down = [(v, v + width) for v in range(width * (width - 1))]
    energy = random_graph([3] * width * width, right + down, 19)
    return Problem(name="large grid", energy=energy, large=True)
