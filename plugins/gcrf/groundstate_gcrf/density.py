"""The normalised density that a quadratic energy makes.

p(x) = exp(-E(x)) / Z with log Z = ½ (n log 2π - log det A) - min E (Gaussian CRF spec §1.2).
"""

import math
from typing import Any

import torch
from torch import Tensor

from groundstate.energy import Energy
from groundstate.solver import Solver
from groundstate.views import Density
from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.log_determinant import Estimate, log_determinant
from groundstate_gcrf.minima import minimum_of


def log_partition(
    energy: Energy,
    *,
    solver: Solver[Any] | None = None,
    determinant: Estimate | None = None,
) -> Estimate:
    """Log ∫ exp(-E) of each problem, in nats; differentiable.

    Args:
        energy: one that gives `Quadratic`.
        solver: finds the mean; None picks by structure and size.
        determinant: log det A, where `log_determinant(energy)` as it comes is not what is wanted.

    Raises:
        ValueError: if A is not positive definite.
        SolveError: if the mean is not found.
    """
    solver = AutoQuadratic() if solver is None else solver
    if determinant is None:
        determinant = log_determinant(energy, solver=solver)
    layout = energy.space.layout
    mean = minimum_of(energy, solver, what="a density")
    # at the minimum E changes with its parameters as if x stood still
    lowest = energy(mean)
    n = layout.sum(torch.ones_like(mean))
    value = 0.5 * (n * math.log(2 * math.pi) - determinant.value) - lowest
    return Estimate(value=value, error=0.5 * determinant.error, method=determinant.method)


def gaussian_density(
    energy: Energy,
    *,
    solver: Solver[Any] | None = None,
    determinant: Estimate | None = None,
) -> Density:
    """The density p(x) ∝ exp(-E(x)) of a quadratic energy, exactly normalised.

    Args:
        energy: one that gives `Quadratic`.
        solver: finds the mean; None picks by structure and size.
        determinant: log det A; None finds it exactly. `log_determinant(energy, method="lanczos")`
            takes any size, and then log p is off by half of that estimate's error.

    Raises:
        ValueError: if A is not positive definite, or has too many variables without structure.
    """
    if determinant is None:
        determinant = log_determinant(energy, method="exact")
    constant = log_partition(energy, solver=solver, determinant=determinant).value

    def log_prob(x: Tensor) -> Tensor:
        return -energy(x) - constant

    return Density(log_prob=log_prob)
