"""Answers found the slow and certain way: enumeration, dense linear algebra, finite differences."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate.energy import Energy, view
from groundstate.move import to
from groundstate.space import Discrete, Space
from groundstate.testing.typed import chunks, eigenvalues, ints, inverse, linear_solve
from groundstate.views import Quadratic

LIMIT = 1 << 20
_CHUNK = 1 << 13


def labellings(counts: Int[Tensor, " variables"]) -> Int[Tensor, "labellings variables"]:
    """Every labelling of variables with these label counts, the last variable fastest.

    Raises:
        ValueError: for more than `LIMIT` of them.
    """
    total = math.prod(int(count) for count in counts)
    if total > LIMIT:
        raise ValueError(f"an enumeration takes at most {LIMIT} labellings, got {total}")
    strides = torch.cumprod(torch.cat([counts.new_ones(1), counts.flip(0)]), 0)[:-1].flip(0)
    number = torch.arange(total, device=counts.device)
    return (number[:, None] // strides) % counts


@dataclass(frozen=True, kw_only=True)
class Enumeration:
    """Every labelling of a discrete energy without segments, with its energy.

    Attributes:
        labels: the labellings, flat.
        energies: the energy of each, in nats, float64.
        counts: labels of each variable, flat.
        event_shape: shape of one configuration.
    """

    labels: Int[Tensor, "labellings variables"]
    energies: Float[Tensor, "labellings *batch"]
    counts: Int[Tensor, " variables"]
    event_shape: tuple[int, ...]

    @cached_property
    def minimum(self) -> Float[Tensor, "*batch"]:
        return self.energies.amin(0)

    @cached_property
    def minimiser(self) -> Int[Tensor, "*batch_and_event"]:
        """A labelling of the lowest energy; the first one on ties."""
        best = self.labels[self.energies.argmin(0)]
        return best.reshape(*best.shape[:-1], *self.event_shape)

    @cached_property
    def log_partition(self) -> Float[Tensor, "*batch"]:
        """Log Σ exp(-E), in nats."""
        return torch.logsumexp(-self.energies, 0)

    @cached_property
    def marginals(self) -> Float[Tensor, "*batch entries"]:
        """Probability of each label of each variable, flat as in `FactorGraph`."""
        probabilities = torch.exp(-self.energies - self.log_partition)
        columns = [
            probabilities[self.labels[:, variable] == label].sum(0)
            for variable, count in enumerate(ints(self.counts))
            for label in range(count)
        ]
        return torch.stack(columns, -1)


def enumerate_labellings(energy: Energy) -> Enumeration:
    """Brute force, in chunks and in float64."""
    space = energy.space
    if not isinstance(space, Discrete) or space.segments is not None:
        raise TypeError("only discrete energies whose problems have one shape are enumerated")
    double = to(energy, dtype=torch.float64)
    labels = labellings(space.counts.flatten())
    ones = (1,) * len(space.batch_shape)
    parts: list[Tensor] = []
    for chunk in chunks(labels, _CHUNK):
        x = chunk.reshape(-1, *ones, *space.counts.shape)
        x = x.expand(-1, *space.batch_shape, *space.counts.shape)
        parts.append(double(x).detach().double())
    return Enumeration(
        labels=labels,
        energies=torch.cat(parts),
        counts=space.counts.flatten(),
        event_shape=tuple(space.counts.shape),
    )


def dense_matrix(quadratic: Quadratic, space: Space) -> Float[Tensor, "*batch n n"]:
    """A, column by column: `matvec` of the identity."""
    layout = space.layout
    lead = () if layout.segments is not None else layout.batch_shape
    n = math.prod(layout.event_shape)
    eye = torch.eye(n, dtype=quadratic.linear.dtype, device=quadratic.linear.device)
    x = eye.reshape(n, *(1,) * len(lead), *layout.event_shape).expand(n, *layout.shape)
    columns = quadratic.matvec(x.clone())
    return columns.expand(n, *layout.shape).reshape(n, *lead, n).movedim(0, -1)


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """p(x) ∝ exp(-E(x)) of a quadratic energy with a positive definite matrix, in closed form.

    Attributes:
        matrix: A.
        linear: b, flat.
        constant: c.
        shape: shape of a configuration of every problem.
    """

    matrix: Float[Tensor, "*batch n n"]
    linear: Float[Tensor, "*batch n"]
    constant: Float[Tensor, "*batch"]
    shape: tuple[int, ...]

    @cached_property
    def mean(self) -> Float[Tensor, "*batch n"]:
        """A⁻¹b."""
        return linear_solve(self.matrix, self.linear)

    @cached_property
    def minimiser(self) -> Float[Tensor, "*shape"]:
        return self.mean.reshape(self.shape)

    @cached_property
    def minimum(self) -> Float[Tensor, "*batch"]:
        """C - ½bᵀA⁻¹b."""
        return self.constant - 0.5 * (self.linear * self.mean).sum(-1)

    @cached_property
    def covariance(self) -> Float[Tensor, "*batch n n"]:
        return inverse(self.matrix)

    @cached_property
    def spectrum(self) -> Float[Tensor, "*batch n"]:
        return eigenvalues(self.matrix)

    @cached_property
    def log_partition(self) -> Float[Tensor, "*batch"]:
        """Log ∫ exp(-E), in nats."""
        n = self.linear.shape[-1]
        return 0.5 * (n * math.log(2 * math.pi) - torch.logdet(self.matrix)) - self.minimum


def solve_densely(energy: Energy) -> Gaussian:
    """The closed form of an energy that gives `Quadratic`, in float64."""
    double = to(energy, dtype=torch.float64)
    quadratic = view(double, Quadratic)
    layout = double.space.layout
    if layout.segments is not None:
        raise TypeError("problems that lie end to end are solved one by one")
    n = math.prod(layout.event_shape)
    linear = quadratic.linear.detach().double().expand(layout.shape)
    with torch.no_grad():
        matrix = dense_matrix(quadratic, double.space).double()
    return Gaussian(
        matrix=0.5 * (matrix + matrix.mT),
        linear=linear.reshape(*layout.batch_shape, n),
        constant=quadratic.constant.detach().double().expand(layout.batch_shape),
        shape=layout.shape,
    )


def directional_difference(
    function: Callable[[Tensor], Tensor],
    at: Float[Tensor, "..."],
    direction: Float[Tensor, "..."],
    step: float = 1e-5,
) -> Float[Tensor, "..."]:
    """(f(x + hd) - f(x - hd)) / 2h: the derivative along d, with an error of order h²."""
    with torch.no_grad():
        return (function(at + step * direction) - function(at - step * direction)) / (2 * step)
