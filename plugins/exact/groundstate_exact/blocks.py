"""Any factor graph as blocks of tables in float64, which is what exact methods work on.

A factor whose group has no table form is asked for the energy of each of its joint labellings, up
to a limit. Factors of many variables that can be read one variable after another (counts, sums,
patterns; see `groundstate_exact.readings`) become a chain of states instead, since a table would
have L^n entries: with s_k the state after variable k, an auxiliary variable,

    f(y_1, ..., y_n) = min_s Σ_k [s_k = next_k(s_{k-1}, y_k) ? 0 : +inf] + f(s_n),

and as exactly one s is allowed for each y, the same holds for sums of exp(-E), so marginals and log
Z stay as they were. The tables of the chain of a count have some n³ entries in all.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.errors import InputError
from groundstate.factors import FactorGraph, FactorGroup
from groundstate_exact.lists import listed
from groundstate_exact.readings import Reading, readings_of
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup

INFINITY = float("inf")
_SMALL = 5
"""Factors of up to that many variables are better as a table than as a chain."""
_CHUNK = 1 << 22
"""Labels that are made at a time to ask a group for energies."""

Tables = Float[Tensor, "batch factors cells"]


@dataclass(frozen=True, kw_only=True)
class Block:
    """Factors of the same shape; the last variable of a scope changes fastest.

    Attributes:
        scope: the variables of each factor.
        widths: their label counts.
        tables: makes the energies of the joint labellings, in nats: `[batch, factors, cells]`
            float64 on the CPU, with a batch of 1 where all problems have the same.
        possible: how many cells of each factor may be finite, where that is known.
    """

    scope: Int[Tensor, "factors order"]
    widths: tuple[int, ...]
    tables: Callable[[], Tensor]
    possible: int | None = None

    @property
    def cells(self) -> int:
        return prod(self.widths)

    @property
    def allowed(self) -> int:
        """At most that many cells of each factor are finite."""
        return self.cells if self.possible is None else self.possible


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A factor graph as tables. Variables of the graph come first, then auxiliary ones.

    Attributes:
        counts: labels of each variable.
        own: how many variables the graph has.
        blocks: the factors.
        constant: in nats, `[batch]`; one per problem where problems lie end to end.
        problem: of each variable, where problems lie end to end; else 0.
        batch: how many problems of the same shape there are.
    """

    counts: Int[Tensor, " variables"]
    own: int
    blocks: tuple[Block, ...]
    constant: Float[Tensor, " problems"]
    problem: Int[Tensor, " variables"]
    batch: int

    def scopes(self) -> Iterator[tuple[int, ...]]:
        """The variables of each factor."""
        for block in self.blocks:
            yield from (tuple(row) for row in listed(block.scope))


def blocks_of(graph: FactorGraph, lead: tuple[int, ...], largest: int) -> Blocks:
    """The factor graph as blocks; tables are made when they are asked for.

    Args:
        graph: the factors.
        lead: batch shape of what its groups give; () where problems lie end to end.
        largest: table entries allowed for one factor.

    Raises:
        InputError: if a factor needs more.
    """
    made: list[Block] = []
    extra: list[int] = []
    problem: list[int] = []
    variables = len(graph.counts)
    for group in graph.groups:
        if not group.count:
            continue
        readings = readings_of(group)
        if readings is not None:
            chains = _read(graph, group, readings, lead, largest, variables + len(extra))
            made += chains.blocks
            extra += chains.counts
            problem += chains.problems
        else:
            made += _tabulated(graph, group, lead, largest)
    segments = graph.segments
    if segments is None:
        segments = torch.zeros(variables, dtype=torch.int64)
    batch = prod(lead)
    return Blocks(
        counts=torch.cat([graph.counts.cpu(), torch.tensor(extra, dtype=torch.int64)]),
        own=variables,
        blocks=tuple(made),
        constant=graph.constant.detach().to("cpu", torch.float64).reshape(-1),
        problem=torch.cat([segments.cpu(), torch.tensor(problem, dtype=torch.int64)]),
        batch=batch,
    )


