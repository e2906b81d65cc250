"""`generator/perturb-and-map`: exact samples of a Gaussian, each the minimum of a perturbed energy.

p(x) ∝ exp(-E(x)) with E(x) = ½xᵀAx - bᵀx + c is N(A⁻¹b, A⁻¹). With η ~ N(0, A), x = A⁻¹(b + η) has
mean A⁻¹b and covariance A⁻¹AA⁻¹ = A⁻¹ (Papandreou and Yuille 2010; Gaussian CRF spec §14.3).
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.solution import SolveError, summarise
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.space import Real
from groundstate.status import Status
from groundstate.views import MatrixView, Quadratic
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
        if condition is not None:
            raise ValueError(
                "this generator has no condition: build its energy for the condition instead"
            )
        with torch.set_grad_enabled(self.reparametrised):
            perturbed = _perturbed(self.energy, n, rng)
        gradient = "implicit" if self.reparametrised else "none"
        solution = solve(perturbed, self.solver, steps=self.steps, gradient=gradient)
        done = (solution.status == Status.CONVERGED) | (solution.status == Status.OPTIMAL)
        if not bool(done.all()):
            raise SolveError(
                f"a sample is exact only if its solve converges. {summarise(solution.status)}",
                solution,
            )
        return solution.x if self.reparametrised else solution.x.detach()


def _perturbed(energy: Energy, n: int, rng: torch.Generator) -> QuadraticEnergy:
    """The energy with `n` perturbed linear terms: a batch dimension more, the same matrix."""
    quadratic, space = view(energy, Quadratic), energy.space
    assert isinstance(space, Real)
    noise = view(energy, Factored).noise((n,), rng)
    kept = {kind: make for kind, make in energy.views.items() if issubclass(kind, MatrixView)}
    constant = quadratic.constant.new_zeros(())
    floor = None if quadratic.floor is None else quadratic.floor.expand(n, *space.batch_shape)
    return QuadraticEnergy(
        quadratic=replace(
            quadratic, linear=quadratic.linear + noise, constant=constant, floor=floor
        ),
        space=replace(space, batch_shape=(n, *space.batch_shape)),
        structure=kept,
    )
