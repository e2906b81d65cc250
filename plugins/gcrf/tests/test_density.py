"""A Gaussian CRF as a density: every exact way to its determinant, and log p by quadrature."""

from typing import get_args

import pytest
import torch
from plugins.gcrf.tests.systems import dense_energy, generator, random_grid
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy, view
from groundstate.targets import examples_of
from groundstate.testing.oracles import solve_densely
from groundstate.testing.trees import directions, leaves, nudged
from groundstate.testing.typed import slopes
from groundstate.views import Density, SparseMatrix
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.quadratic_sum import OverFrames, quadratic_sum
from groundstate_gcrf.energies.sparse import graph_gcrf, grid_gcrf_potts
from groundstate_gcrf.energies.video import video_gcrf
from groundstate_gcrf.log_determinant import Method, log_determinant
from groundstate_gcrf.structure import LowRank, PottsStructure, VideoStructure

NEEDS: dict[Method, type | None] = {
    "cholesky": None,
    "sparse": SparseMatrix,
    "low-rank": LowRank,
    "potts": PottsStructure,
    "video": VideoStructure,
}
ENERGIES = [
    record
    for record in gs.load().components()
    if record.plugin == "gcrf" and record.component.kind == "energy"
]


def normal(*shape: int, seed: int = 0, size: float = 1.0) -> Tensor:
    return size * torch.randn(shape, generator=generator(seed), dtype=torch.float64)


def examples(method: Method) -> list[Energy]:
    needed = NEEDS[method]
    found = [each for record in ENERGIES for each in examples_of(record)]
    energies = [each for each in found if isinstance(each, Energy)]
    fit = [each for each in energies if needed is None or needed in each.views]
    return [each for each in fit if bool((solve_densely(each).spectrum > 1e-6).all())]


def test_every_exact_method_is_tried() -> None:
    assert {*NEEDS, "auto", "exact", "lanczos"} == set(get_args(Method))
    assert all(len(examples(method)) >= 2 for method in NEEDS)


@pytest.mark.parametrize("method", list(NEEDS))
class TestEveryExactWay:
    def test_is_the_determinant(self, method: Method) -> None:
        for energy in examples(method):
            expected = solve_densely(energy).spectrum.log().sum(-1)
            found = log_determinant(energy, method=method)
            torch.testing.assert_close(found.value, expected, rtol=1e-10, atol=1e-10)
            assert not bool(found.error.any()) and found.method == method

    def test_has_its_gradient(self, method: Method) -> None:
        for energy in examples(method):
            moving, parameters = leaves(energy)
            along = directions(moving, parameters, 3)
            value = log_determinant(moving, method=method).value.sum()
            found = sum(
                float((slope * direction).sum())
                for slope, direction in zip(slopes(value, parameters), along, strict=True)
                if slope is not None
            )
            moved: list[float] = []
            for step in (1e-5, -1e-5):
                with nudged(parameters, along, step):
                    moved.append(float(solve_densely(moving).spectrum.log().sum()))
            assert found == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-5, abs=1e-6)


def two_variables() -> dict[str, Energy]:
    """One energy of each kind, small enough to be integrated."""
    grid = grid_gcrf_potts(
        unary=normal(2, 1, 1),
        weights=[normal(1, 0), normal(0, 1)],
        diagonal=1.5,
    )
    low = low_rank_gcrf(unary=normal(2, 1, 1, seed=1), embeddings=normal(3, 2, 1, 1, seed=2))
    pair = torch.tensor([[0], [1]])
    return {
        "pins": random_grid(3, height=1, width=2, batch=(2,)),
        "graph": graph_gcrf(
            unary=normal(1, 2), edge_index=pair, terms=normal(1, 1, 1, size=0.4), diagonal=1.0
        ),
        "low rank": low,
        "Potts": low_rank_potts_gcrf(
            unary=normal(2, 2, 1, 1), embeddings=normal(2, 1, 1, 1, size=0.5), diagonal=3.0
        ),
        "video": video_gcrf(
            unary=normal(2, 1, 1, 1),
            spatial=normal(2, 2, 1, 1, 1, seed=4),
            temporal=normal(2, 1, 1, 1, 1, seed=5, size=0.3),
        ),
        "sum": quadratic_sum(energies=[grid, low]),
        "frames": OverFrames(
            energy=low_rank_gcrf(unary=normal(2, 1, 1, 1), embeddings=normal(2, 1, 1, 1, 1))
        ),
    }


@pytest.mark.parametrize("name", list(two_variables()))
def test_log_prob_integrates_to_one(name: str) -> None:
    energy = two_variables()[name]
    oracle, layout = solve_densely(energy), energy.space.layout
    line = torch.linspace(-9, 9, 301, dtype=torch.float64)
    width = oracle.covariance.diagonal(dim1=-2, dim2=-1).sqrt()
    steps = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
    x = oracle.mean + steps.reshape(-1, *(1,) * len(layout.batch_shape), 2) * width
    density = view(energy, Density).log_prob(x.reshape(-1, *layout.shape)).exp()
    total = density.sum(0) * width.prod(-1) * (line[1] - line[0]) ** 2
    torch.testing.assert_close(total, torch.ones_like(total), rtol=1e-9, atol=0)


def potts_of(side: int) -> Energy:
    weights = [normal(side, side - 1, size=0.2), normal(side - 1, side, seed=1, size=0.2)]
    return grid_gcrf_potts(unary=normal(3, side, side), weights=weights, diagonal=4.0)


def test_structure_is_used_where_it_is_cheaper() -> None:
    energy = potts_of(30)
    chosen = log_determinant(energy)
    assert chosen.method == "potts"
    for method in ("sparse", "cholesky"):
        other = log_determinant(energy, method=method).value
        torch.testing.assert_close(chosen.value, other, rtol=1e-12, atol=0)


def test_a_determinant_too_large_is_refused_and_can_be_estimated() -> None:
    energy = dense_energy(2 * torch.eye(2100).double(), torch.zeros(2100, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"at most 2048 variables.*got 2100.*lanczos"):
        log_determinant(energy, method="exact")
    rough = log_determinant(energy)
    assert rough.method == "lanczos"
    assert float(rough.value) == pytest.approx(2100 * torch.tensor(2.0).log().item())


def test_an_indefinite_matrix_is_no_density() -> None:
    energy = grid_gcrf_potts(
        unary=normal(3, 3, 3), weights=[normal(3, 2), normal(2, 3)], diagonal=0.1, guard="report"
    )
    for method in ("exact", "sparse", "potts"):
        with pytest.raises(ValueError, match="positive definite"):
            log_determinant(energy, method=method)
