"""Preconditioners of `solver/cg`: symmetric, definite, and worth their while."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, normal
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid, spd
from torch import Tensor

from groundstate.component import Component
from groundstate.energy import Energy, QuadraticEnergy
from groundstate.errors import ConfigurationError, ViewError
from groundstate.registry import load
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.testing.conformance import Case, parametrize_laws
from groundstate.testing.oracles import solve_densely
from groundstate.testing.typed import eigenvalues, linear_solve
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.sparse import grid_gcrf_potts
from groundstate_gcrf.energies.video import video_gcrf
from groundstate_gcrf.grid import GridGcrf, grid_gcrf
from groundstate_gcrf.preconditioners.blocks import boxes_of, extents
from groundstate_gcrf.preconditioners.coarsening import galerkin, interpolation
from groundstate_gcrf.preconditioners.making import MAKERS, Name, Preconditioner
from groundstate_gcrf.preconditioners.multigrid import finest

SIZES = [(1, 1), (1, 90), (77, 1), (2, 40), (7, 11), (13, 8), (16, 16), (17, 17), (21, 12)]


def contrast_grid(side: int, *, batch: tuple[int, ...] = (), width: int | None = None) -> GridGcrf:
    """Flat patches with texture between sharp edges; a few pixels pinned; weights 1e-3 to 1."""
    width, rng = width or side, generator(7)
    tiles = torch.rand(-(-side // 9), -(-width // 9), generator=rng, dtype=torch.float64)
    image = tiles.repeat_interleave(9, 0).repeat_interleave(9, 1)[:side, :width]
    image = image + 0.1 * torch.rand(side, width, generator=rng, dtype=torch.float64)
    pinned = torch.zeros(side, width, dtype=torch.bool)
    pinned[:: max(side // 3, 1), :: max(width // 3, 1)] = True
    values = torch.randn(*batch, side, width, generator=rng, dtype=torch.float64)
    return grid_gcrf(image=image[..., None], pinned=pinned, values=values, contrast=0.08)


def inverse_of(preconditioner: Preconditioner, *event: int) -> Tensor:
    """M⁻¹ over the flattened event."""
    n = torch.Size(event).numel()
    columns = preconditioner.apply(torch.eye(n, dtype=torch.float64).reshape(n, *event))
    return columns.reshape(n, n)


def assert_symmetric_and_definite(inverse: Tensor) -> None:
    size = float(inverse.abs().max())
    assert float((inverse - inverse.mT).abs().max()) <= 1e-12 * size
    assert float(eigenvalues(inverse)[0]) > 0


def iterations(energy: Energy, preconditioner: Name, tolerance: float = 1e-8) -> int:
    solver = ConjugateGradients(tolerance=tolerance, preconditioner=preconditioner)
    return int(solve(energy, solver).stats["iterations"])


@pytest.mark.parametrize("name", list(MAKERS))
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (7, 11), (16, 9)])
def test_is_symmetric_and_definite(name: Name, size: tuple[int, int]) -> None:
    energy = random_grid(0, height=size[0], width=size[1])
    assert_symmetric_and_definite(inverse_of(MAKERS[name](energy, 16), *size))


@pytest.mark.parametrize("name", list(MAKERS))
def test_finds_the_dense_solution(name: Name) -> None:
    energy = contrast_grid(15, batch=(2,), width=18)
    solver = ConjugateGradients(tolerance=1e-12, preconditioner=name, check_every=5)
    expected = solve_densely(energy).minimiser
    torch.testing.assert_close(solve(energy, solver).x, expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["block-jacobi", "multigrid"])
def test_float32_is_as_good_as_its_type(name: Name) -> None:
    energy = random_grid(8, height=20, width=23, dtype=torch.float32)
    solution = solve(energy, ConjugateGradients(tolerance=1e-5, preconditioner=name))
    assert solution.status.item() == Status.CONVERGED and solution.x.dtype == torch.float32
    assert MAKERS[name](energy, 16).apply(solution.x).dtype == torch.float32


@pytest.mark.parametrize("name", ["block-jacobi", "multigrid"])
def test_implicit_gradients_pass(name: Name) -> None:
    energy = random_grid(4, height=9, width=9)
    solver = ConjugateGradients(tolerance=1e-14, preconditioner=name)

    def minimiser(factors: Tensor) -> Tensor:
        learned = replace(
            energy,
            right=energy.right * factors[0],
            down=energy.down * factors[1],
            values=energy.values * factors[2],
            strength=energy.strength * factors[3],
        )
        return solve(learned, solver, gradient="implicit").x[::4, ::4]

    factors = torch.ones(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(minimiser, (factors,), atol=1e-6)


@pytest.mark.parametrize("name", ["block-jacobi", "multigrid"])
def test_gradients_through_the_steps_agree_with_the_implicit_ones(name: Name) -> None:
    found: list[Tensor] = []
    kinds: list[Literal["implicit", "unrolled"]] = ["implicit", "unrolled"]
    for gradient in kinds:
        energy = random_grid(5, height=10, width=8)
        weights = energy.right.clone().requires_grad_()
        solver = ConjugateGradients(tolerance=1e-12, preconditioner=name)
        x = solve(replace(energy, right=weights), solver, gradient=gradient).x
        found += torch.autograd.grad(x.square().sum(), [weights])
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-8)


class TestMultigrid:
    @pytest.mark.parametrize("size", SIZES)
    def test_compiled_cycle_is_that_of_torch(self, size: tuple[int, int]) -> None:
        energy = random_grid(3, height=size[0], width=size[1], batch=(2,), diagonal=0.01)
        solver = ConjugateGradients(tolerance=1e-11, preconditioner="multigrid", check_every=3)
        plain = QuadraticEnergy(quadratic=energy.quadratic, space=energy.space)  # no stencil
        with torch.no_grad():
            state = solver.init(energy, None, generator(0))
            compiled = solver.step(energy, state, Deadline())
            torched = solver.step(plain, state, Deadline())
        torch.testing.assert_close(compiled.x, torched.x, rtol=1e-9, atol=1e-11)
        assert torch.equal(compiled.recurrence.iterations, torched.recurrence.iterations)

    @pytest.mark.parametrize("size", [(7, 11), (10, 10), (12, 5), (1, 70)])
    def test_coarse_matrix_is_galerkins(self, size: tuple[int, int]) -> None:
        matrix = finest(random_grid(1, height=size[0], width=size[1]).stencil)
        prolong = interpolation(matrix)
        coarse = galerkin(matrix, prolong)
        n = coarse.centre.numel()
        columns = prolong.apply(torch.eye(n, dtype=torch.float64).reshape(n, *coarse.size))
        expected = prolong.transposed(matrix.matvec(columns)).reshape(n, n)
        unit = torch.eye(n, dtype=torch.float64).reshape(n, *coarse.size)
        torch.testing.assert_close(coarse.matvec(unit).reshape(n, n), expected)
        x = normal(2, *size)
        transposed = (columns * x).sum((-2, -1)).reshape(coarse.size)
        torch.testing.assert_close(prolong.transposed(x), transposed)

    def test_constants_are_interpolated_where_nothing_is_pinned(self) -> None:
        energy = contrast_grid(20, width=23)
        free = replace(
            energy, pinned=torch.zeros_like(energy.pinned), diagonal=1e-9 + 0 * energy.diagonal
        )
        prolong = interpolation(finest(free.stencil))
        ones = torch.ones(10, 12, dtype=torch.float64)
        torch.testing.assert_close(
            prolong.apply(ones), torch.ones(20, 23).double(), atol=1e-5, rtol=0
        )

    def test_weak_edges_stay_weak_on_coarse_grids(self) -> None:
        energy = random_grid(0, height=24, width=24)
        cut = replace(energy, right=torch.ones(24, 23).double(), down=torch.ones(23, 24).double())
        cut.right[:, 11] = 1e-6
        matrix = finest(cut.stencil)
        coarse = galerkin(matrix, interpolation(matrix))
        across = coarse.couplings[0, :, 5].abs() + coarse.couplings[2, :, 5].abs()
        assert float(across.max()) < 1e-5 < 0.1 < float(coarse.couplings[0, :, 4].min())

    @pytest.mark.parametrize("size", SIZES)
    def test_every_size_converges_fast(self, size: tuple[int, int]) -> None:
        energy = contrast_grid(size[0], width=size[1])
        assert iterations(energy, "multigrid", 1e-10) <= 20

    def test_iterations_hardly_grow_with_the_grid(self) -> None:
        counts = [iterations(contrast_grid(side), "multigrid") for side in (32, 64, 128, 256)]
        assert max(counts) <= 30 and counts[-1] <= 2 * counts[1]
        assert iterations(contrast_grid(64), "jacobi") > 5 * counts[1]

    def test_right_hand_sides_share_one_hierarchy(self) -> None:
        energy = random_grid(2, height=20, width=20, batch=(5,))
        solver = ConjugateGradients(tolerance=1e-10, preconditioner="multigrid")
        together = solve(energy, solver)
        hierarchy = together.state.preconditioner
        assert hierarchy.numbers.dim() == 1  # type: ignore[attr-defined]
        for values, x in zip(energy.values, together.x, strict=True):
            assert torch.equal(solve(replace(energy, values=values), solver).x, x)

    def test_batches_of_matrices_are_loops_bit_for_bit(self) -> None:
        single = random_grid(2, height=18, width=15, batch=(3, 2))
        strength = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)[:, None, None, None]
        energy = replace(single, strength=strength)
        solver = ConjugateGradients(tolerance=1e-10, preconditioner="multigrid")
        together = solve(energy, solver).x
        for i in range(3):
            for j in range(2):
                part = replace(single, strength=strength[i, 0, 0, 0], values=single.values[i, j])
                assert torch.equal(solve(part, solver).x, together[i, j])

    def test_one_hierarchy_serves_both_solves_of_a_gradient(self) -> None:
        energy = random_grid(2, height=20, width=20)
        solver = ConjugateGradients(tolerance=1e-10, preconditioner="multigrid")
        prepared = solver.prepared(energy)
        state = prepared.init(energy, None, generator(0))
        assert state.preconditioner is prepared.preconditioner
        torch.testing.assert_close(solve(energy, prepared).x, solve(energy, solver).x)

    def test_indefinite_matrices_are_found_out(self) -> None:
        energy = random_grid(11, height=12, width=12)
        stencil = replace(energy.stencil, right=energy.stencil.right - 5.0)
        broken = QuadraticEnergy(
            quadratic=replace(energy.quadratic, matvec=stencil.matvec),
            space=energy.space,
            structure={type(stencil): lambda: stencil},
        )
        solver = ConjugateGradients(preconditioner="multigrid")
        assert solve(broken, solver, throw=False).status.item() == Status.INDEFINITE


def block_energies() -> dict[str, Energy]:
    """One for each view that knows entries of A."""
    embeddings = normal(3, 2, 4, 5, 6, size=0.4)
    return {
        "SparseMatrix": grid_gcrf_potts(
            unary=normal(0, 2, 3, 5, 6),
            weights=[normal(1, 5, 5).abs(), normal(2, 4, 6).abs()],
            diagonal=12.0,
        ),
        "LowRank": low_rank_gcrf(
            unary=normal(0, 2, 3, 4, 4), embeddings=normal(1, 2, 4, 3, 4, 4), diagonal=1.0
        ),
        "LowRank, subtracted": inverse_gcrf(
            unary=normal(0, 2, 3, 4, 4), embeddings=normal(1, 2, 4, 3, 4, 4), diagonal=0.5
        ),
        "PottsStructure": low_rank_potts_gcrf(
            unary=normal(0, 2, 3, 5, 6), embeddings=embeddings, diagonal=12.0
        ),
        "VideoStructure": video_gcrf(
            unary=normal(0, 3, 2, 4, 4),
            spatial=normal(1, 3, 4, 2, 4, 4),
            temporal=normal(2, 3, 3, 2, 4, 4, size=0.2),
            diagonal=9.0,
        ),
    }


class TestBlockJacobi:
    @pytest.mark.parametrize("kind", list(block_energies()))
    @pytest.mark.parametrize("limit", [1, 6, 16])
    def test_inverts_the_diagonal_blocks(self, kind: str, limit: int) -> None:
        energy = block_energies()[kind]
        assert kind.split(",")[0] in {each.__name__ for each in energy.views}
        layout = energy.space.layout
        matrix = dense(energy)
        boxes = boxes_of(layout.event_shape, limit, torch.device("cpu"))
        size = boxes.variables.shape[-1]
        number = boxes.place // size
        kept = torch.where(number[:, None] == number, matrix, 0.0)
        r = normal(9, *layout.shape)
        expected = linear_solve(kept, r.reshape(*layout.batch_shape, -1))
        found = MAKERS["block-jacobi"](energy, limit).apply(r)
        torch.testing.assert_close(found, expected.reshape(r.shape))

    def test_boxes_grow_evenly(self) -> None:
        assert extents((480, 640), 16) == (4, 4)
        assert extents((21, 40, 40), 16) == (2, 2, 4)
        assert extents((3, 40, 40), 64) == (3, 4, 4)
        assert extents((1000,), 16) == (16,)
        assert extents((2, 2), 100) == (2, 2)
        assert extents((5, 5), 1) == (1, 1)

    def test_needs_fewer_iterations_than_points_do(self) -> None:
        energy = contrast_grid(48)
        assert iterations(energy, "block-jacobi") < 0.7 * iterations(energy, "jacobi")

    def test_one_variable_a_block_is_jacobi(self) -> None:
        energy = random_grid(1)
        r = normal(0, 5, 4)
        found = [MAKERS[name](energy, 1).apply(r) for name in ("jacobi", "block-jacobi")]
        torch.testing.assert_close(*found)


@pytest.mark.parametrize("name", ["block-jacobi", "multigrid"])
def test_energies_without_the_structure_are_refused_with_advice(name: Name) -> None:
    energy = dense_energy(spd(30, 0), torch.ones(30, dtype=torch.float64))
    with pytest.raises(ViewError, match=r"needs .* QuadraticEnergy gives: Quadratic.*'jacobi'"):
        solve(energy, ConjugateGradients(preconditioner=name))


def coarsened_grids() -> list[GridGcrf]:
    """Large enough for a coarser grid, small enough for the oracles."""
    return [contrast_grid(7, width=9), random_grid(3, height=9, width=7, batch=(2,))]


def with_multigrid() -> list[ConjugateGradients]:
    """Short steps, so that there are several."""
    return [ConjugateGradients(tolerance=1e-11, check_every=3, preconditioner="multigrid")]


GRID = Component(
    kind="energy",
    name="coarsened-grid",
    target=GridGcrf,
    summary="a grid for multigrid",
    gives=("Density", "Factored", "GridStencil", "Quadratic", "SparseMatrix"),
    examples=coarsened_grids,
)
CYCLES = Component(
    kind="solver",
    name="cg-with-multigrid",
    target=ConjugateGradients,
    summary="conjugate gradients with multigrid",
    needs=("Quadratic", "GridStencil"),
    claims=("batched", "bound", "implicit-gradient", "residual"),
    examples=with_multigrid,
)


@parametrize_laws([GRID, CYCLES])
def test_the_laws_of_a_solver_hold_with_multigrid(case: Case) -> None:
    case()


def test_unknown_names_and_blocks_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="block-jacobi"):
        load().build("solver/cg", preconditioner="ilu")
    with pytest.raises(ValueError, match="block must be at least 1, got 0"):
        ConjugateGradients(block=0)
