"""The energy against all pairs one by one, its gradients, and solvers of other plugins on it."""

import pytest
import torch

import groundstate as gs
from groundstate.factors import FactorGraph
from groundstate_dense_crf.energy import DenseCrf, dense_crf
from groundstate_dense_crf.filters import Normalisation, pixel_features
from groundstate_dense_crf.kernels import DenseKernels

from .cases import double_loop, energy_by_pairs, photo, random_costs

PRICES = torch.tensor([[0.1, 1.0, 2.0], [1.0, -0.3, 0.5], [2.0, 0.5, 0.0]], dtype=torch.float64)


def small(**settings: object) -> DenseCrf:
    options = {"appearance_position": 2.0, "appearance_colour": 0.4, "smoothness_position": 1.0}
    unary = random_costs(2, 3, 3, seed=0)
    return dense_crf(unary=unary, image=photo(3)[:2], **{**options, **settings})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("normalise", ["none", "symmetric"])
def test_energy_is_the_sum_over_pairs(normalise: Normalisation) -> None:
    energy = small(compatibility=PRICES, normalise=normalise, smoothness_weight=-2.0)
    image = photo(3)[:2]
    features = (pixel_features(image, 2.0, 0.4), pixel_features(image, 1.0))
    kernels = [double_loop(each, normalise == "symmetric") for each in features]
    kernel = 10.0 * kernels[0] - 2.0 * kernels[1]
    for labels in energy.space.sample(torch.Generator().manual_seed(0), (20,)):
        flat = energy.unary.flatten(0, 1)
        expected = energy_by_pairs(flat, PRICES, kernel, labels.flatten())
        torch.testing.assert_close(energy(labels), expected, rtol=1e-12, atol=1e-12)


def test_gradients_of_all_parameters() -> None:
    labels = torch.tensor([[0, 1, 2], [2, 2, 0]])
    numbers = [torch.tensor(each, dtype=torch.float64) for each in (1.5, 2.0, 0.4, 0.7, 1.2)]
    inputs = [random_costs(2, 3, 3, seed=1), photo(3)[:2], PRICES.clone(), *numbers]

    def value(*parts: torch.Tensor) -> torch.Tensor:
        unary, image, prices, weight, position, colour, other, near = parts
        energy = dense_crf(
            unary=unary,
            image=image,
            compatibility=0.5 * (prices + prices.mT),
            appearance_weight=weight,
            appearance_position=position,
            appearance_colour=colour,
            smoothness_weight=other,
            smoothness_position=near,
        )
        return energy(labels)

    assert torch.autograd.gradcheck(value, [each.requires_grad_() for each in inputs])


def test_bandwidths_may_differ_in_a_batch() -> None:
    unary, image = random_costs(2, 3, 3, 2, seed=2), torch.stack([photo(3), photo(4)[:3, :3]])
    widths = torch.tensor([1.0, 3.0], dtype=torch.float64)
    weights = torch.tensor([0.5, 2.0], dtype=torch.float64)
    labels = torch.tensor([[0, 1, 1], [0, 0, 1], [1, 0, 1]]).expand(2, 3, 3)
    both = dense_crf(
        unary=unary, image=image, appearance_position=widths, smoothness_weight=weights
    )(labels)
    for index in range(2):
        alone = dense_crf(
            unary=unary[index],
            image=image[index],
            appearance_position=widths[index],
            smoothness_weight=weights[index],
        )
        torch.testing.assert_close(both[index], alone(labels[index]))


def test_solvers_of_factor_graphs_run_on_it() -> None:
    registry = gs.load()
    for energy in (small(), small(compatibility=PRICES)):
        best = gs.solve(energy, registry.build("solver/brute-force"))
        assert best.status == gs.Status.OPTIMAL
        for key in ("solver/icm", "solver/max-product", "solver/mean-field"):
            found = gs.solve(energy, registry.build(key))
            assert bool(found.energy >= best.energy - 1e-9)


def test_no_graph_of_pairs_is_offered_where_it_would_be_large() -> None:
    unary, image = random_costs(40, 40, 3, seed=3), photo(40)
    energy = dense_crf(unary=unary, image=image)
    assert set(energy.views) == {DenseKernels}
    with pytest.raises(gs.ViewError, match="DenseKernels"):
        gs.view(energy, FactorGraph)


def test_photos_of_bytes_are_taken() -> None:
    coarse = (255 * photo(3)[:2]).round()
    unary = random_costs(2, 3, 3, seed=0)
    labels = torch.tensor([[0, 1, 2], [2, 2, 0]])
    values = [
        dense_crf(unary=unary, image=image, appearance_colour=13.0)(labels)
        for image in (coarse, coarse.to(torch.uint8))
    ]
    torch.testing.assert_close(*values)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="symmetric"):
        small(compatibility=torch.triu(PRICES))
    with pytest.raises(ValueError, match="labels, labels"):
        small(compatibility=PRICES[:2, :2])
    with pytest.raises(ValueError, match="must agree"):
        dense_crf(unary=random_costs(2, 2, 2, seed=0), image=photo(3))
    with pytest.raises(ValueError, match="finite"):
        dense_crf(unary=torch.full((3, 3, 2), float("inf")).double(), image=photo(3))
