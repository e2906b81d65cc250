"""`energy/video-gcrf`: blocks between frames, gradients, definiteness, windows."""

from itertools import product
from typing import get_args

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, gradcheck, gradients, normal
from torch import Tensor

from groundstate.energy import view
from groundstate.testing.oracles import solve_densely
from groundstate.testing.typed import eigenvalues
from groundstate.views import Quadratic
from groundstate_gcrf.energies.guard import NotPositiveDefinite
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.video import (
    Neighbourhood,
    average_windows,
    coupling_of,
    video_gcrf,
    window_starts,
)
from groundstate_gcrf.structure import VideoStructure

NEIGHBOURHOODS: tuple[Neighbourhood, ...] = get_args(Neighbourhood)
DISTANCES = {"2": {1}, "4": {1, 2}, "6-multiscale": {1, 2, 4}, "full": set(range(1, 99))}


@pytest.mark.parametrize("gram", [False, True])
@pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
def test_matrix_has_the_blocks_of_the_definition(neighbourhood: Neighbourhood, gram: bool) -> None:
    frames, size = 6, 4
    spatial, temporal = normal(1, frames, 2, 1, 2, 2), normal(2, frames, 3, 1, 2, 2)
    energy = video_gcrf(
        unary=normal(0, frames, 1, 2, 2),
        spatial=spatial,
        temporal=temporal,
        neighbourhood=neighbourhood,
        temporal_diagonal="gram" if gram else "none",
        diagonal=1.5,
        guard="report",
    )
    a, t = spatial.flatten(2), temporal.flatten(2)
    expected = 1.5 * torch.eye(frames * size, dtype=torch.float64)
    for u, v in product(range(frames), repeat=2):
        block = expected[size * u : size * (u + 1), size * v : size * (v + 1)]
        near = DISTANCES[neighbourhood]
        if u == v:
            degree = sum(abs(u - w) in near for w in range(frames))
            times = (1 if neighbourhood == "full" else degree) if gram else 0
            block += a[v].mT @ a[v] + times * t[v].mT @ t[v]
        elif abs(u - v) in near:
            block += t[u].mT @ t[v]
    torch.testing.assert_close(dense(energy), expected)
    structure = view(energy, VideoStructure)
    torch.testing.assert_close(structure.spatial, a)
    torch.testing.assert_close(structure.temporal, t)


def test_batches_equal_a_loop() -> None:
    unary = normal(0, 2, 3, 4, 1, 2, 2)
    spatial, temporal = normal(1, 3, 4, 2, 1, 2, 2), normal(2, 4, 3, 1, 2, 2)
    energy = video_gcrf(unary=unary, spatial=spatial, temporal=temporal, diagonal=60.0)
    for i, j in product(range(2), range(3)):
        alone = video_gcrf(unary=unary[i, j], spatial=spatial[j], temporal=temporal, diagonal=60.0)
        torch.testing.assert_close(dense(energy)[i, j], dense(alone))


class TestGradients:
    @pytest.mark.parametrize("neighbourhood", ["2", "full"])
    def test_are_those_of_the_closed_forms(self, neighbourhood: Neighbourhood) -> None:
        def build(unary: Tensor, spatial: Tensor, temporal: Tensor) -> GaussianCrf:
            return video_gcrf(
                unary=unary,
                spatial=spatial,
                temporal=temporal,
                neighbourhood=neighbourhood,
                diagonal=30.0,
            )

        spatial, temporal = normal(1, 4, 2, 1, 1, 3), normal(2, 4, 3, 1, 1, 3)
        x, g, found = gradients(build, normal(0, 4, 1, 1, 3), spatial, temporal)
        a, t, x, g = spatial.flatten(2), temporal.flatten(2), x.flatten(1), g.flatten(1)
        near = DISTANCES[neighbourhood]
        for v in range(4):
            closed = -(torch.outer(a[v] @ g[v], x[v]) + torch.outer(a[v] @ x[v], g[v]))
            torch.testing.assert_close(found[1].flatten(2)[v], closed)
            others = [u for u in range(4) if abs(u - v) in near]
            gs = torch.stack([t[u] @ g[u] for u in others]).sum(0)
            xs = torch.stack([t[u] @ x[u] for u in others]).sum(0)
            closed = -(torch.outer(gs, x[v]) + torch.outer(xs, g[v]))
            torch.testing.assert_close(found[2].flatten(2)[v], closed)
        torch.testing.assert_close(found[0].flatten(1), g)

    def test_rescaled_and_gram_against_finite_differences(self) -> None:
        scale = torch.tensor(0.7, dtype=torch.float64)
        parts = (normal(0, 3, 1, 1, 2), normal(1, 3, 1, 1, 1, 2), normal(2, 3, 2, 1, 1, 2))

        def rescaled(
            unary: Tensor, spatial: Tensor, temporal: Tensor, scale: Tensor
        ) -> GaussianCrf:
            return video_gcrf(
                unary=unary, spatial=spatial, temporal=temporal, diagonal=scale, guard="rescale"
            )

        def gram(unary: Tensor, spatial: Tensor, temporal: Tensor, scale: Tensor) -> GaussianCrf:
            return video_gcrf(
                unary=unary,
                spatial=spatial,
                temporal=temporal,
                diagonal=scale,
                neighbourhood="2",
                temporal_diagonal="gram",
            )

        assert gradcheck(rescaled, *parts, scale)
        assert gradcheck(gram, *parts, scale)


