"""Factors pay off where many right-hand sides share a matrix: `auto-quadratic` counts them."""

import pytest
import torch

from groundstate_gcrf.auto_quadratic import choose
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.video import video_gcrf

RANK = 200


@pytest.mark.parametrize(("sides", "choice"), [((), "cg"), ((1,), "cg"), ((2,), "woodbury")])
def test_low_rank(sides: tuple[int, ...], choice: str) -> None:
    embeddings = torch.ones(RANK, 3, 20, 20)
    energy = low_rank_gcrf(unary=torch.ones(*sides, 3, 20, 20), embeddings=embeddings)
    assert choose(energy)[0] == choice
    assert "200" in choose(energy)[1] or choice == "cg"


def test_low_rank_with_a_matrix_for_each_side() -> None:
    embeddings = torch.ones(2, RANK, 3, 20, 20)
    energy = low_rank_gcrf(unary=torch.ones(2, 3, 20, 20), embeddings=embeddings)
    assert choose(energy)[0] == "cg"


@pytest.mark.parametrize(
    ("sides", "labels", "choice"),
    [((), 3, "potts-cg"), ((6,), 3, "potts-split"), ((), 18, "potts-split")],
)
def test_labels_are_right_hand_sides_too(sides: tuple[int, ...], labels: int, choice: str) -> None:
    energy = low_rank_potts_gcrf(
        unary=torch.ones(*sides, labels, 20, 20),
        embeddings=torch.full((RANK, 20, 20), 1e-3),
    )
    assert choose(energy)[0] == choice


@pytest.mark.parametrize(("sides", "choice"), [((), "cg"), ((2,), "video-direct")])
def test_video(sides: tuple[int, ...], choice: str) -> None:
    embeddings = torch.full((2, RANK // 2, 3, 20, 20), 1e-3)
    energy = video_gcrf(
        unary=torch.ones(*sides, 2, 3, 20, 20), spatial=embeddings, temporal=embeddings
    )
    assert choose(energy)[0] == choice
