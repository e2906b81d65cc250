"""`energy/truncated-linear` against its formula, written out."""

import math

import pytest
import torch

import groundstate as gs
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.icm import ICM
from groundstate_mrf.max_product import MaxProduct
from groundstate_mrf.truncated_linear import TruncatedLinear


def test_energy_is_the_formula_pixel_by_pixel() -> None:
    rng = torch.Generator().manual_seed(0)
    unary = torch.randn(3, 4, 5, generator=rng, dtype=torch.float64)
    image = torch.rand(3, 4, 2, generator=rng, dtype=torch.float64)
    energy = TruncatedLinear(unary=unary, image=image, smoothness=0.7, truncation=2.5, contrast=1.5)
    x = energy.space.sample(rng)
    pairs = [((i, j), (i, j + 1)) for i in range(3) for j in range(3)]
    pairs += [((i, j), (i + 1, j)) for i in range(2) for j in range(4)]
    squares = [float((image[a] - image[b]).square().sum()) for a, b in pairs]
    variance = 1.5 * sum(squares) / len(squares)
    expected = sum(float(unary[i, j, x[i, j]]) for i in range(3) for j in range(4))
    for (a, b), square in zip(pairs, squares, strict=True):
        apart = min(abs(int(x[a]) - int(x[b])), 2.5)
        expected += 0.7 * math.exp(-square / (2 * variance)) * apart
    assert float(energy(x)) == pytest.approx(expected)
    assert float(energy.graph.energy(x.flatten())) == pytest.approx(expected)


def test_solvers_take_it() -> None:
    rng = torch.Generator().manual_seed(1)
    unary = torch.randn(2, 2, 3, 3, generator=rng, dtype=torch.float64)
    energy = TruncatedLinear(unary=unary, image=torch.zeros(2, 2, 3, 1), truncation=1.0)
    best = gs.solve(energy, BruteForce())
    for other in (gs.solve(energy, ICM()), gs.solve(energy, MaxProduct(), steps=30)):
        assert other.x.shape == best.x.shape
        assert bool((other.energy >= best.energy - 1e-9).all())
        assert other.bound is not None and bool((other.bound <= best.energy + 1e-9).all())


def test_costs_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="must not hold NaN"):
        TruncatedLinear(unary=torch.full((2, 2, 2), torch.nan), image=torch.zeros(2, 2, 1))
