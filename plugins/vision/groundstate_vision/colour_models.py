"""Unary terms from strokes: one Gaussian mixture of Lab colours and places per label.

Source: the colour models of GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004, Eq 8 to 10), for any
number of labels, fitted to the stroke pixels only, with the labels' densities normalised to a
posterior so that costs have one scale. Unlike there, a pixel's place may count beside its colour:
strokes say where a label is, not only how it looks.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from groundstate_vision.colour import rgb_to_lab
from groundstate_vision.learn import mixture_log_density

VARIANCE = 4.0
"""Variance added to every mixture, in Lab units squared: about what camera noise does."""


def colour_costs(
    image: Float[Tensor, "height width 3"],
    strokes: Int[Tensor, "height width"],
    *,
    labels: int,
    components: int = 6,
    position: float = 30.0,
    outliers: float = 0.01,
    stroke_cost: float = 100.0,
    seed: int = 0,
) -> Float[Tensor, "height width labels"]:
    """The cost of each label at each pixel, in nats.

    At a pixel of colour (and place) c the cost of label l,
    -log((1 - outliers) p(c|l) / sum_k p(c|k) + outliers / labels),
    lies between 0 and log(labels / outliers), however strange the colour. On strokes the drawn
    label costs 0 and every other one `stroke_cost`.

    Args:
        image: SRGB in [0, 1].
        strokes: The label drawn at each pixel, -1 for none; every label must occur.
        labels: How many labels there are.
        components: Gaussians per label; fewer where a label has few stroke pixels.
        position: What a photo's longest side counts, in Lab units; 0 leaves places out.
        outliers: Share of pixels whose colour says nothing; in (0, 1).
        stroke_cost: Cost in nats of a label other than the drawn one, on strokes.
        seed: Seed of the mixtures' starting points.
    """
    samples = _samples(image.detach().cpu().double(), position)
    drawn = strokes.reshape(-1).cpu().numpy()
    density = np.stack(
        [
            mixture_log_density(
                samples[drawn == label],
                samples,
                components=components,
                variance=VARIANCE,
                seed=seed,
            )
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


def _samples(image: Float[Tensor, "height width 3"], position: float) -> NDArray[np.float64]:
    """One row per pixel: L, a, b, and, unless they count nothing, scaled column and row."""
    lab = rgb_to_lab(image).reshape(-1, 3)
    if position == 0:
        return lab.numpy()
    rows, columns = torch.meshgrid(
        *(torch.arange(side, dtype=image.dtype) + 0.5 for side in image.shape[:2]), indexing="ij"
    )
    places = torch.stack([columns.reshape(-1), rows.reshape(-1)], dim=-1)
    return torch.cat([lab, places * (position / max(image.shape[:2]))], dim=-1).numpy()
