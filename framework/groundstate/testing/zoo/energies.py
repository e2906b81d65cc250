"""Wrong energies: values and views of quadratic ones."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Energy, Views, view
from groundstate.space import Real, Space
from groundstate.testing.problems.quadratic import DenseQuadratic, positive_definite, quadratics
from groundstate.testing.zoo.animal import Animal, component
from groundstate.views import Covariance, Density, Quadratic, Score, SparseMatrix

GAUSSIAN = ("Covariance", "Density", "Quadratic", "Score", "SparseMatrix")


def _systems() -> list[Energy]:
    return [problem.energy for problem in quadratics()[:2]]


def dense() -> Any:
    """The correct quadratic energy."""
    return component("energy", "dense", _systems, target=DenseQuadratic, gives=GAUSSIAN)


Value = Callable[[Energy, Tensor], Tensor]


def _plain(energy: Energy, x: Tensor) -> Tensor:
    return energy(x)


@dataclass(frozen=True, kw_only=True)
class WrongValue:
    """An energy whose value or views are not as they should be."""

    inner: Any
    value: Value = _plain
    changed: Views = field(default_factory=dict[type, Callable[[], object]])

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def views(self) -> Views:
        return {**self.inner.views, **self.changed}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.value(self.inner, x)


def _mean_over_batch(energy: Energy, x: Tensor) -> Tensor:
    value = energy(x)
    batch = len(energy.space.layout.batch_shape)
    return value.mean(-1, keepdim=True).expand_as(value) if batch else value


def _sum_over_batch(energy: Energy, x: Tensor) -> Tensor:
    return energy(x).sum()


def _writes(energy: Energy, x: Tensor) -> Tensor:
    value = energy(x)
    x.zero_()
    return value


def _centred(energy: Energy, x: Tensor) -> Tensor:
    value = energy(x)
    return value - value.mean() if x.dim() > len(energy.space.layout.shape) else value


_COUNTER = itertools.count()


def _drifts(energy: Energy, x: Tensor) -> Tensor:
    return energy(x) + 1e-3 * next(_COUNTER)


def _always_double(energy: Energy, x: Tensor) -> Tensor:
    return energy(x).double()


def _always_single(energy: Energy, x: Tensor) -> Tensor:
    return energy(x).float()


def _without_graph(energy: Energy, x: Tensor) -> Tensor:
    return energy(x.detach()) + 0 * energy(x)


def _one_sample_dimension(energy: Energy, x: Tensor) -> Tensor:
    value = energy(x)
    return value.flatten(0, 1) if value.dim() > 1 + len(energy.space.layout.batch_shape) else value


def _wrong_values(value: Value) -> Callable[[], list[object]]:
    return lambda: [WrongValue(inner=energy, value=value) for energy in _systems()]


def _wrong_view(kind: type, change: Callable[[Any], Any]) -> Callable[[], list[object]]:
    def examples() -> list[object]:
        return [
            WrongValue(inner=e, changed={kind: lambda e=e: change(view(e, kind))})
            for e in _systems()
        ]

    return examples


def _affine(quadratic: Quadratic) -> Quadratic:
    def matvec(x: Tensor) -> Tensor:
        return quadratic.matvec(x) - quadratic.linear

    return replace(quadratic, matvec=matvec)


def _doubled(covariance: Covariance) -> Covariance:
    def matvec(x: Tensor) -> Tensor:
        return 2 * covariance.matvec(x)

    return replace(covariance, matvec=matvec)


def _asymmetric() -> list[object]:
    matrix = positive_definite(4, 0) + torch.triu(torch.ones(4, 4, dtype=torch.float64), 1)
    return [_only_matrix(matrix)]


@dataclass(frozen=True, kw_only=True)
class _OnlyQuadratic:
    """A quadratic energy whose matrix is taken as it is."""

    inner: DenseQuadratic

    @property
    def space(self) -> Space:
        return self.inner.space

    @property
    def views(self) -> Views:
        return {Quadratic: lambda: replace(view(self.inner, Quadratic), floor=None)}

    def __call__(self, x: Shaped[Tensor, "..."], /) -> Float[Tensor, "..."]:
        return self.inner(x)


def _only_matrix(matrix: Tensor) -> _OnlyQuadratic:
    n = matrix.shape[-1]
    inner = DenseQuadratic(
        matrix=matrix,
        linear=torch.ones(n, dtype=torch.float64),
        constant=torch.zeros((), dtype=torch.float64),
        space=Real(event_shape=(n,), dtype=torch.float64),
    )
    return _OnlyQuadratic(inner=inner)


def _without_pins(sparse: SparseMatrix) -> SparseMatrix:
    """The first variable's own entry, where a pin would be, is forgotten."""
    pinned = (sparse.indices == 0).all(0)
    return replace(sparse, values=torch.where(pinned, 0.0, sparse.values))