def flat(tables: Tensor, lead: tuple[int, ...], trailing: int) -> Tensor:
    """Float64 on the CPU, with all batch dimensions as one, of size 1 where there are none."""
    values = tables.detach().to("cpu", torch.float64)
    if values.dim() == trailing or values.shape[:-trailing].numel() == 1:
        return values.reshape(1, *values.shape[values.dim() - trailing :])
    shape = (*lead, *values.shape[values.dim() - trailing :])
    return values.expand(shape).reshape(-1, *shape[len(lead) :])


def _tabulated(
    graph: FactorGraph, group: FactorGroup, lead: tuple[int, ...], largest: int
) -> list[Block]:
    if isinstance(group, TableGroup):
        tables = group.tables

        def cells() -> Tensor:
            return flat(tables.flatten(-group.order), lead, 2)

        return [Block(scope=group.scope.cpu(), widths=tuple(group.widths), tables=cells)]
    if isinstance(group, GridPottsGroup | PottsGroup):
        return [_potts(group.edges if isinstance(group, GridPottsGroup) else group, lead)]
    return enumerated(graph, group, lead, largest)


def _potts(group: PottsGroup, lead: tuple[int, ...]) -> Block:
    def cells() -> Tensor:
        differs = ~torch.eye(group.labels, dtype=torch.bool).flatten()
        return torch.where(differs, flat(group.weights, lead, 1).unsqueeze(-1), 0.0)

    return Block(scope=group.edges.cpu(), widths=(group.labels,) * 2, tables=cells)


def enumerated(
    graph: FactorGraph,
    group: FactorGroup,
    lead: tuple[int, ...],
    largest: int,
    chosen: Collection[int] | None = None,
) -> list[Block]:
    """Blocks of a group of any form, whose energies are asked for; of some factors or of all."""
    counts = listed(graph.counts)
    scopes: list[list[int]] = [[] for _ in range(group.count)]
    for owner, variable in zip(listed(group.owners), listed(group.slots), strict=True):
        scopes[owner].append(variable)
    shapes: dict[tuple[int, ...], list[int]] = {}
    for factor, scope in enumerate(scopes):
        if chosen is not None and factor not in chosen:
            continue
        widths = tuple(counts[variable] for variable in scope)
        if prod(widths) > largest:
            raise InputError(
                f"a factor of {type(group).__name__} has {len(scope)} variables and "
                f"{prod(widths):.4g} joint labellings, more than `largest` = {largest} entries of "
                "a table; raise `largest` or choose a solver that needs no tables (solver/icm)"
            )
        shapes.setdefault(widths, []).append(factor)
    return [
        _asked(graph, group, lead, widths, factors, [scopes[each] for each in factors])
        for widths, factors in shapes.items()
    ]


def _asked(
    graph: FactorGraph,
    group: FactorGroup,
    lead: tuple[int, ...],
    widths: tuple[int, ...],
    factors: list[int],
    scopes: list[list[int]],
) -> Block:
    def cells() -> Tensor:
        made = torch.empty((max(1, prod(lead)), len(factors), prod(widths)), dtype=torch.float64)
        for members in _apart(scopes):
            chosen = [factors[each] for each in members]
            places = torch.tensor([scopes[each] for each in members])
            for begin, energies in _energies(graph, group, lead, widths, places):
                end = begin + len(energies)
                values = energies[..., chosen].detach().to("cpu", torch.float64)
                values = values.reshape(len(energies), -1, len(members)).permute(1, 2, 0)
                made[:, members, begin:end] = values
        return made

    return Block(scope=torch.tensor(scopes), widths=widths, tables=cells)


