"""Several resolutions in one system, sums, and the inverse parameterisation."""

from itertools import product

import pytest
import torch
from plugins.gcrf.tests.crfs import EXACT, dense, gradcheck, gradients, normal, per_offset
from torch import Tensor

from groundstate.energy import view
from groundstate.solving import solve
from groundstate.testing.oracles import solve_densely
from groundstate.testing.typed import inverse
from groundstate.views import Covariance, Quadratic, SparseMatrix
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.multi_resolution import (
    fuse_resolutions,
    multi_resolution_gcrf,
    partners,
    potts_blocks,
    split_resolutions,
)
from groundstate_gcrf.energies.quadratic_sum import OverFrames, QuadraticSum, quadratic_sum
from groundstate_gcrf.energies.sparse import grid_gcrf_general, grid_gcrf_potts
from groundstate_gcrf.energies.video import video_gcrf
from groundstate_gcrf.sparse_direct import sparse_direct
from groundstate_gcrf.structure import Factored, LowRank

SIZES = [(4, 3), (2, 2), (1, 1)]
UNARIES = [normal(i, 2, *size) for i, size in enumerate(SIZES)]
TERMS = [per_offset(10 + 4 * i, 4, *size, 2, 2) for i, size in enumerate(SIZES)]
BETWEEN = [normal(30 + i, *size, 2, 2, size=0.3) for i, size in enumerate([SIZES[0]] * 2)]
LAST = normal(40, *SIZES[1], 2, 2, size=0.3)


class TestMultiResolution:
    def coupled(self) -> GaussianCrf:
        return multi_resolution_gcrf(unaries=UNARIES, terms=TERMS, between=[*BETWEEN, LAST])

    def test_without_coupling_each_resolution_is_solved_alone(self) -> None:
        energy = multi_resolution_gcrf(unaries=UNARIES, terms=TERMS)
        parts = split_resolutions(solve(energy, EXACT).x, SIZES)
        for part, unary, terms in zip(parts, UNARIES, TERMS, strict=True):
            alone = grid_gcrf_general(unary=unary, terms=terms)
            torch.testing.assert_close(part, solve_densely(alone).minimiser)

    def test_pairs_of_resolutions_are_coupled_block_by_block(self) -> None:
        apart = dense(multi_resolution_gcrf(unaries=UNARIES, terms=TERMS))
        found = dense(self.coupled()) - apart
        expected, nodes = torch.zeros_like(found), 12 + 4 + 1
        begins = [0, 12, 16]
        for (r, s), blocks in zip([(0, 1), (0, 2), (1, 2)], [*BETWEEN, LAST], strict=True):
            (tall, wide), (height, width) = SIZES[r], SIZES[s]
            for h, w, lo, m in product(range(tall), range(wide), range(2), range(2)):
                here = begins[r] + h * wide + w
                there = begins[s] + (h * height // tall) * width + w * width // wide
                expected[lo * nodes + here, m * nodes + there] += blocks[h, w, lo, m]
                expected[m * nodes + there, lo * nodes + here] += blocks[h, w, lo, m]
        torch.testing.assert_close(found, expected)

    def test_minimum_of_the_coupled_system(self) -> None:
        energy = self.coupled()
        torch.testing.assert_close(solve(energy, EXACT).x, solve_densely(energy).minimiser)

    def test_partner_is_the_pixel_it_lies_in(self) -> None:
        assert partners((4, 2), (2, 1)).tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        assert partners((3, 3), (2, 2)).tolist() == [0, 0, 1, 0, 0, 1, 2, 2, 3]

    def test_fusing_equal_fields_changes_nothing(self) -> None:
        x = torch.ones(2, 3, 17, dtype=torch.float64) * torch.arange(3).double()[:, None]
        fused = fuse_resolutions(x, SIZES)
        assert fused.shape == (2, 3, 4, 3)
        torch.testing.assert_close(fused[0, 2], torch.full((4, 3), 2.0, dtype=torch.float64))

    def test_gradients(self) -> None:
        sizes = [(2, 2), (1, 1)]

        def build(fine: Tensor, coarse: Tensor, weights: Tensor, between: Tensor) -> GaussianCrf:
            blocks = potts_blocks(weights, 2)
            return multi_resolution_gcrf(
                unaries=[fine, coarse],
                terms=[[blocks[:, :1], blocks[:1]], per_offset(0, 4, 1, 1, 2, 2)],
                between=[between],
            )

        parts = [normal(i, 2, *size) for i, size in enumerate(sizes)]
        assert gradcheck(build, *parts, normal(5, 2, 2), normal(6, 2, 2, 2, 2))

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="must hold 3 tensors, got 2"):
            multi_resolution_gcrf(unaries=UNARIES, terms=TERMS, between=BETWEEN)
        wrong = [*BETWEEN, BETWEEN[0]]
        with pytest.raises(ValueError, match=r"resolutions \(1, 2\) must end in \(2, 2, 2, 2\)"):
            multi_resolution_gcrf(unaries=UNARIES, terms=TERMS, between=wrong)
        with pytest.raises(ValueError, match="must have unaries and terms, got 3 and 2"):
            multi_resolution_gcrf(unaries=UNARIES, terms=TERMS[:2])
        with pytest.raises(NotPositiveDefinite, match="raise `diagonal`"):
            multi_resolution_gcrf(unaries=UNARIES, terms=TERMS, diagonal=0.1)


