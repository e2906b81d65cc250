"""Parameters that are out of order: refused in words, or one problem's own fault."""

from typing import Any, cast

import pytest
import torch
from plugins.gcrf.tests.crfs import dense, normal

from groundstate.solving import solve
from groundstate.status import Status
from groundstate_gcrf.auto_quadratic import AutoQuadratic
from groundstate_gcrf.checks import check_choice
from groundstate_gcrf.energies.graph import check_edges
from groundstate_gcrf.energies.guard import Guard, NotPositiveDefinite, shrinking
from groundstate_gcrf.energies.inverse import inverse_gcrf
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.quadratic_sum import quadratic_sum
from groundstate_gcrf.energies.sparse import graph_gcrf_potts
from groundstate_gcrf.energies.video import coupling_of, video_gcrf
from groundstate_gcrf.log_determinant import log_determinant

SPOILT = torch.tensor([1.0, torch.nan, 1.0], dtype=torch.float64)[:, None, None, None]


def _graph(guard: Guard = "check", nodes: int = 3) -> GaussianCrf:
    return graph_gcrf_potts(
        unary=normal(0, 2, nodes),
        edge_index=torch.tensor([[0], [1]]) if nodes else torch.zeros(2, 0, dtype=torch.int64),
        weights=normal(1, 1 if nodes else 0),
        guard=guard,
    )


def test_rescaling_leaves_alone_what_is_definite_by_construction() -> None:
    spatial, temporal = normal(1, 3, 2, 2, 1, 2), normal(2, 3, 2, 2, 1, 2)
    for scale in (0.1, 1.0):
        plain, rescaled = (
            video_gcrf(
                unary=normal(0, 3, 2, 1, 2),
                spatial=spatial,
                temporal=temporal,
                temporal_diagonal="gram",
                diagonal=scale,
                guard=guard,
            )
            for guard in ("check", "rescale")
        )
        assert torch.equal(dense(plain), dense(rescaled))


def test_nothing_to_shrink_is_not_shrunk() -> None:
    bound, scale = torch.tensor([0.0, 1.0, 2.0]), torch.tensor(1.0)
    torch.testing.assert_close(shrinking(bound, scale), torch.tensor([1.0, 0.95, 0.475]))


@pytest.mark.parametrize("kind", ["low rank", "low rank Potts", "video", "inverse"])
def test_embeddings_that_are_not_finite_are_their_own_problem_alone(kind: str) -> None:
    energy = {
        "low rank": lambda: low_rank_gcrf(
            unary=normal(0, 3, 2, 2, 2), embeddings=SPOILT[..., None] * normal(1, 3, 4, 2, 2, 2)
        ),
        "low rank Potts": lambda: low_rank_potts_gcrf(
            unary=normal(0, 3, 2, 2, 2), embeddings=SPOILT * normal(1, 3, 4, 2, 2), diagonal=50.0
        ),
        "video": lambda: video_gcrf(
            unary=normal(0, 3, 2, 2, 1, 2),
            spatial=normal(1, 3, 2, 4, 2, 1, 2),
            temporal=SPOILT[..., None, None] * normal(2, 3, 2, 4, 2, 1, 2),
            diagonal=50.0,
        ),
        "inverse": lambda: inverse_gcrf(
            unary=normal(0, 3, 2, 2, 2), embeddings=SPOILT[..., None] * normal(1, 3, 4, 2, 2, 2)
        ),
    }[kind]()
    status = solve(energy, AutoQuadratic(), throw=False).status
    assert status.tolist() == [Status.OPTIMAL, Status.DIVERGED, Status.OPTIMAL]


def test_embeddings_that_are_not_finite_are_not_called_indefinite() -> None:
    energy = low_rank_potts_gcrf(
        unary=normal(0, 2, 2, 2), embeddings=torch.full((3, 2, 2), torch.nan).double()
    )
    assert int(solve(energy, AutoQuadratic(), throw=False).status) == Status.DIVERGED


def test_a_diagonal_lost_in_rounding_is_refused() -> None:
    with pytest.raises(NotPositiveDefinite, match="float64"):
        inverse_gcrf(
            unary=normal(0, 2, 2, 2).float(),
            embeddings=normal(1, 20, 2, 2, 2).float(),
            diagonal=1e-9,
        )


def test_words_that_mean_nothing_are_refused() -> None:
    check_choice("guard", "report", ("check", "report"))
    with pytest.raises(ValueError, match="guard must be one of 'check', 'report', got 'chek'"):
        check_choice("guard", "chek", ("check", "report"))
    # annotations are checked in tests only; without them each of these says so itself
    unknown = cast(Any, "full stop")
    for build in (
        lambda: _graph(guard=unknown),
        lambda: quadratic_sum(energies=[_graph()], guard=unknown),
        lambda: low_rank_potts_gcrf(
            unary=normal(0, 2, 2, 2), embeddings=normal(1, 1, 2, 2), guard=unknown
        ),
        lambda: coupling_of(3, unknown, "none", normal(0, 1)),
        lambda: coupling_of(3, "full", unknown, normal(0, 1)),
        lambda: log_determinant(_graph(), method=unknown),
    ):
        with pytest.raises((TypeError, ValueError)):
            build()


def test_no_variables_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one variable"):
        _graph(nodes=0)


def test_edges_are_two_rows_of_whole_numbers() -> None:
    with pytest.raises(TypeError):
        check_edges(torch.tensor([[0.0], [1.0]]), 2)
    with pytest.raises((TypeError, ValueError), match=r"2,? edges"):
        check_edges(torch.tensor([[0, 1], [1, 2], [2, 3]]), 4)


def test_many_nodes_may_be_numbered_in_short_integers() -> None:
    # 42949 · 100000 + 67297 and 0 · 100000 + 1 are the same in 32 bits
    check_edges(torch.tensor([[0, 42_949], [1, 67_297]], dtype=torch.int32), 100_000)
