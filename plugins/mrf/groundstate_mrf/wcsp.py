"""`reader/wcsp`: weighted constraint satisfaction problems in the text format of toulbar2.

    name variables largest-domain cost-functions upper-bound
    domain sizes
    order variables default-cost tuples          of each cost function, then a line for each tuple:
    labels cost

Costs are whole numbers; those from the upper bound on forbid. See
https://toulbar2.github.io/toulbar2/formats/wcspformat.html. Global cost functions and those by
formula are refused; shared ones too.

The format has no real numbers. A problem whose energies are no whole numbers from 0 on is written
in multiples of a unit above an offset, which the name of the problem tells: such files are read
back to 1 part in 10^12 here, and by other tools as the costs that they are.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import torch
from jaxtyping import Float64, Int
from torch import Tensor

from groundstate.energy import Energy
from groundstate_mrf.compressed import suffixes, writing
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.structured import patterns
from groundstate_mrf.tabled import table_groups
from groundstate_mrf.tokens import Numbers, Tokens
from groundstate_mrf.typed import whole
from groundstate_mrf.uai import one_problem
from groundstate_mrf.wcsp_costs import listed, whole_costs

_DENSE = 1 << 12
"""Cells up to which a cost function becomes a table however few its tuples are."""
_NAME = re.compile(r"groundstate;unit=(?P<unit>[^;]+);offset=(?P<offset>[^;]+)")
_LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class WCSPReader:
    """Reads and writes `.wcsp`, plain and as `.gz` or `.xz`; energies are costs.

    Attributes:
        dtype: floating-point type of what is read.
    """

    dtype: Literal["float32", "float64"] = "float64"

    @property
    def suffixes(self) -> tuple[str, ...]:
        return suffixes(".wcsp")

    def read(self, path: Path) -> FactorGraphEnergy:
        tokens = Tokens(path, comment=None)
        unit, offset = _read_name(tokens)
        variables = tokens.whole("the number of variables", 0)
        tokens.whole("the largest domain size", 0)
        number = tokens.whole("the number of cost functions", 0)
        top = tokens.whole("the upper bound", 1, _LARGEST)
        sizes = [
            tokens.whole(f"the domain size of variable {each} of {variables}", 1)
            for each in range(variables)
        ]
        parsing = _Parsing(tokens=tokens, sizes=sizes, top=top)
        functions = [parsing.function(each) for each in range(number)]
        tokens.end()
        dtype = torch.float32 if self.dtype == "float32" else torch.float64
        return _problem(sizes, functions, unit, offset, dtype)

    def write(self, energy: Energy, path: Path) -> None:
        graph = one_problem(energy, "a WCSP file")
        costs = whole_costs(listed(graph), float(graph.constant))
        sizes = whole(graph.counts)
        numbers = len(sizes), max(sizes, default=0), len(costs.lines), costs.top
        with writing(path) as file:
            file.write(f"{costs.name} {' '.join(map(str, numbers))}\n".encode())
            file.write((" ".join(map(str, sizes)) + "\n").encode())
            for text in costs.lines:
                file.write(text.encode())


@dataclass(frozen=True, kw_only=True)
class _Function:
    """One cost function: tuples with costs, the default for the rest; +inf forbids."""

    scope: tuple[int, ...]
    default: float
    rows: Float64[np.ndarray, "tuples order"]
    costs: Float64[np.ndarray, " tuples"]

    def is_table(self, shape: Sequence[int]) -> bool:
        """Whether it is to be a table: small, or mostly listed."""
        return prod(shape) <= max(_DENSE, 16 * len(self.costs))

    def table(self, shape: Sequence[int]) -> Numbers:
        """All cells; of a tuple that is listed twice the later cost counts, as in toulbar2."""
        cells = np.full(prod(shape), self.default)
        index = np.zeros(len(self.rows), np.int64)
        for place, width in enumerate(shape):
            index = index * width + self.rows[:, place].astype(np.int64)
        cells[index] = self.costs
        return cells


@dataclass(frozen=True, kw_only=True)
class _Parsing:
    """Cost functions from words."""

    tokens: Tokens
    sizes: Sequence[int]
    top: int

    def function(self, number: int) -> _Function:
        """The next cost function."""
        tokens, variables = self.tokens, len(self.sizes)
        order = tokens.whole(f"how many variables cost function {number} has", -variables)
        if order < 0:
            self._refuse(f"cost function {number}", "a shared one (negative order)")
        scope: list[int] = []
        for place in range(order):
            expected = f"variable {place + 1} of {order} of cost function {number}"
            found = tokens.whole(f"{expected}, 0 to {variables - 1}", 0, variables - 1)
            if found in scope:
                tokens.fail(f"{expected}, each once", repr(str(found)))
            scope.append(found)
        default = tokens.whole(f"the default cost of cost function {number}", -1, _LARGEST)
        if default < 0:
            self._refuse(f"cost function {number}", f"a global one or a formula on {scope}")
        tuples = tokens.whole(f"how many tuples cost function {number} lists", -_LARGEST)
        if tuples < 0:
            self._refuse(f"cost function {number}", "a reference to a shared one")
        begin = tokens.given
        expected = f"{order} labels and a cost, {tuples} times, of cost function {number}"
        rows = tokens.numbers(tuples * (order + 1), expected).reshape(tuples, order + 1)
        shape = np.array([self.sizes[each] for each in scope] + [np.inf])
        wrong = (rows >= shape) | (rows != np.floor(rows))
        if wrong.any():
            tokens.refuse(f"{expected}, as whole numbers in range", begin + int(wrong.argmax()))
        costs = np.where(rows[:, order] >= self.top, np.inf, rows[:, order])
        rest = float("inf") if default >= self.top else float(default)
        return _Function(scope=tuple(scope), default=rest, rows=rows[:, :order], costs=costs)

    def _refuse(self, what: str, found: str) -> NoReturn:
        self.tokens.fail(f"{what} to be given by its tuples", found)


def _read_name(tokens: Tokens) -> tuple[float, float]:
    """Unit and offset of the costs: 1 and 0, but in files written here for real energies."""
    name = tokens.word("the name of the problem")
    found = _NAME.fullmatch(name)
    if found is None:
        return 1.0, 0.0
    try:
        return float(found["unit"]), float(found["offset"])
    except ValueError:
        tokens.fail("a unit and an offset that are numbers", repr(name))


def _problem(
    sizes: Sequence[int],
    functions: Sequence[_Function],
    unit: float,
    offset: float,
    dtype: torch.dtype,
) -> FactorGraphEnergy:
    counts = torch.tensor(sizes, dtype=torch.int64)
    shapes = [[sizes[each] for each in function.scope] for function in functions]
    dense = [f.is_table(shape) for f, shape in zip(functions, shapes, strict=True)]
    cells = [
        function.table(shape)
        for function, shape, whole_table in zip(functions, shapes, dense, strict=True)
        if whole_table
    ]
    scopes = [f.scope for f, whole_table in zip(functions, dense, strict=True) if whole_table]
    ends = np.cumsum([len(each) for each in cells], dtype=np.int64)
    energies = np.concatenate([*cells, np.empty(0)]) * unit
    starts = ends - np.array([len(each) for each in cells], np.int64)
    constants = [energies[starts[each]] for each, scope in enumerate(scopes) if not scope]
    sparse = [
        _pattern_group(counts, function, unit, dtype)
        for function, whole_table in zip(functions, dense, strict=True)
        if not whole_table
    ]
    return FactorGraphEnergy(
        counts=counts,
        groups=(*table_groups(counts, scopes, energies, starts, dtype), *sparse),
        constant=torch.tensor(offset + float(sum(constants)), dtype=dtype),
    )


def _pattern_group(
    counts: Int[Tensor, " variables"], function: _Function, unit: float, dtype: torch.dtype
) -> PatternGroup:
    last = {tuple(row): place for place, row in enumerate(function.rows.astype(int).tolist())}
    energies = torch.from_numpy(function.costs[list(last.values())] * unit).to(dtype)
    return patterns(counts, function.scope, list(last), energies, function.default * unit)
