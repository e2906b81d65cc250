"""Small instances of every component, in float64, for the laws of the test kit."""

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.examples import ModelExample
from groundstate_dense_crf.crf_as_rnn import CrfAsRnn
from groundstate_dense_crf.energy import DenseCrf, dense_crf
from groundstate_dense_crf.filters import How
from groundstate_dense_crf.mean_field import DenseMeanField


def dense_crfs() -> list[DenseCrf]:
    """Both filters, both normalisations, Potts and a general compatibility, a batch."""
    unary, image = random_photo(2, 3, labels=3, seed=0)
    many, images = random_photo(2, 2, 3, labels=2, seed=1)
    prices = torch.tensor([[0.0, 1.0, 2.0], [1.0, -0.2, 0.5], [2.0, 0.5, 0.0]], dtype=torch.float64)
    return [
        _small(unary, image, appearance=1.5, smoothness=0.5, filter="exact"),
        _small(many, images, appearance=1.5, smoothness=0.5, filter="lattice"),
        _small(unary, image, appearance=-0.3, smoothness=0.4, filter="lattice", prices=prices),
    ]


def _small(
    unary: Tensor,
    image: Tensor,
    *,
    appearance: float,
    smoothness: float,
    filter: How,
    prices: Tensor | None = None,
) -> DenseCrf:
    """Bandwidths that suit a few pixels; not normalised where there are prices."""
    return dense_crf(
        unary=unary,
        image=image,
        compatibility=prices,
        appearance_weight=appearance,
        appearance_position=2.0,
        appearance_colour=0.5,
        smoothness_weight=smoothness,
        smoothness_position=1.0,
        normalise="symmetric" if prices is None else "none",
        filter=filter,
    )


def mean_fields() -> list[DenseMeanField]:
    return [
        DenseMeanField(),
        DenseMeanField(damping=0.3),
        DenseMeanField(line_search=True, tolerance=1e-6),
    ]


def crfs_as_rnn() -> list[ModelExample]:
    """Fixed and learned bandwidths; one image and two."""
    unary, image = random_photo(3, 3, labels=3, seed=2)
    many, images = random_photo(2, 2, 3, labels=2, seed=3)
    fixed = CrfAsRnn(labels=3, appearance_position=2.0, appearance_colour=0.5)
    learned = CrfAsRnn(labels=2, appearance_colour=0.5, learn_bandwidths=True)
    return [
        ModelExample(model=fixed.double(), batch={"unary": unary, "image": image}),
        ModelExample(model=learned.double(), batch={"unary": many, "image": images}),
    ]


def random_photo(
    *shape: int, labels: int, seed: int
) -> tuple[Float[Tensor, "*shape labels"], Float[Tensor, "*shape 3"]]:
    """Costs, and colours from 0 to 1."""
    rng = torch.Generator().manual_seed(seed)
    unary = torch.randn(*shape, labels, generator=rng, dtype=torch.float64)
    return unary, torch.rand(*shape, 3, generator=rng, dtype=torch.float64)