class TestDefiniteness:
    def build(self, size: float, diagonal: float = 1.0) -> dict[str, Tensor | float]:
        return {
            "unary": normal(0, 4, 1, 2, 2),
            "spatial": normal(1, 4, 1, 1, 2, 2, size=0.1),
            "temporal": normal(2, 4, 2, 1, 2, 2, size=size),
            "diagonal": diagonal,
        }

    def test_large_temporal_embeddings_are_refused(self) -> None:
        # spec §8.2: the paper's claim for every λ > 0 is false
        with pytest.raises(NotPositiveDefinite, match='temporal_diagonal = "gram"'):
            video_gcrf(**self.build(3.0))  # pyright: ignore[reportArgumentType]

    def test_floor_is_that_of_the_spec(self) -> None:
        energy = video_gcrf(**self.build(0.2))  # pyright: ignore[reportArgumentType]
        t = view(energy, VideoStructure).temporal
        largest = max(float(eigenvalues(each.mT @ each)[-1]) for each in t)
        floor = view(energy, Quadratic).floor
        assert floor is not None
        assert float(floor) == pytest.approx(1 - largest, rel=1e-3)
        assert float(floor) <= float(solve_densely(energy).spectrum[0])

    @pytest.mark.parametrize("neighbourhood", NEIGHBOURHOODS)
    def test_gram_blocks_and_rescaling_make_it_definite(self, neighbourhood: Neighbourhood) -> None:
        parts = self.build(3.0)
        gram = video_gcrf(**parts, neighbourhood=neighbourhood, temporal_diagonal="gram")  # pyright: ignore[reportArgumentType]
        assert float(solve_densely(gram).spectrum[0]) >= 1 - 1e-9
        floor = view(gram, Quadratic).floor
        assert floor is not None and float(floor) == 1.0
        scaled = video_gcrf(**parts, neighbourhood=neighbourhood, guard="rescale")  # pyright: ignore[reportArgumentType]
        floor = view(scaled, Quadratic).floor
        assert floor is not None and float(floor) == pytest.approx(0.05, rel=1e-2)
        assert float(solve_densely(scaled).spectrum[0]) >= float(floor)


def test_neighbours_are_symmetric_and_a_single_frame_has_none() -> None:
    like = torch.zeros((), dtype=torch.float64)
    for name in NEIGHBOURHOODS:
        coupling = coupling_of(7, name, "none", like)
        assert torch.equal(coupling, coupling.mT)
        assert float(coupling.diagonal().sum()) == 0
    assert torch.equal(coupling_of(1, "full", "none", like), torch.zeros(1, 1).double())


class TestWindows:
    def test_cover_the_video(self) -> None:
        assert window_starts(7, 4) == [0, 1, 2, 3]
        assert window_starts(7, 4, stride=2) == [0, 2, 3]
        assert window_starts(4, 4) == [0]

    def test_average_what_they_share(self) -> None:
        video = normal(0, 2, 7, 3, 2, 2)
        starts = window_starts(7, 4, stride=2)
        windows = [video[:, start : start + 4] for start in starts]
        torch.testing.assert_close(average_windows(windows, starts, 7), video)
        shifted = [each + number for number, each in enumerate(windows)]
        found = average_windows(shifted, starts, 7) - video
        expected = torch.tensor([0, 0, 0.5, 1, 1.5, 1.5, 2], dtype=torch.float64)
        torch.testing.assert_close(found[0, :, 0, 0, 0], expected)

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"1 \.\.\. 3 frames"):
            window_starts(3, 4)
        with pytest.raises(ValueError, match="none for frame 2"):
            average_windows([normal(0, 2, 1, 1, 1)], [0], 3)


def test_embeddings_for_another_number_of_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="for 4 frames"):
        video_gcrf(
            unary=normal(0, 4, 1, 2, 2),
            spatial=normal(1, 4, 1, 1, 2, 2),
            temporal=normal(2, 3, 1, 1, 2, 2),
        )
