"""The Potts terms that smooth: definite whatever the affinities, true to their definition."""

import pytest
import torch
from torch import Tensor

import groundstate as gs
from groundstate.testing.typed import eigenvalues, linear_solve
from groundstate.views import Quadratic
from groundstate_gcrf.energies.label_grid import OFFSETS
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_labelling.couplings import neighbours, smoothing_embeddings, smoothing_potts

L, H, W = 3, 4, 5


def random(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def affinities(size: float, *, seed: int = 1, connectivity: int = 8) -> tuple[Tensor, ...]:
    return tuple(
        size * random(2, H - down, W - abs(right), seed=seed + k)
        for k, (down, right) in enumerate(OFFSETS[connectivity])
    )


def written_out(energy: GaussianCrf) -> Tensor:
    """The matrix of each problem, column by column."""
    n = L * H * W
    eye = torch.eye(n, dtype=torch.float64).reshape(n, 1, L, H, W).expand(n, 2, L, H, W)
    return energy.quadratic.matvec(eye).flatten(2).transpose(0, 1)


SCALE = torch.tensor(1.3, dtype=torch.float64)


@pytest.mark.parametrize("size", [0.01, 1.0, 1000.0])
@pytest.mark.parametrize("connectivity", [4, 8, 12])
def test_sparse_terms_are_definite_however_large(size: float, connectivity: int) -> None:
    energy = smoothing_potts(
        scores=random(2, L, H, W),
        affinities=affinities(size, connectivity=connectivity),
        diagonal=SCALE,
    )
    matrix = written_out(energy)
    torch.testing.assert_close(matrix, matrix.mT)
    lowest = eigenvalues(matrix)[:, 0]
    assert float(lowest.min()) > 0
    floor = energy.quadratic.floor
    if size <= 1:
        assert floor is not None and bool((floor <= lowest + 1e-9).all())


def test_sparse_structure_is_the_matrix() -> None:
    energy = smoothing_potts(scores=random(2, L, H, W), affinities=affinities(1.0), diagonal=SCALE)
    sparse = gs.view(energy, gs.SparseMatrix)
    n = L * H * W
    dense = torch.zeros(2, n, n, dtype=torch.float64)
    for k in range(2):
        dense[k].index_put_(tuple(sparse.indices), sparse.values[k], accumulate=True)
    torch.testing.assert_close(dense, written_out(energy))


def test_every_solver_of_potts_systems_agrees_with_a_dense_solve() -> None:
    energy = smoothing_potts(scores=random(2, L, H, W), affinities=affinities(1.0), diagonal=SCALE)
    quadratic = gs.view(energy, Quadratic)
    exact = linear_solve(written_out(energy), quadratic.linear.flatten(1))
    registry = gs.load()
    for key in ("solver/cg", "solver/potts-split"):
        found = gs.solve(energy, registry.build(key, tolerance=1e-10)).x.flatten(1)
        torch.testing.assert_close(found, exact, rtol=1e-8, atol=1e-8)


def softmax_of(energy: GaussianCrf) -> Tensor:
    exact = linear_solve(written_out(energy), energy.linear.flatten(1))
    return exact.reshape(2, L, H, W).softmax(1)


def test_no_affinity_leaves_the_chances_as_they_are() -> None:
    scores = random(2, L, H, W)
    for energy in (
        smoothing_potts(scores=scores, affinities=affinities(0.0), diagonal=SCALE),
        smoothing_embeddings(scores=scores, embeddings=0 * random(2, 4, H, W), diagonal=SCALE),
    ):
        torch.testing.assert_close(softmax_of(energy), scores.softmax(1))


def test_scores_that_all_pixels_share_stay_as_they_are() -> None:
    """However strong the coupling: it averages, and does not make larger."""
    scores = random(2, L, 1, 1).expand(2, L, H, W)
    strong = tuple(each.abs() for each in affinities(50.0))
    for energy in (
        smoothing_potts(scores=scores, affinities=strong, diagonal=SCALE),
        smoothing_embeddings(
            scores=scores, embeddings=5 * random(2, 4, H, W).abs(), diagonal=SCALE
        ),
    ):
        torch.testing.assert_close(softmax_of(energy), scores.softmax(1))


def test_coupled_pixels_come_closer() -> None:
    scores = random(2, L, H, W)
    strong = tuple(each.abs() for each in affinities(5.0))
    before = scores.log_softmax(1).flatten(2).std(-1).mean()
    for energy in (
        smoothing_potts(scores=scores, affinities=strong, diagonal=SCALE),
        smoothing_embeddings(scores=scores, embeddings=random(2, 4, H, W).abs(), diagonal=SCALE),
    ):
        assert float(softmax_of(energy).log().flatten(2).std(-1).mean()) < 0.8 * float(before)


@pytest.mark.parametrize("size", [0.1, 10.0])
def test_dense_terms_are_definite_however_large(size: float) -> None:
    energy = smoothing_embeddings(
        scores=random(2, L, H, W), embeddings=size * random(2, 4, H, W).abs(), diagonal=SCALE
    )
    assert float(eigenvalues(written_out(energy)).min()) > 0
    assert energy.quadratic.floor is not None


def test_gradients_are_those_of_finite_differences() -> None:
    """Along one random direction of all parameters at once."""
    scores, scale = random(2, L, H, W), SCALE.clone()
    start = (scores, scale, *affinities(0.5, connectivity=4))
    along = tuple(random(*each.shape, seed=50 + k) for k, each in enumerate(start))
    solver = gs.load().build("solver/cg", tolerance=1e-13)

    def value(scores: Tensor, scale: Tensor, *weights: Tensor) -> Tensor:
        energy = smoothing_potts(scores=scores, affinities=weights, diagonal=scale)
        return gs.solve(energy, solver, gradient="implicit").x.log_softmax(1)[:, 0].sum()

    learned = [each.clone().requires_grad_() for each in start]
    gradients = torch.autograd.grad(value(*learned), learned)
    slope = sum(float((g * a).sum()) for g, a in zip(gradients, along, strict=True))
    ahead, behind = (
        value(*(each + step * a for each, a in zip(start, along, strict=True)))
        for step in (1e-5, -1e-5)
    )
    assert slope == pytest.approx(float(ahead - behind) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("offset", OFFSETS[12])
def test_neighbours_are_one_offset_apart(offset: tuple[int, int]) -> None:
    place = torch.stack(torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")).double()
    here, there = neighbours(place, offset)
    difference = (there - here).flatten(1)
    assert bool((difference == torch.tensor(offset)[:, None]).all())
    assert difference.shape[1] == (H - offset[0]) * (W - abs(offset[1]))
