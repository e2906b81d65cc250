"""Quadratic energies with dense matrices: definite, batched, ill-conditioned, indefinite."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from groundstate.energy import Views, evaluate_quadratic
from groundstate.space import Real
from groundstate.testing.problems.problem import Problem
from groundstate.testing.trees import generator
from groundstate.testing.typed import broadcast, eigenvalues, linear_solve, orthogonal
from groundstate.unions import union
from groundstate.views import Covariance, Density, Quadratic, Score, SparseMatrix


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
        with torch.enable_grad():  # it is kept, so whoever asks first must not cut its graph
            diagonal = self.matrix.diagonal(dim1=-2, dim2=-1)
            diagonal = diagonal.reshape(*self.matrix.shape[:-2], *self.space.event_shape)
        smallest = eigenvalues(self.matrix.detach())[..., 0]
        floor = smallest * (1 - 1e-6) if bool((smallest > 0).all()) else None
        return Quadratic(
            matvec=self._apply,
            linear=self.linear,
            constant=self.constant,
            diagonal=diagonal,
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


def large_system() -> Problem:
    """A badly conditioned system in 200 unknowns."""
    return Problem(
        name="large system",
        energy=quadratic(positive_definite(200, 20, condition=1e7), _normal(200, seed=22)),
        large=True,
    )
