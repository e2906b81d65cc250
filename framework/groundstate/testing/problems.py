"""Small problems with known answers, for each view: what solvers and adapters are tried on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from groundstate.energy import Energy, Views, evaluate_quadratic
from groundstate.space import Discrete, Real, Space
from groundstate.testing.oracles import enumerate_labellings, solve_densely
from groundstate.testing.tables import TableEnergy, Tables, table_energy
from groundstate.testing.trees import generator
from groundstate.testing.typed import broadcast, eigenvalues, ints, linear_solve, orthogonal, pieces
from groundstate.unions import union
from groundstate.views import Covariance, Density, Quadratic, Score, SparseMatrix


@dataclass(frozen=True, kw_only=True)
class Problem:
    """An energy and what is known about it.

    Attributes:
        name: short and unique.
        energy: what to minimise.
        parts: its problems one by one, where it has several.
        tree: whether the factor graph has no cycle.
        higher_order: whether some factors serve nothing but moves.
        solvable: whether it has a minimum of finite energy.
        large: whether it is there to be out of reach, and has no known answer.
        own: whether it comes from the examples of the plugin under test.
        known: the minimum where neither enumeration nor a dense solve gives it, in nats.
    """

    name: str
    energy: Energy
    parts: tuple[Energy, ...] = ()
    tree: bool = False
    higher_order: bool = False
    solvable: bool = True
    large: bool = False
    own: bool = False
    known: float | None = None

    @property
    def views(self) -> frozenset[str]:
        return frozenset(kind.__name__ for kind in self.energy.views)

    @property
    def discrete(self) -> bool:
        return isinstance(self.energy.space, Discrete)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        return self.energy.space.layout.batch_shape

    @cached_property
    def minimum(self) -> Float[Tensor, "*batch"]:
        """The lowest energy there is, in nats, float64."""
        if self.known is not None:
            return torch.full(self.batch_shape, self.known, dtype=torch.float64)
        if self.parts:
            return torch.stack([_minimum(part) for part in self.parts])
        return _minimum(self.energy)

    @cached_property
    def log_partition(self) -> Float[Tensor, "*batch"]:
        """Log Z of a discrete problem, in nats."""
        return torch.stack(
            [enumerate_labellings(part).log_partition for part in self.parts or (self.energy,)]
        ).reshape(self.batch_shape)

    @cached_property
    def marginals(self) -> Float[Tensor, "*batch entries"]:
        """Marginals of a discrete problem; of a union, end to end."""
        found = [enumerate_labellings(part).marginals for part in self.parts or (self.energy,)]
        if self.energy.space.layout.segments is not None:
            return torch.cat(found, -1)
        return torch.stack(found).reshape(*self.batch_shape, -1)

    def split(self, x: Shaped[Tensor, "..."]) -> list[Tensor]:
        """The configuration of each part."""
        if self.energy.space.layout.segments is None:
            return list(x.unbind(0))
        shapes = [part.space.layout.event_shape for part in self.parts]
        pieces = torch.split(x, [math.prod(shape) for shape in shapes], -1)
        return [piece.reshape(shape) for piece, shape in zip(pieces, shapes, strict=True)]


def _minimum(energy: Energy) -> Tensor:
    if isinstance(energy.space, Discrete):
        return enumerate_labellings(energy).minimum
    return solve_densely(energy).minimum


@dataclass(frozen=True, kw_only=True)
class DenseQuadratic:
    """E(x) = ½xᵀAx - bᵀx + c with A written out; gives every view that a Gaussian has.

    Attributes:
        matrix: A, over the flat event; its batch broadcasts.
        linear: b.
        constant: c, in nats.
        space: real configurations.
    """

    matrix: Float[Tensor, "*matrix_batch n n"]
    linear: Float[Tensor, "*shape"]
    constant: Float[Tensor, "*batch"]
    space: Real

    @property
    def views(self) -> Views:
        matrix: Views = {Quadratic: lambda: self._quadratic, SparseMatrix: self._sparse}
        if self._quadratic.floor is None:
            return matrix  # no minimum, so no Gaussian
        return {
            **matrix,
            Covariance: lambda: Covariance(matvec=self._solve, linear=self.linear),
            Density: lambda: Density(log_prob=self._log_prob),
            Score: lambda: Score(score=lambda x: self.linear - self._apply(x)),
        }

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return evaluate_quadratic(self._quadratic, self.space, x)

    def _apply(self, x: Tensor) -> Tensor:
        flat = x.flatten(x.dim() - len(self.space.event_shape))
        return (self.matrix @ flat[..., None]).reshape(x.shape)

    def _solve(self, b: Tensor) -> Tensor:
        flat = b.flatten(b.dim() - len(self.space.event_shape))
        matrix = self.matrix.expand(*flat.shape[:-1], *self.matrix.shape[-2:])
        return linear_solve(matrix, flat).reshape(b.shape)

    @cached_property
    def _quadratic(self) -> Quadratic:
        diagonal = self.matrix.diagonal(dim1=-2, dim2=-1)
        batch = self.matrix.shape[:-2]
        smallest = eigenvalues(self.matrix.detach())[..., 0]
        floor = smallest * (1 - 1e-6) if bool((smallest > 0).all()) else None
        return Quadratic(
            matvec=self._apply,
            linear=self.linear,
            constant=self.constant,
            diagonal=diagonal.reshape(*batch, *self.space.event_shape),
            floor=floor,
        )

    def _sparse(self) -> SparseMatrix:
        n = self.matrix.shape[-1]
        indices = torch.cartesian_prod(torch.arange(n), torch.arange(n)).T
        values = self.matrix.reshape(*self.matrix.shape[:-2], -1)
        return SparseMatrix(indices=indices, values=values)

    def _log_prob(self, x: Tensor) -> Tensor:
        n = self.matrix.shape[-1]
        mean = self._solve(self.linear)
        lowest = -0.5 * self.space.layout.dot(self.linear, mean) + self.constant
        volume = 0.5 * (n * math.log(2 * math.pi) - torch.logdet(self.matrix))
        return lowest - volume - self(x)


@dataclass(frozen=True, kw_only=True)
class DoubleWell:
    """E(x) = Σ ((x - a)² - 1)²: smooth, not convex, no view; its minimum is 0.

    Attributes:
        centre: a.
        space: real configurations.
    """

    centre: Float[Tensor, "*shape"]
    space: Real

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.space.layout.sum(((x - self.centre) ** 2 - 1) ** 2)


@dataclass(frozen=True, kw_only=True)
class Bowl:
    """E(x) = ½Σ(x - a)²: the easiest energy, without any view; its minimum is 0.

    Attributes:
        centre: a.
        space: real configurations.
    """

    centre: Float[Tensor, "*shape"]
    space: Real

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return 0.5 * self.space.layout.sum((x - self.centre) ** 2)


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A discrete energy that declares no structure.

    Attributes:
        inner: the energy whose values it has.
    """

    inner: TableEnergy

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.inner(x)