_VALUES: list[tuple[str, str, Value, str]] = [
    ("mean-over-batch", "averages over the batch", _mean_over_batch, "problems_do_not_mix"),
    ("sum-over-batch", "sums over everything", _sum_over_batch, "one_number_per_configuration"),
    ("writes-to-x", "writes to its input", _writes, "input_is_not_written_to"),
    ("centred", "subtracts the mean of the samples", _centred, "batch_equals_loop"),
    ("drifting", "answers otherwise each time", _drifts, "same_input_same_value"),
    ("always-double", "changes dtype", _always_double, "dtype_and_device_follow"),
    ("always-single", "stays in float32", _always_single, "moves_to_float64"),
    ("detached", "has no gradient", _without_graph, "gradient_equals_finite_differences"),
    (
        "one-sample-dimension",
        "joins the sample dimensions",
        _one_sample_dimension,
        "sample_dimensions_broadcast",
    ),
]


_VIEWS: list[tuple[str, str, type, Callable[[Any], Any], str]] = [
    (
        "wrong-sign",
        "its view has the linear term with the wrong sign",
        Quadratic,
        lambda q: replace(q, linear=-q.linear),
        "quadratic_agrees_with_energy",
    ),
    (
        "affine-matvec",
        "its matvec adds the linear term",
        Quadratic,
        _affine,
        "matvec_is_linear",
    ),
    (
        "wrong-diagonal",
        "its diagonal has a negative entry that A has not",
        Quadratic,
        lambda q: replace(q, diagonal=-q.diagonal),
        "diagonal_is_that_of_the_matrix",
    ),
    (
        "high-floor",
        "its floor lies above the smallest eigenvalue",
        Quadratic,
        lambda q: replace(q, floor=2 * q.floor),
        "floor_is_below_every_eigenvalue",
    ),
    (
        "ignores-pins",
        "its sparse matrix leaves a pin out",
        SparseMatrix,
        _without_pins,
        "sparse_matrix_equals_matvec",
    ),
    (
        "wrong-score",
        "its score is the gradient of the energy",
        Score,
        lambda s: Score(score=lambda x: -s.score(x)),
        "score_is_minus_the_gradient",
    ),
    (
        "wrong-density",
        "its density is that of another temperature",
        Density,
        lambda d: Density(log_prob=lambda x: 0.5 * d.log_prob(x)),
        "density_agrees_with_energy",
    ),
    (
        "wrong-covariance",
        "its covariance is the matrix itself",
        Covariance,
        _doubled,
        "covariance_inverts_the_matrix",
    ),
    (
        "mistaken-view",
        "makes another view than it declares",
        Score,
        lambda s: Density(log_prob=s.score),
        "views_are_made_as_declared",
    ),
]


def animals() -> list[Animal]:
    """The wrong energies."""
    found: list[Animal] = []
    for name, fault, value, law in _VALUES:
        made = component("energy", name, _wrong_values(value), target=WrongValue, gives=GAUSSIAN)
        found.append(Animal(fault=fault, component=made, sibling=dense(), caught_by=law))
    for name, fault, kind, change, law in _VIEWS:
        made = component(
            "energy", name, _wrong_view(kind, change), target=WrongValue, gives=GAUSSIAN
        )
        found.append(Animal(fault=fault, component=made, sibling=dense(), caught_by=law))
    return [*found, *_others()]


def _others() -> list[Animal]:
    few = ("Quadratic",)
    return [
        Animal(
            fault="its matrix is not symmetric",
            component=component("energy", "asymmetric", _asymmetric, target=WrongValue, gives=few),
            sibling=dense(),
            caught_by="matrix_is_symmetric",
        ),
        Animal(
            fault="gives views that it does not declare",
            component=component("energy", "conceals", _systems, target=DenseQuadratic, gives=few),
            sibling=dense(),
            caught_by="declared_views_are_given",
        ),
    ]
