"""`energy/affinity-gcrf` against its definition, its closed-form gradients, and what it refuses."""

import pytest
import torch
from plugins.gcrf.tests.crfs import EXACT, dense, gradcheck, normal
from torch import Tensor

from groundstate.energy import view
from groundstate.solving import solve
from groundstate.testing.oracles import solve_densely
from groundstate.testing.typed import eigenvalues, linear_solve
from groundstate.views import Quadratic
from groundstate_gcrf.energies.affinity import affinity_gcrf
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.matrix import GaussianCrf

PINNED = torch.tensor([[1, 0, 0], [0, 0, 1]], dtype=torch.float64)


def similarity(embeddings: Tensor) -> Tensor:
    flat = embeddings.flatten(-2)
    return torch.softmax(flat.mT @ flat, dim=-1)


def test_energy_is_the_sum_of_its_terms() -> None:
    embeddings, values, y = normal(0, 3, 2, 3), normal(1, 2, 3), normal(2, 2, 3)
    region = torch.tensor([[0, 1, 1], [0, 1, 0]], dtype=torch.bool)
    energy = affinity_gcrf(
        embeddings=embeddings,
        pinned=PINNED,
        values=values,
        regions=region[None],
        strength=3.0,
        tie=2.0,
        diagonal=0.5,
    )
    rest = y.flatten() - similarity(embeddings) @ y.flatten()
    expected = 0.5 * rest.square().sum() + 0.5 * 3 * (PINNED * (y - values).square()).sum()
    inside = y[region]
    expected = expected + 0.5 * 2 * (inside - inside.mean()).square().sum()
    torch.testing.assert_close(energy(y), expected + 0.5 * 0.5 * y.square().sum())


def test_two_channels_share_one_matrix() -> None:
    embeddings, values = normal(0, 3, 2, 3), normal(1, 2, 2, 3)
    both = affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=values)
    for channel in range(2):
        alone = affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=values[channel])
        torch.testing.assert_close(dense(both)[channel], dense(alone))
        torch.testing.assert_close(solve(both, EXACT).x[channel], solve_densely(alone).minimiser)


def test_values_that_are_not_pinned_play_no_part() -> None:
    embeddings, values = normal(0, 3, 2, 3), normal(1, 2, 3)
    unknown = torch.where(PINNED > 0, values, float("nan"))
    one = affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=values)
    two = affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=unknown)
    y = normal(2, 2, 3)
    torch.testing.assert_close(one(y), two(y))


def test_regions_share_a_value_more_closely_the_stronger_they_are_tied() -> None:
    embeddings, values = normal(0, 3, 2, 3), normal(1, 2, 3)
    region = torch.tensor([[0, 1, 0], [0, 1, 1]], dtype=torch.bool)
    spreads: list[float] = []
    for tie in (0.0, 1.0, 100.0, 1e5):
        energy = affinity_gcrf(
            embeddings=embeddings, pinned=PINNED, values=values, regions=region[None], tie=tie
        )
        spreads.append(float(solve_densely(energy).minimiser[region].std()))
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 1e-4 * spreads[0]


class TestGradients:
    def test_against_finite_differences(self) -> None:
        regions = torch.tensor([[[0, 1, 1], [0, 0, 0]]], dtype=torch.bool)

        def build(
            embeddings: Tensor, values: Tensor, beta: Tensor, gamma: Tensor, ridge: Tensor
        ) -> GaussianCrf:
            return affinity_gcrf(
                embeddings=embeddings,
                pinned=PINNED,
                values=values,
                regions=regions,
                strength=beta,
                tie=gamma,
                diagonal=ridge,
            )

        scalars = [torch.tensor(each, dtype=torch.float64) for each in (2.0, 3.0, 0.1)]
        assert gradcheck(build, normal(0, 3, 2, 3), normal(1, 2, 3), *scalars)

    def test_closed_form_has_the_minus_sign(self) -> None:
        # structured models spec §2.4: ∂L/∂A = -g yᵀ, ∂L/∂S = -R(G + Gᵀ), ∂L/∂𝒜 = 𝒜(G_M + G_Mᵀ)
        embeddings = normal(0, 3, 2, 3).requires_grad_(True)
        values = normal(1, 2, 3).requires_grad_(True)
        energy = affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=values, strength=2.0)
        y = solve(energy, EXACT, gradient="implicit").x
        weights = normal(2, 2, 3)
        to_embeddings, to_values = torch.autograd.grad((y * weights).sum(), (embeddings, values))
        matrix = dense(energy).detach()
        g = linear_solve(matrix, weights.flatten())
        flat, s = embeddings.detach().flatten(1), similarity(embeddings.detach())
        to_matrix = -torch.outer(g, y.detach().flatten())
        to_s = -(torch.eye(6, dtype=torch.float64) - s) @ (to_matrix + to_matrix.mT)
        to_logits = s * (to_s - (to_s * s).sum(-1, keepdim=True))
        expected = flat @ (to_logits + to_logits.mT)
        torch.testing.assert_close(to_embeddings.flatten(1), expected)
        torch.testing.assert_close(to_values, 2 * PINNED * g.reshape(2, 3))


