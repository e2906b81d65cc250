"""`adapter/discretise`: quadratic energy between bounds, as labels on a grid of values.

E(x) = ½ Σ_ij A_ij x_i x_j - Σ_i b_i x_i + c on the K values of each variable is a sum of tables:
one per variable, and one of K × K for each pair that the matrix couples.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from groundstate.adapter import Adapted
from groundstate.energy import Energy, view
from groundstate.errors import ViewError
from groundstate.space import Real
from groundstate.views import Quadratic, SparseMatrix
from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.tables import TableGroup


@dataclass(frozen=True, kw_only=True)
class Discretise:
    """From real numbers to labels: each stands for one of evenly spaced values.

    The energy of a labelling is that of its values; values in between may have a lower one, so a
    bound does not transfer.

    Attributes:
        levels: how many values, the ends of the interval among them.
        lower: the smallest; None takes the energy's own bound.
        upper: the largest; None takes the energy's own bound.
    """

    levels: Annotated[int, Ge(2)] = 16
    lower: float | None = None
    upper: float | None = None

    def adapt(self, energy: Energy) -> Adapted:
        quadratic, matrix = view(energy, Quadratic), view(energy, SparseMatrix)
        space = energy.space
        if not isinstance(space, Real) or space.segments is not None:
            raise ViewError("only a real energy of one shape can be discretised")
        values = self._values(space)
        shape = (*space.batch_shape, *space.event_shape)
        variables = torch.Size(space.event_shape).numel()
        linear = quadratic.linear.expand(shape).reshape(*space.batch_shape, variables)
        row, column = matrix.indices
        own, pairs = row == column, row < column
        index = row[own].expand(*matrix.values.shape[:-1], -1)
        diagonal = torch.zeros_like(linear).scatter(
            -1,
            index.expand(*linear.shape[:-1], -1),
            matrix.values[..., own].expand(*linear.shape[:-1], -1),
        )
        unary = 0.5 * diagonal.unsqueeze(-1) * values.square() - linear.unsqueeze(-1) * values
        coupled = matrix.values[..., pairs, None, None] * values.unsqueeze(-1) * values
        scope = torch.stack([row[pairs], column[pairs]], -1)
        each = torch.arange(variables, device=values.device).unsqueeze(-1)
        total = variables * self.levels
        groups = (
            TableGroup(scope=each, first=each * self.levels, tables=unary, total=total),
            TableGroup(scope=scope, first=scope * self.levels, tables=coupled, total=total),
        )
        discrete = FactorGraphEnergy(
            counts=torch.full((variables,), self.levels, device=values.device),
            groups=groups,
            constant=quadratic.constant.expand(space.batch_shape),
        )

        def decode(x: Tensor) -> Tensor:
            return values[x].reshape(*x.shape[:-1], *space.event_shape)

        return Adapted(energy=discrete, decode=decode, bound_transfers=False)

    def _values(self, space: Real) -> Float[Tensor, " levels"]:
        lower = space.lower if self.lower is None else self.lower
        upper = space.upper if self.upper is None else self.upper
        if not float("-inf") < lower < upper < float("inf"):
            raise ValueError(
                f"`lower` and `upper` must be finite, the first below the second, got {lower} and "
                f"{upper}; give the adapter those that the energy's space does not have"
            )
        return torch.linspace(lower, upper, self.levels, dtype=space.dtype, device=space.device)
