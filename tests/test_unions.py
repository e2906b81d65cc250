"""Problems of different sizes in one batch."""

import pytest
import torch
from tests.toys import F64, Descent, bowl, table, tensor

import groundstate as gs
from groundstate.energy import view
from groundstate.space import Discrete
from groundstate.status import Status
from groundstate.views import Quadratic


def test_energies_stay_apart_and_configurations_lie_end_to_end() -> None:
    joined = gs.union([table([1.0, 2.0]), table([4.0, 8.0, 16.0])])
    assert joined.space.layout.batch_shape == (2,)
    assert isinstance(joined.space, Discrete) and joined.space.counts.tolist() == [2, 3]
    x = torch.tensor([[0, 2], [1, 0]])
    assert joined(x).tolist() == [[1.0, 16.0], [2.0, 4.0]]
    assert [piece.tolist() for piece in joined.split(x)] == [[[0], [1]], [[2], [0]]]


def test_the_quadratic_view_is_that_of_every_part() -> None:
    parts = [bowl(tensor(1.0, 2.0), tensor(2.0, 4.0)), bowl(tensor([3.0], [5.0]), event=2)]
    joined = gs.union(parts)
    quadratic = view(joined, Quadratic)
    x = torch.randn(6, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    layout = joined.space.layout
    by_view = layout.dot(x, 0.5 * quadratic.matvec(x) - quadratic.linear) + quadratic.constant
    torch.testing.assert_close(by_view, joined(x))
    assert joined(x).shape == (6, 2)
    assert quadratic.diagonal.tolist() == [2.0, 4.0, 1.0, 1.0]
    assert quadratic.floor is None


def test_solving_tells_a_status_for_each_problem() -> None:
    # in one dimension a gradient step of ½ solves a = 2 at once, and hardly moves a = 0.01
    joined = gs.union([bowl(tensor(4.0), tensor(2.0)), bowl(tensor(1.0), tensor(0.01))])
    solution = gs.solve(joined, Descent(apart=True), steps=3)
    assert solution.status.tolist() == [Status.CONVERGED, Status.OUT_OF_STEPS]
    assert solution.energy.shape == (2,)
    torch.testing.assert_close(solution.energy[0], torch.tensor(-4.0, dtype=F64))


def test_views_are_those_that_all_parts_give() -> None:
    assert not gs.union([table([1.0]), table([1.0])]).views
    assert set(gs.union([bowl(tensor(1.0))]).views) == {Quadratic}


def test_what_cannot_be_joined_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one energy"):
        gs.union([])
    with pytest.raises(ValueError, match=r"got a batch of shape \(2,\)"):
        gs.union([bowl(tensor([1.0], [2.0]))])
    with pytest.raises(ValueError, match="all be discrete, or all real"):
        gs.union([bowl(tensor(1.0)), table([1.0])])
    with pytest.raises(ValueError, match="one dtype and bounds"):
        gs.union([bowl(tensor(1.0)), bowl(torch.ones(1))])