def _energies(
    graph: FactorGraph,
    group: FactorGroup,
    lead: tuple[int, ...],
    widths: tuple[int, ...],
    places: Int[Tensor, "factors order"],
) -> Iterator[tuple[int, Tensor]]:
    """Energies of the group's factors, `[cells, *lead, factors]`, some cells at a time."""
    variables = len(graph.counts)
    size = max(1, _CHUNK // max(1, variables * prod(lead)))
    for begin in range(0, prod(widths), size):
        number = torch.arange(begin, min(begin + size, prod(widths)))
        columns: list[Tensor] = []
        for width in reversed(widths):
            columns.append(number % width)
            number = number // width
        labels = torch.zeros((len(number), variables), dtype=torch.int64)
        labels[:, places] = torch.stack(columns[::-1], -1).unsqueeze(1)
        spread = labels.reshape(len(number), *[1] * len(lead), variables)
        spread = spread.expand(len(number), *lead, variables)
        yield begin, group.energies(spread.to(graph.counts.device))


def _apart(scopes: list[list[int]]) -> list[list[int]]:
    """Factors in classes without a common variable, so that a class is asked at once."""
    classes: list[list[int]] = []
    used: dict[int, int] = {}  # of each variable, as bits: the classes of its factors
    for factor, scope in enumerate(scopes):
        taken = 0
        for variable in scope:
            taken |= used.get(variable, 0)
        free = ~taken & (taken + 1)
        for variable in scope:
            used[variable] = used.get(variable, 0) | free
        chosen = free.bit_length() - 1
        if chosen == len(classes):
            classes.append([])
        classes[chosen].append(factor)
    return classes


@dataclass(frozen=True, kw_only=True)
class _Chains:
    """Blocks of a group, and the label counts and problems of their auxiliary variables."""

    blocks: list[Block]
    counts: list[int]
    problems: list[int]


def _read(
    graph: FactorGraph,
    group: FactorGroup,
    readings: list[Reading],
    lead: tuple[int, ...],
    largest: int,
    first: int,
) -> _Chains:
    """Tables of small factors, chains of states of large ones."""
    chains = _Chains(blocks=[], counts=[], problems=[])
    small: set[int] = set()
    for factor, reading in enumerate(readings):
        if len(reading.scope) <= _SMALL:
            small.add(factor)
            continue
        steps = _steps(reading, largest)
        if steps is None or sum(step.numel() for step in steps) >= prod(reading.widths):
            small.add(factor)
            continue
        at = first + len(chains.counts)
        chains.blocks.extend(_chain(reading, steps, at))
        chains.blocks.append(_last(reading, lead, at + len(steps) - 1, int(steps[-1].max()) + 1))
        chains.counts.extend(int(step.max()) + 1 for step in steps)
        problem = 0 if graph.segments is None else int(graph.segments[reading.scope[0]])
        chains.problems.extend([problem] * len(steps))
    if small:
        chains.blocks.extend(enumerated(graph, group, lead, largest, small))
    return chains


def _steps(reading: Reading, largest: int) -> list[Tensor] | None:
    """The steps of a reading; None where a table of one would be too large."""
    steps: list[Tensor] = []
    for step in reading.steps():
        if step.numel() * (int(step.max()) + 1) > largest:
            return None
        steps.append(step)
    return steps


def _chain(reading: Reading, steps: list[Tensor], at: int) -> Iterator[Block]:
    """One block for each step; the state after step k = 0, 1, ... is variable `at` + k."""
    for k, step in enumerate(steps):
        after = int(step.max()) + 1

        def cells(step: Tensor = step, after: int = after) -> Tensor:
            table = torch.full((*step.shape, after), INFINITY, dtype=torch.float64)
            return table.scatter_(-1, step.unsqueeze(-1), 0.0).reshape(1, 1, -1)

        scope, shape = [reading.scope[k], at + k], (step.shape[1], after)
        if k > 0:
            scope, shape = [at + k - 1, *scope], (step.shape[0], *shape)
        yield Block(scope=torch.tensor([scope]), widths=shape, tables=cells, possible=step.numel())


def _last(reading: Reading, lead: tuple[int, ...], variable: int, states: int) -> Block:
    """The energy of the last state."""

    def cells() -> Tensor:
        return flat(reading.final()[..., :states], lead, 1).unsqueeze(1)

    return Block(scope=torch.tensor([[variable]]), widths=(states,), tables=cells)
