"""`model/crf-as-rnn`: some steps of dense mean field as layers of a network.

Zheng et al.: Conditional Random Fields as Recurrent Neural Networks (2015), algorithm 1; Gaussian
CRF spec §14.2. Each step filters the beliefs, weighs the filters for each label, mixes labels by
their compatibility, adds the costs and takes the softmax. Back-propagation goes through all steps.
Unaries are costs here, as in all energies, so they enter with a minus.
"""

import math
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from groundstate.learning import Batch
from groundstate_dense_crf.filters import (
    Filter,
    How,
    Normalisation,
    check_inputs,
    gaussian_filter,
    pixel_features,
)
from groundstate_dense_crf.independent import IndependentLabels


class CrfAsRnn(nn.Module):
    """Refines the label costs of a network by what an image says of every two pixels.

    Its energy holds the beliefs it ends with, so `loss/pseudo-likelihood` is their cross-entropy.

    Attributes:
        weights: of both kernels (appearance, smoothness) for each label, in nats.
        compatibility: what a label costs where another one is believed; any matrix.
        log_bandwidths: log of θ_α, θ_β and θ_γ: of positions, colours, and positions alone.
    """

    log_bandwidths: Tensor

    def __init__(
        self,
        *,
        labels: Annotated[int, Ge(2)],
        appearance_weight: float = 10.0,
        appearance_position: Annotated[float, Gt(0)] = 80.0,
        appearance_colour: Annotated[float, Gt(0)] = 0.05,
        smoothness_weight: float = 3.0,
        smoothness_position: Annotated[float, Gt(0)] = 3.0,
        training_steps: Annotated[int, Ge(0)] = 5,
        test_steps: Annotated[int, Ge(0)] = 10,
        learn_bandwidths: bool = False,
        normalise: Normalisation = "symmetric",
        filter: How = "auto",
    ) -> None:
        super().__init__()
        each = torch.tensor([appearance_weight, smoothness_weight])
        self.weights = nn.Parameter(each.unsqueeze(-1).repeat(1, labels))
        self.compatibility = nn.Parameter(1 - torch.eye(labels))
        widths = (appearance_position, appearance_colour, smoothness_position)
        logs = torch.tensor([math.log(width) for width in widths])
        self.log_bandwidths = nn.Parameter(logs, requires_grad=learn_bandwidths)
        self.training_steps = training_steps
        self.test_steps = test_steps
        self.normalise: Normalisation = normalise
        self.filter: How = filter

    def forward(self, batch: Batch, /) -> IndependentLabels:
        """The beliefs for `unary` `[*batch, height, width, labels]` and `image` in the batch."""
        unary, image = batch["unary"], batch["image"]
        check_inputs(unary, image)
        labels, dtype = self.compatibility.shape[-1], self.compatibility.dtype
        if unary.shape[-1] != labels or unary.dtype != dtype:
            raise ValueError(
                f"`unary` must have {labels} labels as {dtype}, like this module; got "
                f"{unary.shape[-1]} as {unary.dtype}"
            )
        return IndependentLabels(log_beliefs=self.log_beliefs(unary, image))

    def log_beliefs(
        self,
        unary: Float[Tensor, "*batch height width labels"],
        image: Shaped[Tensor, "*batch height width channels"],
    ) -> Float[Tensor, "*batch height width labels"]:
        """Log of the beliefs after `training_steps`, or `test_steps` in evaluation mode.

        Args:
            unary: cost of each label of each pixel, in nats.
            image: the photo, in the units of θ_β.
        """
        filters = self.filters(image.to(unary.dtype))
        costs = unary.flatten(-3, -2)
        beliefs = (-costs).log_softmax(-1)
        for _ in range(self.training_steps if self.training else self.test_steps):
            q = beliefs.exp()
            heard = torch.zeros_like(q)
            for each, weight in zip(filters, self.weights, strict=True):
                heard = heard + weight * each.apply(q)
            beliefs = (-costs - heard @ self.compatibility.mT).log_softmax(-1)
        return beliefs.reshape(unary.shape)

    def filters(self, image: Float[Tensor, "*batch height width channels"]) -> tuple[Filter, ...]:
        """The kernels of an image."""
        position, colour, near = self.log_bandwidths.exp().unbind()
        features = (pixel_features(image, position, colour), pixel_features(image, near))
        return tuple(gaussian_filter(each, self.filter, self.normalise) for each in features)
