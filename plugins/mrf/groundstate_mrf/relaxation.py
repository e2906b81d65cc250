"""`adapter/relaxation`: a pairwise discrete energy as a quadratic one, exact on every labelling.

A label becomes one number per entry, 1 at the label and 0 elsewhere (Chandra, Kokkinos: Fast, Exact
and Multi-Scale Inference for Semantic Image Segmentation with Deep Gaussian CRFs, 2016). On such
vertices x² = x and the numbers of a variable add up to 1, so the energy may be rewritten until it
is strictly convex:

    E'(x) = c + θᵀx + ½ xᵀFx + ½ Σ_i g_i ‖x_i‖² + ½ Σ_i (s_i + λ_i)(‖x_i‖² - 1)
            - Σ_i t_i (1ᵀx_i - 1)

A Potts factor is ½w‖x_i - x_j‖²: -w in F and w in the degrees g. Other tables are centred first
(the means of their rows and columns are costs of labels) and their row sums go into s, so that the
matrix is at least λ. Neither F and g nor the centred tables see sums over labels, so t_i = (s_i +
λ_i + Σθ_i) / L_i makes the minimiser's numbers add up to 1 for each variable: it is the multiplier
of that constraint, which raises the bound as far as it can. min E' bounds min E from below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor

from groundstate.adapter import Adapted
from groundstate.energy import Energy, Views, evaluate_quadratic
from groundstate.errors import ViewError
from groundstate.factors import FactorGraph, FactorGroup, MessageGroup
from groundstate.space import Real
from groundstate.views import Quadratic
from groundstate_mrf.bilinear import Form, GridForm, PottsForm, TableForm
from groundstate_mrf.entries import add_up, lowest, spread
from groundstate_mrf.groups.grid import GridPottsGroup
from groundstate_mrf.groups.potts import PottsGroup
from groundstate_mrf.groups.slots import add_at
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.pairwise import pair_tables
from groundstate_mrf.problem import Problem, open_problem


@dataclass(frozen=True, kw_only=True)
class RelaxedEnergy:
    """The quadratic energy that stands for a discrete one.

    Attributes:
        forms: F, in parts.
        curvature: the diagonal of the matrix.
        linear: b, minus the cost of each entry.
        constant: c, in nats.
        floor: λ, a lower bound on the smallest eigenvalue.
        space: one number per entry; the labels are the last axis where all counts agree.
    """

    forms: tuple[Form, ...]
    curvature: Float[Tensor, "..."]
    linear: Float[Tensor, "..."]
    constant: Float[Tensor, "*batch"]
    floor: Float[Tensor, "*batch"]
    space: Real

    @property
    def views(self) -> Views:
        return {Quadratic: lambda: self.quadratic}

    @cached_property
    def quadratic(self) -> Quadratic:
        """A, b and c in the shape of the space."""
        return Quadratic(
            matvec=self.multiply,
            linear=self._shaped(self.linear),
            constant=self.constant,
            diagonal=self._shaped(self.curvature),
            floor=self.floor,
        )

    def multiply(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """A x."""
        flat = x.flatten(x.dim() - len(self.space.event_shape))
        result = self.curvature * flat
        for form in self.forms:
            result = form.added(result, flat)
        return result.reshape(x.shape)

    def __call__(self, x: Float[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return evaluate_quadratic(self.quadratic, self.space, x)

    def _shaped(self, values: Float[Tensor, "*batch entries"]) -> Float[Tensor, "*shape"]:
        return values.reshape(*values.shape[:-1], *self.space.event_shape)


@dataclass(frozen=True, kw_only=True)
class Relaxation:
    """From labels to real numbers; each variable takes the label of its largest number.

    Attributes:
        curvature: λ_i as a multiple of the range of the costs of i's labels. Small values smooth
            more, and cost a solver more steps.
        floor: added to every λ_i, in nats: the smallest eigenvalue is at least this.
    """

    curvature: Annotated[float, Ge(0)] = 0.2
    floor: Annotated[float, Gt(0)] = 0.1

    def adapt(self, energy: Energy) -> Adapted:
        problem = open_problem(energy)
        graph = problem.graph
        parts = [_part(group, graph) for each in graph.groups for group in _known(each, problem)]
        zero = graph.constant.new_zeros(len(graph.counts))
        cost = sum((part.cost for part in parts), start=graph.constant.new_zeros(graph.entries))
        spans = lowest(graph, cost) + lowest(graph, -cost)
        floor = self.floor
        shift = sum((part.shift for part in parts), start=zero) + floor - self.curvature * spans
        degree = sum((part.degree for part in parts), start=zero)
        multiplier = (shift + add_up(graph, cost)) / graph.counts
        linear = spread(graph, multiplier) - cost
        linear = linear.expand(*_batch(problem), graph.entries)
        relaxed = RelaxedEnergy(
            forms=tuple(part.form for part in parts if part.form is not None),
            curvature=spread(graph, shift + degree),
            linear=linear,
            constant=graph.constant + problem.total(multiplier - 0.5 * shift),
            floor=torch.full_like(graph.constant, floor),
            space=_space(problem),
        )

        def decode(x: Tensor) -> Tensor:
            flat = x.flatten(x.dim() - len(relaxed.space.event_shape))
            return problem.configuration(graph.best_labels(-flat))

        return Adapted(energy=relaxed, decode=decode, bound_transfers=True)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one group adds to E'."""

    cost: Float[Tensor, "..."]
    degree: Float[Tensor, "..."]
    shift: Float[Tensor, "..."]
    form: Form | None


