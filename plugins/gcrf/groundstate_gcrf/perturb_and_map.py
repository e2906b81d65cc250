"""`generator/perturb-and-map`: exact samples of a Gaussian, each the minimum of a perturbed energy.

p(x) ∝ exp(-E(x)) with E(x) = ½xᵀAx - bᵀx + c is N(A⁻¹b, A⁻¹). With η ~ N(0, A), x = A⁻¹(b + η) has
mean A⁻¹b and covariance A⁻¹AA⁻¹ = A⁻¹ (Papandreou and Yuille 2010; Gaussian CRF spec §14.3).
"""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.solver import Solver
from groundstate.views import Quadratic
from groundstate_gcrf.density import gaussian_density
from groundstate_gcrf.minima import minimum_of, with_sides
from groundstate_gcrf.structure import Factored


@dataclass(frozen=True, kw_only=True)
class PerturbAndMap:
    """Independent samples, exact up to the solver's tolerance.

    Attributes:
        energy: a quadratic energy that gives the view `Factored`.
        solver: what minimises the perturbed energies, all of them at once.
        reparametrised: whether samples carry gradients, implicit ones, to the energy's parameters.
        steps: of the solver, at most.
    """

    energy: Energy
    solver: Solver[Any]
    reparametrised: bool = False
    steps: Annotated[int, Ge(1)] = 1000

    def sample(
        self, n: int, condition: Tensor | None, rng: torch.Generator
    ) -> Float[Tensor, "n *shape"]:
        """`n` samples of every problem of the energy.

        Raises:
            ValueError: if there is a condition.
            SolveError: if the solver does not converge, for then samples would not be exact.
            ViewError: if the energy gives no `Factored`.
        """
        _refuse_condition(condition)
        with torch.set_grad_enabled(self.reparametrised):
            perturbed = _perturbed(self.energy, n, rng)
        gradient = "implicit" if self.reparametrised else "none"
        return minimum_of(
            perturbed, self.solver, what="a sample", steps=self.steps, gradient=gradient
        )

    def log_prob(self, x: Float[Tensor, "..."], condition: Tensor | None) -> Float[Tensor, "..."]:
        """The log density in nats, exact and differentiable in all parameters.

        Raises:
            ValueError: if there is a condition, or too many variables without structure.
        """
        _refuse_condition(condition)
        return gaussian_density(self.energy, solver=self.solver).log_prob(x)

    def sample_with_log_prob(
        self, n: int, condition: Tensor | None, rng: torch.Generator
    ) -> tuple[Float[Tensor, "n *shape"], Float[Tensor, "n *batch"]]:
        """Samples and their log density."""
        x = self.sample(n, condition, rng)
        with torch.set_grad_enabled(self.reparametrised):
            return x, self.log_prob(x, condition)


def _refuse_condition(condition: Tensor | None) -> None:
    if condition is not None:
        raise ValueError(
            "this generator has no condition: build its energy for the condition instead"
        )


def _perturbed(energy: Energy, n: int, rng: torch.Generator) -> QuadraticEnergy:
    """The energy with `n` perturbed linear terms."""
    noise = view(energy, Factored).noise((n,), rng)
    return with_sides(energy, view(energy, Quadratic).linear + noise)