class TestDefiniteness:
    def test_without_pins_constants_are_free(self) -> None:
        # spec §2.3: I - S maps constants to 0, so the paper's "positive definite" needs a pin
        embeddings, values = normal(0, 3, 2, 3), normal(1, 2, 3)
        nothing = torch.zeros(2, 3, dtype=torch.bool)
        with pytest.raises(NotPositiveDefinite, match="nothing holds the level"):
            affinity_gcrf(embeddings=embeddings, pinned=nothing, values=values)
        with pytest.raises(NotPositiveDefinite, match="nothing holds the level"):
            affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=values, strength=0.0)
        held = affinity_gcrf(embeddings=embeddings, pinned=nothing, values=values, diagonal=0.1)
        floor = view(held, Quadratic).floor
        assert floor is not None and float(floor) == pytest.approx(0.1)

    def test_one_pin_is_enough_and_the_problem_without_is_named(self) -> None:
        pins = torch.zeros(2, 2, 3, dtype=torch.bool)
        pins[0, 1, 1] = True
        embeddings, values = normal(0, 3, 2, 3), normal(1, 2, 3)
        one = affinity_gcrf(embeddings=embeddings, pinned=pins[0], values=values)
        assert float(eigenvalues(dense(one))[0]) > 1e-6
        with pytest.raises(NotPositiveDefinite, match=r"in problem \(1,\) nothing holds"):
            affinity_gcrf(embeddings=embeddings, pinned=pins, values=values)

    def test_pixels_that_rounding_sets_apart(self) -> None:
        # two kinds of pixels with inner products of ±10⁴: softmax is exactly 0 between them
        kinds = torch.tensor([[[100.0, 100.0, -100.0], [-100.0, 100.0, -100.0]]]).double()
        values = normal(1, 2, 3)
        pinned = torch.zeros(2, 3, dtype=torch.bool)
        pinned[0, 0] = True
        with pytest.raises(NotPositiveDefinite, match="similarities round to 0"):
            affinity_gcrf(embeddings=kinds, pinned=pinned, values=values)
        tied = torch.zeros(1, 2, 3, dtype=torch.bool)
        tied[0, 0, 1:] = True
        energy = affinity_gcrf(embeddings=kinds, pinned=pinned, values=values, regions=tied)
        assert float(eigenvalues(dense(energy))[0]) > 1e-6
        pinned[0, 2] = True
        both = affinity_gcrf(embeddings=kinds, pinned=pinned, values=values)
        assert float(eigenvalues(dense(both))[0]) > 1e-6


class TestRefusals:
    def test_numbers(self) -> None:
        embeddings, values = normal(0, 3, 2, 3), normal(1, 2, 3)
        for strength, tie, diagonal in ((-1.0, 1.0, 0.0), (1.0, -1.0, 0.0), (1.0, 1.0, -1.0)):
            with pytest.raises(ValueError, match="must be finite and at least 0, got -1"):
                affinity_gcrf(
                    embeddings=embeddings,
                    pinned=PINNED,
                    values=values,
                    strength=strength,
                    tie=tie,
                    diagonal=diagonal,
                )
        with pytest.raises(ValueError, match="pinned must be finite"):
            affinity_gcrf(embeddings=embeddings, pinned=-PINNED, values=values)
        with pytest.raises(ValueError, match="values must be finite"):
            affinity_gcrf(embeddings=embeddings, pinned=PINNED, values=values * float("inf"))
        with pytest.raises(ValueError, match="masks of 0 and 1"):
            affinity_gcrf(
                embeddings=embeddings, pinned=PINNED, values=values, regions=2 * PINNED[None]
            )

    def test_sizes(self) -> None:
        with pytest.raises(ValueError, match="with the height and width of values"):
            affinity_gcrf(embeddings=normal(0, 3, 3, 2), pinned=PINNED, values=normal(1, 2, 3))