def quadratic(
    matrix: Tensor, linear: Tensor, *, event_shape: tuple[int, ...] | None = None
) -> DenseQuadratic:
    """½xᵀAx - bᵀx + 0.5 for one or several right-hand sides."""
    n = matrix.shape[-1]
    event = event_shape or (n,)
    batch = broadcast(matrix.shape[:-2], linear.shape[:-1])
    return DenseQuadratic(
        matrix=matrix,
        linear=linear.expand(*batch, n).reshape(*batch, *event).clone(),
        constant=torch.full(batch, 0.5, dtype=matrix.dtype),
        space=Real(event_shape=event, batch_shape=batch, dtype=matrix.dtype),
    )


def positive_definite(
    n: int, seed: int, *, batch: tuple[int, ...] = (), condition: float = 20.0
) -> Float[Tensor, "*batch n n"]:
    """A random symmetric matrix with eigenvalues from 1 to `condition`, float64."""
    normal = torch.randn(*batch, n, n, dtype=torch.float64, generator=generator(seed))
    rotation = orthogonal(normal)
    spectrum = torch.logspace(0, math.log10(condition), n, dtype=torch.float64)
    matrix = rotation @ (spectrum[:, None] * rotation.mT)
    return 0.5 * (matrix + matrix.mT)


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def quadratics() -> list[Problem]:
    """Positive definite systems: single, batched, several right-hand sides, hard, coarse."""
    many, right = positive_definite(6, 2, batch=(3,)), _normal(3, 6, seed=3)
    shared, sides = positive_definite(6, 4), _normal(3, 6, seed=5)
    sides[1] = 0
    sizes = [quadratic(positive_definite(n, n), _normal(n, seed=n)) for n in (3, 5)]
    coarse = quadratic(positive_definite(6, 7).float(), _normal(6, seed=8).float())
    return [
        Problem(
            name="system",
            energy=quadratic(positive_definite(6, 0), _normal(6, seed=1), event_shape=(2, 3)),
        ),
        Problem(
            name="batch of systems",
            energy=quadratic(many, right),
            parts=tuple(quadratic(a, b) for a, b in zip(many, right, strict=True)),
        ),
        Problem(
            name="right-hand sides of one system, one of them zero",
            energy=quadratic(shared, sides),
            parts=tuple(quadratic(shared, side) for side in sides),
        ),
        Problem(
            name="ill-conditioned system",
            energy=quadratic(positive_definite(8, 6, condition=1e4), _normal(8, seed=9)),
        ),
        Problem(name="float32 system", energy=coarse),
        Problem(name="union of systems", energy=union(sizes), parts=tuple(sizes)),
    ]


