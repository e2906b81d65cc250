"""woodbury, the Potts split and the video solver, against the full system written out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from plugins.gcrf.tests.systems import generator
from torch import Tensor

from groundstate.energy import QuadraticEnergy
from groundstate.solving import solve
from groundstate.space import Real
from groundstate.status import Status
from groundstate.testing.oracles import solve_densely
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.potts_split import potts_split
from groundstate_gcrf.structure import LowRank, PottsStructure, VideoStructure
from groundstate_gcrf.video_direct import video_direct
from groundstate_gcrf.woodbury import woodbury

BATCHES = [((), ()), ((3,), ()), ((2, 3), (2, 1)), ((2, 3), (3,)), ((2,), (2,))]
"""Batch shapes of the problems, and of the parameters."""


def normal(*shape: int, seed: int = 0, size: float = 1.0) -> Tensor:
    return size * torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def of_matrix(matrix: Tensor, linear: Tensor, event: tuple[int, ...], view: Any) -> QuadraticEnergy:
    """The energy of a matrix `[*own, n, n]` with a view that claims the same."""
    batch = tuple(linear.shape[: linear.dim() - len(event)])

    def product(x: Tensor) -> Tensor:
        flat = x.flatten(x.dim() - len(event))
        return (matrix @ flat[..., None]).reshape(x.shape)

    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    return QuadraticEnergy(
        quadratic=Quadratic(
            matvec=product,
            linear=linear,
            constant=linear.new_zeros(batch),
            diagonal=diagonal.reshape(*diagonal.shape[:-1], *event),
        ),
        space=Real(event_shape=event, batch_shape=batch, dtype=linear.dtype),
        structure={type(view): lambda: view},
    )


def scales(own: tuple[int, ...], value: float) -> Tensor:
    return value + 0.1 * torch.rand(own, generator=generator(9), dtype=torch.float64)


def low_rank(
    batch: tuple[int, ...] = (),
    own: tuple[int, ...] = (),
    signs: tuple[float, ...] = (1.0, 1.0, 1.0),
    scale: float = 0.5,
    linear: Tensor | None = None,
    factor: Tensor | None = None,
) -> QuadraticEnergy:
    factor = normal(*own, 3, 8, seed=1, size=0.3) if factor is None else factor
    s, shift = torch.tensor(signs, dtype=torch.float64), scales(own, scale)
    matrix = (factor.mT * s) @ factor + shift[..., None, None] * torch.eye(8, dtype=torch.float64)
    linear = normal(*batch, 2, 4, seed=2) if linear is None else linear
    return of_matrix(matrix, linear, (2, 4), LowRank(factor=factor, signs=s, scale=shift))


def potts(
    kind: str,
    batch: tuple[int, ...] = (),
    own: tuple[int, ...] = (),
    scale: float = 3.0,
    labels: int = 3,
    linear: Tensor | None = None,
    factor: Tensor | None = None,
) -> QuadraticEnergy:
    factor = normal(*own, 2, 6, seed=3, size=0.4) if factor is None else factor
    psi = factor.mT @ factor
    if kind != "low rank":
        psi = psi * (1 - torch.eye(6, dtype=torch.float64))
    shift = scales(own, scale)
    couple = torch.ones(labels, labels, dtype=torch.float64) - torch.eye(labels).double()
    eye = torch.eye(6 * labels, dtype=torch.float64)
    matrix = torch.stack([torch.kron(couple, each) for each in psi.reshape(-1, 6, 6)])
    matrix = matrix.reshape(*own, 6 * labels, 6 * labels) + shift[..., None, None] * eye
    indices = torch.cartesian_prod(torch.arange(6), torch.arange(6)).T
    sparse = SparseMatrix(indices=indices, values=psi.reshape(*own, 36))
    view = PottsStructure(
        labels=labels,
        apply=lambda v: v @ psi,
        scale=shift,
        factor=factor if kind == "low rank" else None,
        sparse=(lambda: sparse) if kind == "sparse" else None,
    )
    linear = normal(*batch, labels, 2, 3, seed=4) if linear is None else linear
    return of_matrix(matrix, linear, (labels, 2, 3), view)


def video(
    coupling: Tensor,
    batch: tuple[int, ...] = (),
    own: tuple[int, ...] = (),
    scale: float = 3.0,
    linear: Tensor | None = None,
    temporal: Tensor | None = None,
) -> QuadraticEnergy:
    frames = len(coupling)
    spatial = normal(*own, frames, 2, 5, seed=5, size=0.5)
    temporal = normal(*own, frames, 3, 5, seed=6, size=0.3) if temporal is None else temporal
    shift = scales(own, scale)
    blocks = torch.einsum("...urp,...vrq->...upvq", temporal, temporal)
    blocks = blocks * coupling[:, None, :, None]
    own_blocks = torch.einsum("...vrp,...vrq->...vpq", spatial, spatial)
    eye = torch.eye(frames, dtype=torch.float64)
    blocks = blocks + torch.einsum("...upq,uv->...upvq", own_blocks, eye)
    n = frames * 5
    matrix = blocks.reshape(*own, n, n) + shift[..., None, None] * torch.eye(n).double()
    view = VideoStructure(spatial=spatial, temporal=temporal, coupling=coupling, scale=shift)
    linear = normal(*batch, frames, 5, seed=7) if linear is None else linear
    return of_matrix(matrix, linear, (frames, 5), view)


def couplings() -> dict[str, Tensor]:
    ones, eye = torch.ones(4, 4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    adjacent = torch.diag(torch.ones(3), 1).double()
    return {
        "full": ones - eye,
        "adjacent": adjacent + adjacent.mT,
        "full with Gram blocks": ones,
        "adjacent with Gram blocks": adjacent + adjacent.mT + 2 * eye,
    }


def hold(energy: QuadraticEnergy, solver: Any) -> None:
    solution, oracle = solve(energy, solver), solve_densely(energy)
    assert bool((solution.status == Status.OPTIMAL).all())
    torch.testing.assert_close(solution.x, oracle.minimiser, rtol=1e-12, atol=1e-12)
    assert float(solution.state.residual.max()) < 1e-13
    assert solution.bound is not None
    assert bool((solution.bound <= oracle.minimum + 1e-14).all())
    assert float((oracle.minimum - solution.bound).max()) < 1e-12


def statuses(energy: QuadraticEnergy, solver: Any) -> list[int]:
    status = solve(energy, solver, throw=False).status
    definite = solve_densely(energy).spectrum[..., 0] > 0
    assert torch.equal(status == Status.OPTIMAL, definite)
    return [int(each) for each in status.flatten()]


def gradcheck(build: Callable[..., QuadraticEnergy], solver: Any, *given: Tensor) -> None:
    def solved(*parts: Tensor) -> Tensor:
        return solve(build(*parts), solver, gradient="implicit").x

    leaves = [each.clone().requires_grad_(True) for each in given]
    assert torch.autograd.gradcheck(solved, leaves, atol=1e-7)


@pytest.mark.parametrize(("batch", "own"), BATCHES)
class TestEqualsTheFullSystem:
    @pytest.mark.parametrize("signs", [(1.0, 1.0, 1.0), (1.0, -1.0, 1.0), (-1.0, -1.0, -1.0)])
    def test_woodbury(self, batch: tuple[int, ...], own: tuple[int, ...], signs: Any) -> None:
        hold(low_rank(batch, own, signs, scale=6.0), woodbury())

    @pytest.mark.parametrize("kind", ["low rank", "sparse", "dense"])
    @pytest.mark.parametrize("labels", [1, 2, 5])
    def test_potts(
        self, batch: tuple[int, ...], own: tuple[int, ...], kind: str, labels: int
    ) -> None:
        hold(potts(kind, batch, own, labels=labels, scale=6.0), potts_split())

    @pytest.mark.parametrize("name", list(couplings()))
    def test_video(self, batch: tuple[int, ...], own: tuple[int, ...], name: str) -> None:
        hold(video(couplings()[name], batch, own), video_direct())


class TestNotPositiveDefinite:
    """Exactly where an eigenvalue of the full matrix is not positive."""

    @pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 3.0])
    def test_woodbury(self, scale: float) -> None:
        factor = normal(6, 3, 8, seed=8, size=0.4) * torch.linspace(0, 2, 6)[:, None, None]
        for signs in ((1.0, -1.0, 1.0), (-1.0, -1.0, -1.0)):
            energy = low_rank((6,), (6,), signs, scale=scale, factor=factor)
            assert set(statuses(energy, woodbury())) <= {Status.OPTIMAL, Status.INDEFINITE}
        assert set(statuses(low_rank((2,), (2,), scale=-1.0), woodbury())) == {Status.INDEFINITE}

    @pytest.mark.parametrize("kind", ["low rank", "sparse", "dense"])
    @pytest.mark.parametrize("scale", [0.3, 1.0, 3.0])
    def test_potts(self, kind: str, scale: float) -> None:
        factor = normal(6, 2, 6, seed=3, size=0.5) * torch.linspace(0, 2, 6)[:, None, None]
        found = statuses(potts(kind, (6,), (6,), scale=scale, factor=factor), potts_split())
        assert set(found) == {Status.OPTIMAL, Status.INDEFINITE}

    @pytest.mark.parametrize("name", ["full", "adjacent"])
    def test_video(self, name: str) -> None:
        size = torch.linspace(0, 3, 6)[:, None, None, None]
        temporal = normal(6, 4, 3, 5, seed=6, size=0.4) * size
        energy = video(couplings()[name], (6,), (6,), scale=1.0, temporal=temporal)
        assert set(statuses(energy, video_direct())) == {Status.OPTIMAL, Status.INDEFINITE}


class TestGradients:
    @pytest.mark.parametrize("signs", [(1.0, 1.0, 1.0), (1.0, -1.0, 1.0)])
    def test_woodbury(self, signs: Any) -> None:
        def build(factor: Tensor, linear: Tensor) -> QuadraticEnergy:
            return low_rank((), (), signs, 2.0, linear, factor)

        gradcheck(build, woodbury(), normal(3, 8, size=0.3), normal(2, 4))

    @pytest.mark.parametrize("kind", ["low rank", "sparse", "dense"])
    def test_potts(self, kind: str) -> None:
        def build(factor: Tensor, linear: Tensor) -> QuadraticEnergy:
            return potts(kind, linear=linear, factor=factor)

        gradcheck(build, potts_split(), normal(2, 6, size=0.4), normal(3, 2, 3))

    def test_video(self) -> None:
        def build(temporal: Tensor, linear: Tensor) -> QuadraticEnergy:
            return video(couplings()["full"], linear=linear, temporal=temporal)

        gradcheck(build, video_direct(), normal(4, 3, 5, size=0.3), normal(4, 5))


@pytest.mark.parametrize(
    ("energy", "solver"),
    [
        (low_rank((3,)), woodbury()),
        (potts("sparse", (3,)), potts_split()),
        (video(couplings()["full"], (3,)), video_direct()),
    ],
)
def test_zero_and_nan_sides(energy: QuadraticEnergy, solver: Any) -> None:
    linear = energy.quadratic.linear.clone()
    linear[0] = 0
    linear[1].flatten()[1] = float("nan")
    broken = replace(energy, quadratic=replace(energy.quadratic, linear=linear))
    solution = solve(broken, solver, throw=False)
    assert solution.status.tolist() == [Status.CONVERGED, Status.DIVERGED, Status.OPTIMAL]
    assert bool(solution.state.x.isfinite().all()) and not bool(solution.state.x[0].any())


def test_a_dense_psi_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4 pixels, got 6"):
        solve(potts("dense"), potts_split(largest=4))
