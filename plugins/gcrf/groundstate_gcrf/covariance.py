"""x = Cb for energies that give C itself (Gaussian CRF spec §14.3 e): a product and no solve.

Where C = FᵀF + λI with a small λ, A = C⁻¹ is a difference in which λ/σ² of the digits cancel, and
what solves with A as it is rounded is far off. Cb has all its digits. It is therefore not refined
by residuals b - Ax, which have those errors; they only judge, so a problem whose A has lost too
many digits to confirm the answer ends STALLED, with the residual that floating point allows.
"""

from typing import Annotated

import torch
from annotated_types import Ge

from groundstate.energy import Energy, view
from groundstate.status import Status
from groundstate.views import Covariance
from groundstate_gcrf.direct import Direct, Inverse


def by_covariance(*, tolerance: Annotated[float, Ge(0)] | None = None) -> Direct:
    """By one product with the covariance.

    Args:
        tolerance: on the true ‖b - Ax‖ / ‖b‖ of each problem; None is √ε of the type.
    """
    return Direct(factorise=factorise, tolerance=tolerance, refinements=0)


def factorise(energy: Energy) -> Inverse:
    """A⁻¹, which is known."""
    covariance, space = view(energy, Covariance), energy.space
    running = torch.full(space.layout.batch_shape, int(Status.RUNNING), device=space.device)
    return Inverse(apply=covariance.matvec, verdict=running)
