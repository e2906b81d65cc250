"""Energies from embeddings, against matrices formed and eigenvalues found densely."""

from typing import Any

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, gradcheck, gradients, normal
from torch import Tensor

from groundstate.energy import view
from groundstate.solver import Solver
from groundstate.solving import solve
from groundstate.testing.oracles import solve_densely
from groundstate.testing.typed import eigenvalues
from groundstate.views import Quadratic
from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.low_rank import (
    apply_columns,
    apply_rows,
    gram_product,
    low_rank_gcrf,
)
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.perturb_and_map import PerturbAndMap
from groundstate_gcrf.structure import LowRank, PottsStructure
from groundstate_gcrf.woodbury import woodbury

SCALE = torch.tensor(2.0, dtype=torch.float64)


class TestLowRank:
    @pytest.mark.parametrize("rank", [1, 3, 20])
    def test_matrix_is_the_gram_matrix_of_the_embeddings(self, rank: int) -> None:
        factor = normal(1, rank, 2, 2, 3)
        energy = low_rank_gcrf(unary=normal(0, 2, 2, 3), embeddings=factor, diagonal=0.5)
        flat = factor.flatten(1)
        expected = flat.mT @ flat + 0.5 * torch.eye(12, dtype=torch.float64)
        torch.testing.assert_close(dense(energy), expected)
        low = view(energy, LowRank)
        torch.testing.assert_close(
            low.factor.mT @ (low.signs[:, None] * low.factor), flat.mT @ flat
        )

    @pytest.mark.parametrize("solver", [ConjugateGradients(), AutoQuadratic(), woodbury()])
    def test_no_embeddings_leave_the_diagonal_alone(self, solver: Solver[Any]) -> None:
        unary = normal(0, 2, 2, 2, 3)
        factor = torch.empty(2, 0, 2, 2, 3, dtype=torch.float64)
        energy = low_rank_gcrf(unary=unary, embeddings=factor, diagonal=2.0)
        torch.testing.assert_close(dense(energy), (2 * torch.eye(12).double()).expand(2, 12, 12))
        torch.testing.assert_close(solve(energy, solver).x, unary / 2)

    @pytest.mark.parametrize("rank", [0, 3, 400])
    def test_a_batch_of_no_problems_has_no_answers(self, rank: int) -> None:
        factor = torch.empty(0, rank, 2, 2, 3, dtype=torch.float64)
        energy = low_rank_gcrf(unary=normal(0, 0, 2, 2, 3), embeddings=factor)
        matvec = view(energy, Quadratic).matvec
        assert matvec(normal(1, 0, 2, 2, 3)).shape == (0, 2, 2, 3)
        assert matvec(normal(1, 5, 0, 2, 2, 3)).shape == (5, 0, 2, 2, 3)

    def test_batches_equal_a_loop(self) -> None:
        factor, unary = normal(1, 3, 4, 2, 2, 2), normal(0, 2, 3, 2, 2, 2)
        energy = low_rank_gcrf(unary=unary, embeddings=factor)
        for i in range(3):
            alone = low_rank_gcrf(unary=unary[1, i], embeddings=factor[i])
            torch.testing.assert_close(dense(energy)[1, i], dense(alone))

    def test_gradients_are_those_of_the_closed_form(self) -> None:
        # d𝒜 = -[(𝒜g)xᵀ + (𝒜x)gᵀ]
        def build(unary: Tensor, factor: Tensor, scale: Tensor) -> GaussianCrf:
            return low_rank_gcrf(unary=unary, embeddings=factor, diagonal=scale)

        factor = normal(1, 3, 2, 2, 2)
        x, g, found = gradients(build, normal(0, 2, 2, 2), factor, SCALE)
        flat, x, g = factor.flatten(1), x.flatten(), g.flatten()
        expected = -(torch.outer(flat @ g, x) + torch.outer(flat @ x, g))
        torch.testing.assert_close(found[0].flatten(), g)
        torch.testing.assert_close(found[1].flatten(1), expected)
        torch.testing.assert_close(found[2], -(g * x).sum())

    def test_conjugate_gradients_need_at_most_one_step_more_than_the_rank(self) -> None:
        energy = low_rank_gcrf(unary=normal(0, 2, 5, 5), embeddings=normal(1, 3, 2, 5, 5))
        solver = ConjugateGradients(tolerance=1e-10, preconditioner="none")
        assert float(solve(energy, solver).stats["iterations"]) <= 4

    def test_samples_have_the_inverse_as_covariance(self) -> None:
        energy = low_rank_gcrf(unary=normal(0, 1, 1, 4), embeddings=normal(1, 2, 1, 1, 4))
        solver = ConjugateGradients(tolerance=1e-10)
        rng = torch.Generator().manual_seed(0)
        drawn = PerturbAndMap(energy=energy, solver=solver).sample(20000, None, rng).flatten(1)
        truth = solve_densely(energy)
        torch.testing.assert_close(drawn.mean(0), truth.mean, atol=0.03, rtol=0)
        torch.testing.assert_close(torch.cov(drawn.mT), truth.covariance, atol=0.04, rtol=0)

    def test_embeddings_of_another_size_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"embeddings must be \[\*batch, rank, \*event\]"):
            low_rank_gcrf(unary=normal(0, 2, 2, 3), embeddings=normal(1, 3, 2, 2, 2))


