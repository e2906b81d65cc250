"""Colours for variables such that no two of one colour are coupled: they move together."""

import typing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from groundstate.views import SparseMatrix

Array = NDArray[Any]


def colour(sparse: SparseMatrix, variables: int) -> Int[Tensor, " variables"]:
    """The smallest colour that no coupled variable before it has, one variable after the other.

    A pixel grid with 4 neighbours gets 2, the red-black order.
    """
    rows, columns = (each[_off_diagonal(sparse)].cpu() for each in sparse.indices)
    order = rows.argsort(stable=True)
    starts = torch.zeros(variables + 1, dtype=torch.int64)
    starts[1:] = torch.bincount(rows, minlength=variables).cumsum(0)
    found = _greedy(starts.numpy(), columns[order].numpy())
    return torch.from_numpy(found).to(sparse.indices.device)


def _off_diagonal(sparse: SparseMatrix) -> Tensor:
    return sparse.indices[0] != sparse.indices[1]


@njit(cache=True)
@typing.no_type_check
def _greedy(starts: Array, columns: Array) -> Array:
    n = starts.shape[0] - 1
    colours = np.full(n, -1, dtype=np.int64)
    taken = np.full(n + 1, -1, dtype=np.int64)
    for variable in range(n):
        for entry in range(starts[variable], starts[variable + 1]):
            other = colours[columns[entry]]
            if other >= 0:
                taken[other] = variable
        mine = 0
        while taken[mine] == variable:
            mine += 1
        colours[variable] = mine
    return colours


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of A of one colour, without the diagonal.

    Attributes:
        variables: the rows.
        position: which of them each entry is in.
        columns: column of each entry.
        values: the entries.
    """

    variables: Int[Tensor, " rows"]
    position: Int[Tensor, " entries"]
    columns: Int[Tensor, " entries"]
    values: Float[Tensor, "*own entries"]

    def couplings(self, x: Float[Tensor, "*batch variables"]) -> Float[Tensor, "*batch rows"]:
        """Σ_{j≠i} A_ij x_j for each row i."""
        terms = self.values * x[..., self.columns]
        zeros = terms.new_zeros(*terms.shape[:-1], len(self.variables))
        return zeros.index_add(-1, self.position, terms)


def rows_by_colour(sparse: SparseMatrix, colours: Int[Tensor, " variables"]) -> list[Rows]:
    """The matrix, colour by colour."""
    kept = _off_diagonal(sparse)
    (rows, columns), values = sparse.indices[:, kept], sparse.values[..., kept]
    count = int(colours.max()) + 1 if len(colours) else 0
    place = torch.empty_like(colours)
    found: list[Rows] = []
    for each in range(count):
        variables = (colours == each).nonzero()[:, 0]
        place[variables] = torch.arange(len(variables), device=colours.device)
        inside = (colours[rows] == each).nonzero()[:, 0]
        found.append(
            Rows(
                variables=variables,
                position=place[rows[inside]],
                columns=columns[inside],
                values=values[..., inside],
            )
        )
    return found