class TestSum:
    def parts(self) -> list[GaussianCrf]:
        dense_part = low_rank_gcrf(unary=normal(0, 2, 3, 2), embeddings=normal(1, 3, 2, 3, 2))
        sparse = grid_gcrf_potts(unary=normal(2, 4, 2, 3, 2), weights=per_offset(3, 8, 3, 2))
        return [dense_part, sparse]

    def test_adds_energies_and_matrices(self) -> None:
        dense_part, sparse = self.parts()
        total = quadratic_sum(energies=[dense_part, sparse])
        x = normal(9, 3, 4, 2, 3, 2)
        expected = dense_part(x.reshape(12, 2, 3, 2)).reshape(3, 4) + sparse(x)
        torch.testing.assert_close(total(x), expected)
        torch.testing.assert_close(dense(total), dense(dense_part) + dense(sparse))
        floor = view(total, Quadratic).floor
        assert floor is not None
        assert bool((floor <= solve_densely(total).spectrum[:, 0]).all())

    def test_frames_and_time_compose(self) -> None:
        frames = grid_gcrf_potts(unary=normal(0, 3, 2, 2, 2), weights=per_offset(1, 4, 2, 2))
        video = video_gcrf(
            unary=normal(2, 3, 2, 2, 2),
            spatial=normal(3, 3, 2, 2, 2, 2),
            temporal=normal(4, 3, 2, 2, 2, 2, size=0.2),
            diagonal=3.0,
        )
        total = quadratic_sum(energies=[OverFrames(energy=frames), video])
        blocks = torch.zeros(24, 24, dtype=torch.float64)
        for frame, part in enumerate(dense(frames)):
            blocks[8 * frame : 8 * (frame + 1), 8 * frame : 8 * (frame + 1)] = part
        torch.testing.assert_close(dense(total), blocks + dense(video))
        x = normal(5, 4, 3, 2, 2, 2)
        torch.testing.assert_close(total(x), frames(x).sum(-1) + video(x))
        torch.testing.assert_close(solve(total, EXACT).x, solve_densely(total).minimiser)

    def test_gradients_reach_every_part(self) -> None:
        def build(unary: Tensor, embeddings: Tensor, right: Tensor, down: Tensor) -> QuadraticSum:
            return quadratic_sum(
                energies=[
                    low_rank_gcrf(unary=unary, embeddings=embeddings),
                    grid_gcrf_potts(unary=unary, weights=[right, down]),
                ]
            )

        parts = (normal(0, 2, 2, 2), normal(1, 2, 2, 2, 2), normal(2, 2, 1), normal(3, 1, 2))
        assert gradcheck(build, *parts)

    def test_a_sum_of_sparse_energies_is_sparse(self) -> None:
        unary = normal(0, 2, 2, 3, 4)
        potts = grid_gcrf_potts(unary=unary, weights=per_offset(1, 8, 3, 4), diagonal=9.0)
        general = grid_gcrf_general(
            unary=normal(9, 2, 3, 4), terms=per_offset(10, 4, 3, 4, 2, 2), diagonal=7.0
        )
        total = quadratic_sum(energies=[potts, general])
        sparse = view(total, SparseMatrix)
        places = sparse.indices[0] * 24 + sparse.indices[1]
        assert int(torch.bincount(places).max()) == 1
        written = torch.zeros(24, 24, dtype=torch.float64)
        written[sparse.indices[0], sparse.indices[1]] = sparse.values
        torch.testing.assert_close(written, dense(total)[0])
        torch.testing.assert_close(solve(total, sparse_direct()).x, solve(total, EXACT).x)
        assert SparseMatrix not in quadratic_sum(energies=self.parts()).views

    def test_noise_of_a_sum_has_its_covariance(self) -> None:
        factors = [normal(i, 2, 3, 1, 1, 2) for i in range(2)]
        unary = normal(3, 2, 1, 1, 2)
        parts = [low_rank_gcrf(unary=unary, embeddings=each, diagonal=0.5) for each in factors]
        total = quadratic_sum(energies=parts)
        noise = view(total, Factored).noise((40_000,), torch.Generator().manual_seed(0))
        noise = noise.flatten(2)
        covariance = torch.einsum("sbi,sbj->bij", noise, noise) / len(noise)
        torch.testing.assert_close(covariance, dense(total), rtol=0.05, atol=0.1)
        frames = OverFrames(energy=total)
        drawn = view(frames, Factored).noise((3,), torch.Generator().manual_seed(0))
        assert drawn.shape == (3, 2, 1, 1, 2)
        # one problem's noise must not serve another
        alone = low_rank_gcrf(unary=unary[0], embeddings=factors[0][0])
        assert Factored not in quadratic_sum(energies=[parts[0], alone]).views

    def test_an_indefinite_sum_is_refused(self) -> None:
        weights = [10 * torch.ones_like(each) for each in per_offset(0, 4, 3, 2)]
        loose = grid_gcrf_potts(
            unary=normal(0, 2, 3, 2), weights=weights, diagonal=1.0, guard="report"
        )
        with pytest.raises(NotPositiveDefinite, match="in one of the energies"):
            quadratic_sum(energies=[self.parts()[0], loose])

    def test_one_space(self) -> None:
        other = low_rank_gcrf(unary=normal(0, 2, 2, 2), embeddings=normal(1, 3, 2, 2, 2))
        with pytest.raises(ValueError, match="of one event shape and dtype"):
            quadratic_sum(energies=[self.parts()[0], other])
        with pytest.raises(ValueError, match="at least one energy"):
            quadratic_sum(energies=[])
        with pytest.raises(ValueError, match="there is no batch"):
            OverFrames(energy=other)