def _known(group: FactorGroup, problem: Problem) -> Sequence[FactorGroup]:
    """The group itself where its form is known, else its tables."""
    if isinstance(group, GridPottsGroup | PottsGroup):
        return [group]
    if isinstance(group, TableGroup) and group.order <= 2:
        return [group]
    if "messages" in group.serves and isinstance(group, MessageGroup):
        tables = pair_tables(group, problem.graph, _batch(problem))
        if tables is not None:
            return tables
    raise ViewError(
        f"only factors of one or two variables that serve 'messages' can be relaxed to a quadratic "
        f"energy, but there is a {type(group).__name__} with others; choose a solver that takes "
        "them as they are, such as solver/icm or solver/mean-field"
    )


def _part(group: FactorGroup, graph: FactorGraph) -> _Part:
    variables = len(graph.counts)
    zero = graph.constant.new_zeros(variables)
    if isinstance(group, TableGroup) and group.order == 1:
        _check_finite(group.tables)
        cost = add_at(graph.entries, group.entries.reshape(group.count, -1), group.tables)
        return _Part(cost=cost, degree=zero, shift=zero, form=None)
    if isinstance(group, GridPottsGroup | PottsGroup):
        edges = group.edges if isinstance(group, GridPottsGroup) else group
        _check_finite(edges.weights)
        both = edges.weights.unsqueeze(-1).expand(*edges.weights.shape, 2)
        return _Part(
            cost=graph.constant.new_zeros(graph.entries),
            degree=add_at(variables, edges.edges, both),
            # a negative weight w subtracts at most 2|w|
            shift=add_at(variables, edges.edges, -2 * both.clamp(max=0)),
            form=_potts_form(group, edges),
        )
    if isinstance(group, TableGroup) and group.order == 2:
        _check_finite(group.tables)
        return _table_part(group, graph)
    raise AssertionError(f"{type(group).__name__} is none of the known forms")


def _potts_form(group: GridPottsGroup | PottsGroup, edges: PottsGroup) -> Form:
    if isinstance(group, PottsGroup):
        places = edges.entries.reshape(edges.count, 2, edges.labels)
        return PottsForm(places=places, weights=edges.weights)
    prices = group.weights.unsqueeze(-1).expand(*group.weights.shape, group.labels)
    return GridForm(
        prices=prices.contiguous(),
        offset=group.offset,
        shape=(group.height, group.width, group.labels),
        first=group.first,
    )


def _table_part(group: TableGroup, graph: FactorGraph) -> _Part:
    """A table as costs of labels and a rest whose rows and columns have mean 0."""
    variables = len(graph.counts)
    left, right = group.places
    rows = group.tables.mean(-1)
    columns = (group.tables - rows.unsqueeze(-1)).mean(-2)
    rest = group.tables - rows.unsqueeze(-1) - columns.unsqueeze(-2)
    cost = add_at(graph.entries, left, rows) + add_at(graph.entries, right, columns)
    sums = [rest.abs().sum(-1).amax(-1), rest.abs().sum(-2).amax(-1)]
    return _Part(
        cost=cost,
        degree=graph.constant.new_zeros(variables),
        shift=add_at(variables, group.scope, torch.stack(sums, -1)),
        form=TableForm(left=left, right=right, tables=rest),
    )


def _check_finite(values: Float[Tensor, "..."]) -> None:
    if not bool(values.isfinite().all()):
        raise ViewError(
            "a forbidden combination (infinite energy) has no quadratic form; give it a large "
            "finite energy instead, or choose a solver of factor graphs"
        )


def _batch(problem: Problem) -> tuple[int, ...]:
    return problem.layout.batch_shape if problem.graph.segments is None else ()


def _space(problem: Problem) -> Real:
    graph, layout = problem.graph, problem.layout
    shape = (graph.entries,) if graph.width is None else (*layout.event_shape, graph.width)
    segments = graph.segments
    if segments is not None:
        shape, segments = (graph.entries,), segments[graph.variable_of_entry]
    return Real(
        event_shape=shape,
        batch_shape=layout.batch_shape,
        dtype=graph.constant.dtype,
        device=graph.constant.device,
        segments=segments,
    )
