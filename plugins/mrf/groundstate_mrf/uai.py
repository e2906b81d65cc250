"""`reader/uai`: the UAI competition format of Markov and Bayesian networks.

The file holds potentials ψ ≥ 0; the energy is -Σ log ψ, so E = -log p for a Bayesian network, and ψ
= 0 forbids. The last variable of a scope changes fastest. See the format's page of the UAI 2014
inference competition (https://uaicompetition.github.io/uci-2022/file-formats/).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.errors import ViewError
from groundstate.factors import FactorGraph, FactorGroup
from groundstate_mrf.compressed import suffixes, writing
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.tabled import table_groups
from groundstate_mrf.tokens import Numbers, Places, Tokens
from groundstate_mrf.typed import reals, whole

Factor = tuple[tuple[int, ...], Float[Tensor, "..."]]
_SPREAD = 600.0
"""exp(-600) is still a number in float64, with room to spare."""

_MOST = 10**18
"""More numbers than any file has."""


@dataclass(frozen=True, kw_only=True)
class UAIReader:
    """Reads and writes `.uai`, plain and as `.gz` or `.xz`; energies are in nats.

    Attributes:
        dtype: floating-point type of what is read.
    """

    dtype: Literal["float32", "float64"] = "float64"

    @property
    def suffixes(self) -> tuple[str, ...]:
        return suffixes(".uai")

    def read(self, path: Path) -> FactorGraphEnergy:
        tokens = Tokens(path)
        network = tokens.word("MARKOV or BAYES")
        if network not in ("MARKOV", "BAYES"):
            tokens.fail("MARKOV or BAYES", repr(network))
        variables = tokens.whole("the number of variables", 0)
        counts = [
            tokens.whole(f"the number of labels of variable {each} of {variables}", 1)
            for each in range(variables)
        ]
        number = tokens.whole("the number of factors", 0)
        scopes = [_read_scope(tokens, each, variables) for each in range(number)]
        energies, starts = _read_tables(tokens, scopes, counts)
        tokens.end()
        dtype = torch.float32 if self.dtype == "float32" else torch.float64
        labels = torch.tensor(counts, dtype=torch.int64)
        constants = [energies[starts[each]] for each, scope in enumerate(scopes) if not scope]
        return FactorGraphEnergy(
            counts=labels,
            groups=table_groups(labels, scopes, energies, starts, dtype),
            constant=torch.tensor(float(sum(constants)), dtype=dtype),
        )

    def write(self, energy: Energy, path: Path) -> None:
        graph = one_problem(energy, "a UAI file")
        factors: list[Factor] = [((), graph.constant.detach().to(torch.float64))]
        for group in graph.groups:
            factors += list_factors(group, graph)
        parts = [(scope, part) for scope, table in factors for part in _representable(table)]
        labels = whole(graph.counts)
        with writing(path) as file:
            head = f"MARKOV\n{len(labels)}\n{' '.join(map(str, labels))}\n{len(parts)}\n"
            file.write(head.encode())
            for scope, _ in parts:
                file.write((" ".join(map(str, (len(scope), *scope))) + "\n").encode())
            for _, part in parts:
                values = " ".join(map(repr, reals((-part).exp().flatten())))
                file.write(f"\n{part.numel()}\n {values}\n".encode())


def one_problem(energy: Energy, what: str) -> FactorGraph:
    """The energy's factor graph, for a format that holds one problem.

    Raises:
        ViewError: if it has none, or several.
    """
    graph = view(energy, FactorGraph)
    if graph.constant.dim() or graph.segments is not None:
        raise ViewError(f"{what} holds one problem, this energy has several")
    return graph


def list_factors(group: FactorGroup, graph: FactorGraph, limit: int = 1 << 20) -> Iterator[Factor]:
    """Scope and table, in float64, of each factor of any group.

    Raises:
        ViewError: if a factor has more than `limit` joint labels.
    """
    scopes: list[list[int]] = [[] for _ in range(group.count)]
    for owner, variable in zip(whole(group.owners), whole(group.slots), strict=True):
        scopes[owner].append(variable)
    for each, table in enumerate(_tables(group, graph, scopes, limit)):
        yield tuple(scopes[each]), table.detach().to(torch.float64).cpu()


def _tables(
    group: FactorGroup, graph: FactorGraph, scopes: Sequence[Sequence[int]], limit: int
) -> Iterator[Float[Tensor, "..."]]:
    if isinstance(group, TableGroup):
        yield from group.tables
        return
    if isinstance(group, GridPottsGroup | PottsGroup):
        weights = group.edges.weights if isinstance(group, GridPottsGroup) else group.weights
        differs = ~torch.eye(group.labels, dtype=torch.bool, device=weights.device)
        yield from torch.where(differs, weights[..., None, None], 0.0)
        return
    counts = whole(graph.counts)
    for each, scope in enumerate(scopes):
        shape = [counts[variable] for variable in scope]
        if prod(shape) > limit:
            raise ViewError(
                f"here every factor needs a table, but one has {len(scope)} variables and "
                f"{float(prod(shape)):.3g} joint labels (at most {limit}); NPZ files can hold it"
            )
        cells = torch.tensor(list(itertools.product(*map(range, shape))))
        labels = torch.zeros((len(cells), len(counts)), dtype=torch.int64)
        labels[:, list(scope)] = cells
        yield group.energies(labels.to(graph.counts.device))[..., each].reshape(shape)


def _representable(table: Float[Tensor, "..."]) -> list[Float[Tensor, "..."]]:
    """The table as a sum of equal ones whose potentials are neither 0 nor infinite in float64."""
    finite = table[table.isfinite()].abs()
    copies = max(1, ceil(float(finite.max()) / _SPREAD)) if finite.numel() else 1
    return [table / copies] * copies


def _read_scope(tokens: Tokens, factor: int, variables: int) -> tuple[int, ...]:
    order = tokens.whole(f"how many variables factor {factor} has", 0, variables)
    scope: list[int] = []
    for place in range(order):
        expected = f"variable {place + 1} of {order} of factor {factor}, 0 to {variables - 1}"
        variable = tokens.whole(expected, 0, variables - 1)
        if variable in scope:
            tokens.fail(f"{expected}, each once", repr(str(variable)))
        scope.append(variable)
    return tuple(scope)


def _read_tables(
    tokens: Tokens, scopes: Sequence[Sequence[int]], counts: Sequence[int]
) -> tuple[Numbers, Places]:
    """The energies of all factors, one after another, and where each begins.

    Before each table stands its size. All is read as one array, for a file has many small tables.
    """
    sizes = np.fromiter(
        (min(prod(counts[i] for i in scope), _MOST) for scope in scopes), np.float64, len(scopes)
    )
    before = tokens.given
    total = len(sizes) + float(sizes.sum())
    numbers = tokens.room(int(min(total, _MOST)))
    heads = (sizes.cumsum() - sizes).astype(np.int64) + np.arange(len(sizes))
    filled = tokens.fill(numbers)
    read = int(np.searchsorted(heads, filled))
    wrong = np.isnan(numbers[:filled])
    wrong[heads[:read]] |= numbers[heads[:read]] != sizes[:read]
    if wrong.any() or filled < len(numbers):
        place = int(wrong.argmax()) if wrong.any() else filled
        factor = int(np.searchsorted(heads, place, side="right")) - 1
        size = int(sizes[factor])
        expected = f"one of {size} values ≥ 0 of factor {factor}"
        if place == heads[factor]:
            expected = f"{size}, the number of values of factor {factor}"
        if place == filled:
            tokens.fail(expected, "the end of the file")
        tokens.refuse(expected, before + place)
    with np.errstate(divide="ignore"):
        np.log(numbers, out=numbers)
    return np.negative(numbers, out=numbers), heads + 1