def indefinite() -> Problem:
    """A quadratic form with a negative direction: there is no minimum."""
    matrix = torch.diag(torch.tensor([2.0, 1.0, -1.0, 3.0], dtype=torch.float64))
    return Problem(
        name="indefinite system",
        energy=quadratic(matrix, torch.ones(4, dtype=torch.float64)),
        solvable=False,
    )


def _graph(
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


_TREE = [(0, 1), (1, 2), (1, 3), (3, 4)]
_CYCLE = [(0, 1), (1, 2), (2, 3), (3, 0)]
_GRID = [(v, v + 1) for v in range(8) if v % 3 < 2] + [(v, v + 3) for v in range(6)]


def _factors(energy: TableEnergy, index: int | None) -> list[tuple[tuple[int, ...], Tensor]]:
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
    """Problem `index` of a batch made by `_graph`."""
    constant = float(energy.graph.constant[index])
    return table_energy(energy.space.counts, _factors(energy, index), constant=constant)


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
    tree = _graph([2, 3, 2, 3, 2], _TREE, 10)
    cycle = _graph([2, 3, 4, 2], _CYCLE, 11)
    batch = _graph([2, 3, 2, 2], _CYCLE, 13, batch=(3,))
    triple = _graph([2, 3, 2, 2], [(0, 1, 2), (1, 2, 3), (0, 3)], 14)
    return [
        Problem(name="tree", energy=tree, tree=True),
        Problem(name="grid", energy=_graph([2] * 9, _GRID, 12, event_shape=(3, 3))),
        Problem(name="cycle of unequal label counts", energy=cycle),
        Problem(name="one label only", energy=_graph([1, 2, 1], [(0, 1), (1, 2)], 15), tree=True),
        Problem(name="unary terms only", energy=_graph([3, 2], [], 16), tree=True),
        Problem(
            name="batch of cycles",
            energy=batch,
            parts=tuple(_part(batch, index) for index in range(3)),
        ),
        Problem(name="factors of order 3", energy=triple),
        Problem(name="hard constraints", energy=hard_constraints()),
        Problem(name="union of graphs", energy=union([tree, cycle]), parts=(tree, cycle)),
        Problem(name="factors that serve only moves", energy=_moves_only(), higher_order=True),
    ]


def _moves_only() -> TableEnergy:
    rng = generator(17)
    counts = torch.tensor([2, 2, 3, 2])
    table = torch.randn(2, 2, 3, 2, dtype=torch.float64, generator=rng)
    unary = torch.randn(3, dtype=torch.float64, generator=rng)
    return table_energy(counts, [((0, 1, 2, 3), table), ((2,), unary)], serves=frozenset({"moves"}))


def plain() -> list[Problem]:
    """Energies that declare no structure."""
    wells = torch.tensor([[0.0, 0.5], [1.0, -0.5], [0.2, 0.3]], dtype=torch.float64)
    event = Real(event_shape=(2,), dtype=torch.float64)
    space = Real(event_shape=(2,), batch_shape=(3,), dtype=torch.float64)
    return [
        Problem(name="bowl", energy=Bowl(centre=wells[1], space=event), known=0.0),
        Problem(
            name="batch of double wells",
            energy=DoubleWell(centre=wells, space=space),
            parts=tuple(DoubleWell(centre=well, space=event) for well in wells),
            known=0.0,
        ),
        Problem(name="labels without a view", energy=Hidden(inner=_graph([2, 3, 2], [(0, 1)], 18))),
    ]


def large_graph() -> Problem:
    """Too large for brute force: 400 variables with 3 labels."""
    width = 20
    right = [(v, v + 1) for v in range(width * width) if v % width < width - 1]
    down = [(v, v + width) for v in range(width * (width - 1))]
    energy = _graph([3] * width * width, right + down, 19)
    return Problem(name="large grid", energy=energy, large=True)


def medium_graph() -> Problem:
    """A million labellings: within the reach of brute force, but not at once."""
    width = 5
    right = [(v, v + 1) for v in range(20) if v % width < width - 1]
    down = [(v, v + width) for v in range(15)]
    return Problem(name="medium grid", energy=_graph([2] * 20, right + down, 23), large=True)


def large_system() -> Problem:
    """A badly conditioned system in 200 unknowns."""
    return Problem(
        name="large system",
        energy=quadratic(positive_definite(200, 20, condition=1e7), _normal(200, seed=22)),
        large=True,
    )


def everything() -> list[Problem]:
    """Every problem of the kit; also those without a minimum, and those out of reach."""
    hard = [indefinite(), contradiction(), large_system(), medium_graph(), large_graph()]
    return [*quadratics(), *graphs(), *plain(), *hard]


_LABELLINGS = 1 << 14
_VARIABLES = 64


def of_example(name: str, energy: Energy) -> Problem | None:
    """An example of a plugin's own energy as a problem, where an oracle can solve it; else None."""
    layout = energy.space.layout
    if layout.segments is not None:
        return None
    if isinstance(energy.space, Discrete):
        small = float(energy.space.counts.double().log().sum()) <= math.log(_LABELLINGS)
        return Problem(name=name, energy=energy, own=True) if small else None
    if Quadratic not in energy.views or math.prod(layout.event_shape) > _VARIABLES:
        return None
    definite = bool((solve_densely(energy).spectrum[..., 0] > 1e-6).all())
    return Problem(name=name, energy=energy, own=True) if definite else None


def fitting(needs: Sequence[str], problems: Sequence[Problem] | None = None) -> list[Problem]:
    """The problems that give all the views needed; where none is needed, a few of each sort."""
    candidates = everything() if problems is None else problems
    if needs:
        return [problem for problem in candidates if set(needs) <= problem.views]
    few = {"system", "batch of systems", "float32 system", "tree", "batch of cycles"}
    few |= {"contradicting constraints", "factors that serve only moves", "medium grid"}
    return [problem for problem in candidates if not problem.views or problem.name in few]


def relabelled(problem: Problem) -> tuple[Problem, Int[Tensor, " variables"]] | None:
    """The same problem with its variables in another order, and that order; None where not known.

    Variable `order[i]` of the original is variable `i` of the copy.
    """
    energy = problem.energy
    if isinstance(energy, DenseQuadratic) and not energy.space.batch_shape:
        n = energy.matrix.shape[-1]
        order = torch.randperm(n, generator=generator(30))
        copy = DenseQuadratic(
            matrix=energy.matrix[order][:, order],
            linear=energy.linear.flatten()[order].reshape(energy.linear.shape),
            constant=energy.constant,
            space=energy.space,
        )
        return Problem(name=f"{problem.name}, renamed", energy=copy), order
    if isinstance(energy, TableEnergy) and not energy.space.batch_shape:
        return _relabelled_graph(problem.name, energy)
    return None


def _relabelled_graph(name: str, energy: TableEnergy) -> tuple[Problem, Int[Tensor, " variables"]]:
    graph = energy.graph
    order = torch.randperm(len(graph.counts), generator=generator(31))
    position = torch.argsort(order)
    factors = [
        (tuple(int(position[variable]) for variable in variables), table)
        for variables, table in _factors(energy, None)
    ]
    copy = table_energy(
        graph.counts[order],
        factors,
        constant=float(graph.constant),
        serves=graph.groups[0].serves,
    )
    return Problem(name=f"{name}, renamed", energy=copy), order