class TestLowRankPotts:
    def test_matrix_is_the_gram_matrix_between_different_labels(self) -> None:
        factor = normal(1, 4, 2, 3, size=0.3)
        energy = low_rank_potts_gcrf(unary=normal(0, 3, 2, 3), embeddings=factor, diagonal=2.0)
        psi = factor.flatten(1).mT @ factor.flatten(1)
        unequal = 1 - torch.eye(3, dtype=torch.float64)
        expected = torch.kron(unequal, psi) + 2 * torch.eye(18, dtype=torch.float64)
        torch.testing.assert_close(dense(energy), expected)
        potts = view(energy, PottsStructure)
        torch.testing.assert_close(potts.apply(torch.eye(6, dtype=torch.float64)), psi)
        assert potts.factor is not None and potts.factor.shape == (4, 6)

    def test_batches_equal_a_loop(self) -> None:
        factor, unary = normal(1, 3, 4, 2, 2, size=0.2), normal(0, 2, 3, 3, 2, 2)
        energy = low_rank_potts_gcrf(unary=unary, embeddings=factor, diagonal=3.0)
        for i in range(3):
            alone = low_rank_potts_gcrf(unary=unary[1, i], embeddings=factor[i], diagonal=3.0)
            torch.testing.assert_close(dense(energy)[1, i], dense(alone))

    @pytest.mark.parametrize("guard", ["check", "rescale"])
    def test_gradients_against_finite_differences(self, guard: str) -> None:
        size = 0.3 if guard == "check" else 2.0

        def build(unary: Tensor, factor: Tensor, scale: Tensor) -> GaussianCrf:
            return low_rank_potts_gcrf(
                unary=unary,
                embeddings=factor,
                diagonal=scale,
                guard="check" if guard == "check" else "rescale",
            )

        assert gradcheck(build, normal(0, 3, 2, 2), normal(1, 3, 2, 2, size=size), SCALE)

    def test_gradient_is_that_of_the_closed_form(self) -> None:
        # dψ = -Σ_k [(ψg_k)(S - x_k)ᵀ + (ψ(S - x_k))g_kᵀ]
        def build(unary: Tensor, factor: Tensor) -> GaussianCrf:
            return low_rank_potts_gcrf(unary=unary, embeddings=factor, diagonal=SCALE)

        factor = normal(1, 3, 2, 2, size=0.3)
        x, g, found = gradients(build, normal(0, 3, 2, 2), factor)
        psi, x, g = factor.flatten(1), x.flatten(1), g.flatten(1)
        others = x.sum(0) - x
        expected = -((psi @ g.mT) @ others + (psi @ others.mT) @ g)
        torch.testing.assert_close(found[1].flatten(1), expected)

    def test_definite_exactly_when_the_diagonal_exceeds_the_squared_norm(self) -> None:
        # spec §7.2: the paper's claim for every λ > 0 is false
        factor, unary = normal(1, 3, 2, 3), normal(0, 3, 2, 3)
        norm = float(eigenvalues(factor.flatten(1).mT @ factor.flatten(1))[-1])
        with pytest.raises(NotPositiveDefinite, match=r"must exceed σ_max² = .*embeddings, got"):
            low_rank_potts_gcrf(unary=unary, embeddings=factor, diagonal=0.999 * norm)
        energy = low_rank_potts_gcrf(unary=unary, embeddings=factor, diagonal=1.001 * norm)
        smallest = float(solve_densely(energy).spectrum[0])
        floor = view(energy, Quadratic).floor
        assert floor is not None
        assert 0 < float(floor) <= smallest
        assert smallest == pytest.approx(0.001 * norm)

    def test_the_refusal_names_the_problem(self) -> None:
        factor = torch.stack([normal(1, 3, 2, 3, size=0.1), normal(1, 3, 2, 3)])
        with pytest.raises(NotPositiveDefinite, match=r"of problem \(1,\), got 1"):
            low_rank_potts_gcrf(unary=normal(0, 2, 3, 2, 3), embeddings=factor)

    def test_rescaled_only_where_needed(self) -> None:
        factor = torch.stack([normal(1, 3, 2, 3, size=0.1), normal(1, 3, 2, 3)])
        unary = normal(0, 2, 3, 2, 3)
        energy = low_rank_potts_gcrf(unary=unary, embeddings=factor, guard="rescale")
        smallest = solve_densely(energy).spectrum[:, 0]
        alone = low_rank_potts_gcrf(unary=unary[0], embeddings=factor[0])
        torch.testing.assert_close(dense(energy)[0], dense(alone))
        assert float(smallest[1]) == pytest.approx(0.05)


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("rank", [1, 4, 9, 40])
@pytest.mark.parametrize("threads", [1, 2])
def test_compiled_products_equal_those_in_torch(
    threads: int, rank: int, batch: tuple[int, ...]
) -> None:
    # more columns than a chunk; ranks that are no multiple of the rows taken at once
    factor, x, short = (
        normal(1, *batch, rank, 2500),
        normal(2, *batch, 2500),
        normal(3, *batch, rank),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        gram, columns = gram_product(factor, x), apply_columns(factor, short)
    finally:
        torch.set_num_threads(before)
    learned = factor.clone().requires_grad_(True)
    torch.testing.assert_close(gram, gram_product(learned, x).detach())
    torch.testing.assert_close(columns, apply_columns(learned, short).detach())
    by_definition = (factor.mT @ (factor @ x[..., None]))[..., 0]
    torch.testing.assert_close(gram, by_definition)


def test_products_of_several_matrices_and_right_hand_sides() -> None:
    factor, x = normal(1, 3, 5, 1000), normal(2, 2, 3, 1000)
    expected = torch.einsum("bdn,sbn->sbd", factor, x)
    torch.testing.assert_close(apply_rows(factor, x), expected)
