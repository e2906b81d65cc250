"""The local polytope of one problem: sparse constraints, and bounds from any prices on them.

Columns are the labels b_i(l) of the variables and the joint labels b_f(z) of the factors that are
not forbidden; rows say Σ_l b_i(l) = 1, and Σ_{z: z_i = l} b_f(z) = b_i(l) for each place of each
factor (structured-models specification §1.3, the program of eq. 2.13).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from groundstate_exact.parts import Part

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Polytope:
    """Minimise costs·b over {b ≥ 0: matrix b = right}.

    Attributes:
        costs: of the columns, in nats.
        matrix: rows of the variables first, then those of the factors.
        right: 1 for variables, 0 for factors.
        begin: where the columns of each variable and of each factor begin; none is empty.
        column: the column of each entry of the part; -1 where it is forbidden.
        variables: how many variables there are.
        constant: in nats.
    """

    costs: Array
    matrix: Any
    right: Array
    begin: Array
    column: Array
    variables: int
    constant: float

    def labels(self, part: Part, solution: Array) -> Array:
        """The label with the largest share of each variable; the first one on ties."""
        shares = np.where(self.column >= 0, solution[self.column], -1.0)
        best = np.maximum.reduceat(shares, part.offsets)
        # what the solver's tolerance leaves open is a tie
        near = shares >= np.repeat(best, part.counts) - 1e-9
        first = np.where(near, np.arange(len(shares)), len(shares))
        return np.minimum.reduceat(first, part.offsets) - part.offsets

    def reduced(self, prices: Array) -> Array:
        """Costs after the prices have moved energy between factors and variables."""
        return self.costs - self.matrix.T @ self._moved(prices)

    def bound(self, prices: Array) -> float:
        """A lower bound from any prices of the rows of factors, in float64, less its rounding.

        The energy is a sum of functions after the prices as before, and at least the sum of their
        minima. With optimal prices of the program this is its value.
        """
        minima = np.minimum.reduceat(self.reduced(prices), self.begin)
        largest = max(np.abs(self.costs).max(initial=0.0), np.abs(self._moved(prices)).max())
        rounding = 8 * np.finfo(np.float64).eps * (largest + np.abs(minima).sum())
        return float(self.constant + minima.sum() - rounding)

    def _moved(self, prices: Array) -> Array:
        return np.where(np.arange(len(prices)) < self.variables, 0.0, prices)


def polytope_of(part: Part) -> Polytope:
    """The polytope of a problem in which no variable and no factor is forbidden altogether."""
    allowed = np.isfinite(part.costs)
    column = np.where(allowed, np.cumsum(allowed) - 1, -1)
    costs = [part.costs[allowed]]
    variable = np.repeat(np.arange(len(part.counts)), part.counts)
    rows, columns = [variable[allowed]], [column[allowed]]
    signs = [np.ones(int(allowed.sum()))]
    begin = [np.unique(rows[0], return_index=True)[1]]
    total, height = int(allowed.sum()), len(part.counts)
    for each in part.factors:
        finite = np.isfinite(each.cells)
        owner, cell = np.nonzero(finite)
        place_column = total + np.arange(len(owner))
        costs.append(each.cells[finite])
        begin.append(total + np.unique(owner, return_index=True)[1])
        total += len(owner)
        stride = int(np.prod(each.widths))
        for place, width in enumerate(each.widths):
            stride //= width
            label = (cell // stride) % width
            rows.append(height + owner * width + label)
            columns.append(place_column)
            signs.append(np.ones(len(owner)))
            # the other side of the equation: the label's own column, if it is allowed
            entries = part.offsets[each.scope[:, place], None] + np.arange(width)
            own = column[entries].ravel()
            side = np.flatnonzero(own >= 0)
            rows.append(height + side)
            columns.append(own[side])
            signs.append(-np.ones(len(side)))
            height += len(each.scope) * width
    shape = (height, total)
    places = (np.concatenate(rows), np.concatenate(columns))
    right = np.zeros(height)
    right[: len(part.counts)] = 1.0
    return Polytope(
        costs=np.concatenate(costs),
        matrix=sparse.csr_array((np.concatenate(signs), places), shape=shape),
        right=right,
        begin=np.concatenate(begin),
        column=column,
        variables=len(part.counts),
        constant=part.constant,
    )
