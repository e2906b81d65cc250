"""`loss/softmax-cross-entropy`: the labels' cross-entropy at the minimiser of the energy.

Gaussian CRF spec §2.3-2.5: x = A⁻¹b is real; a softmax per pixel makes chances of it, and the
gradient passes through the minimiser by one more solve with A.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate

import groundstate as gs
from groundstate.energy import Energy
from groundstate.learning import Batch, Needs
from groundstate.solver import Solver
from groundstate.views import Quadratic
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.potts_split import potts_split
from groundstate_gcrf.structure import PottsStructure
from groundstate_labelling.known import labelled
from groundstate_labelling.shapes import unflatten


@dataclass(frozen=True, kw_only=True)
class SoftmaxCrossEntropy:
    """Mean over labelled pixels of -log softmax(x), in nats; classes may be weighted.

    The batch's `labels` are `[*batch, tall, wide]`; the energy's scores `[*batch, labels, height,
    width]` are made as large by bilinear interpolation.

    Attributes:
        solver: finds the minimiser; None takes the Potts split for embeddings, else conjugate
            gradients to 1e-4.
        ignore: the label of pixels that do not count; no class.
        weights: of the classes, in the mean, too; empty counts all alike.
        stride: only each n-th row and column of the labels is looked at.
    """

    solver: Solver[Any] | None = None
    ignore: int = 11
    weights: tuple[Annotated[float, Ge(0)], ...] = ()
    stride: Annotated[int, Ge(1)] = 1

    @property
    def needs(self) -> Needs:
        return Needs(views=(Quadratic,), keys=("labels",))

    def __call__(
        self, model: Any, batch: Batch, rng: torch.Generator, /
    ) -> dict[str, Float[Tensor, ""]]:
        labels = batch["labels"]
        scores = minimiser(model(batch), self.solver)
        wanted = labels[..., :: self.stride, :: self.stride].flatten(0, -3).long()
        counted = labelled(wanted, scores.shape[-3], self.ignore)
        weight = self._weight(scores)
        if weight is not None:
            counted = counted & (weight[wanted.where(counted, 0)] > 0)
        large = enlarge(scores, (wanted.shape[-2], wanted.shape[-1]))
        if not bool(counted.any()):
            # a batch without one pixel that counts says nothing, not NaN
            return {"cross-entropy": 0 * large.sum()}
        loss = cross_entropy(large.flatten(0, -4), wanted, weight=weight, ignore_index=self.ignore)
        return {"cross-entropy": loss}

    def _weight(self, scores: Float[Tensor, "..."]) -> Float[Tensor, " labels"] | None:
        if not self.weights:
            return None
        if len(self.weights) != scores.shape[-3]:
            raise ValueError(
                f"`weights` must have one number for each of the {scores.shape[-3]} labels, or be "
                f"empty, got {len(self.weights)}"
            )
        return scores.new_tensor(self.weights)


def minimiser(energy: Energy, solver: Solver[Any] | None = None) -> Float[Tensor, "..."]:
    """The scores that minimise an energy, with a graph to its parameters where one is wanted."""
    gradient = "implicit" if torch.is_grad_enabled() else "none"
    found = gs.solve(energy, solver or fitting(energy), gradient=gradient)
    return found.x


def fitting(energy: Energy) -> Solver[Any]:
    """The solver for scores that are read by a softmax: exactness beyond 1e-4 is not seen."""
    if PottsStructure in energy.views:
        potts = gs.view(energy, PottsStructure)
        if potts.factor is not None:
            return potts_split(tolerance=1e-2 if potts.scale.dtype == torch.float32 else None)
    exact = energy.space.dtype == torch.float64
    return ConjugateGradients(tolerance=1e-9 if exact else 1e-4, check_every=32)


def enlarge(
    scores: Float[Tensor, "*batch labels height width"], size: tuple[int, int]
) -> Float[Tensor, "*batch labels tall wide"]:
    """Scores at the resolution of the labels."""
    flat = scores.flatten(0, -4)
    large = interpolate(flat, size=size, mode="bilinear", align_corners=False)
    return unflatten(large, 0, scores.shape[:-3])
