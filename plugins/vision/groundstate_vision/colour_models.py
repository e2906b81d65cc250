"""Unary terms from strokes: one Gaussian mixture of Lab colours per label.

Source: the colour models of GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004, Eq 8 to 10), for any
number of labels, fitted to the stroke pixels only, with the labels' densities normalised to a
posterior so that costs have one scale.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundstate_vision.colour import rgb_to_lab
from groundstate_vision.learn import fit_mixture

VARIANCE = 4.0
"""Variance added to every mixture, in Lab units squared: about what camera noise does."""


def colour_costs(
    image: Float[Tensor, "height width 3"],
    strokes: Int[Tensor, "height width"],
    *,
    labels: int,
    components: int = 4,
    outliers: float = 0.01,
    stroke_cost: float = 100.0,
    seed: int = 0,
) -> Float[Tensor, "height width labels"]:
    """The cost of each label at each pixel, in nats.

    At a pixel of colour c, cost(l) = -log((1 - outliers) p(c|l) / sum_k p(c|k) + outliers / labels)
    lies between 0 and log(labels / outliers), however strange the colour. On strokes the drawn
    label costs 0 and every other one `stroke_cost`.

    Args:
        image: SRGB in [0, 1].
        strokes: The label drawn at each pixel, -1 for none; every label must occur.
        labels: How many labels there are.
        components: Gaussians per label; fewer where a label has few stroke pixels.
        outliers: Share of pixels whose colour says nothing; in (0, 1).
        stroke_cost: Cost in nats of a label other than the drawn one, on strokes.
        seed: Seed of the mixtures' starting points.
    """
    lab = rgb_to_lab(image.double())
    colours = lab.reshape(-1, 3).cpu().numpy()
    drawn = strokes.reshape(-1).cpu().numpy()
    density = np.stack(
        [
            fit_mixture(colours[drawn == label], components, VARIANCE, seed).score_samples(colours)
            for label in range(labels)
        ],
        axis=-1,
    )
    posterior = torch.as_tensor(density).log_softmax(dim=-1)
    floor = torch.full_like(posterior, math.log(outliers / labels))
    cost = -torch.logaddexp(posterior + math.log1p(-outliers), floor)
    cost = cost.reshape(*strokes.shape, labels).to(image)
    hard = stroke_cost * (torch.arange(labels, device=strokes.device) != strokes[..., None])
    return torch.where((strokes >= 0)[..., None], hard.to(image), cost)