class TestInverse:
    def test_matrix_is_the_inverse_of_the_covariance(self) -> None:
        factor = normal(1, 3, 2, 2, 3)
        energy = inverse_gcrf(unary=normal(0, 2, 2, 3), embeddings=factor, diagonal=0.5)
        flat = factor.flatten(1)
        covariance = flat.mT @ flat + 0.5 * torch.eye(12, dtype=torch.float64)
        torch.testing.assert_close(dense(energy), inverse(covariance))
        low = view(energy, LowRank)
        formed = low.factor.mT @ (low.signs[:, None] * low.factor)
        formed = formed + low.scale * torch.eye(12, dtype=torch.float64)
        torch.testing.assert_close(formed, inverse(covariance))

    def test_minimum_needs_no_solve(self) -> None:
        energy = inverse_gcrf(
            unary=normal(0, 2, 3, 2, 2, 2), embeddings=normal(1, 3, 9, 2, 2, 2), diagonal=0.5
        )
        given = view(energy, Covariance)
        expected = solve_densely(energy).minimiser
        torch.testing.assert_close(given.matvec(given.linear), expected)
        torch.testing.assert_close(solve(energy, EXACT).x, expected)

    def test_gradients_are_those_of_the_closed_form(self) -> None:
        # x = Cb: dF = (Fb)gxᵀ + (F gx)bᵀ, db = C gx
        unary, factor = normal(0, 2, 2, 2), normal(1, 3, 2, 2, 2)

        def build(unary: Tensor, factor: Tensor) -> GaussianCrf:
            return inverse_gcrf(unary=unary, embeddings=factor)

        _, g, found = gradients(build, unary, factor)
        weights, b, flat = normal(99, 2, 2, 2).flatten(), unary.flatten(), factor.flatten(1)
        expected = torch.outer(flat @ b, weights) + torch.outer(flat @ weights, b)
        torch.testing.assert_close(found[0], g)
        torch.testing.assert_close(found[1].flatten(1), expected)
