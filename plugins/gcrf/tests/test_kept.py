"""What energies keep of their parameters must not outlive them."""

import torch
from plugins.gcrf.tests.crfs import dense, normal
from plugins.gcrf.tests.systems import random_grid

from groundstate.energy import view
from groundstate.solving import solve
from groundstate.testing.typed import eigenvalues
from groundstate.views import Quadratic
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.energies.affinity import affinity_gcrf
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.sparse import graph_gcrf_potts
from groundstate_gcrf.kept import Kept


def test_made_once_and_again_after_a_change() -> None:
    kept: Kept[float] = Kept()
    part = torch.ones(3)
    calls: list[int] = []

    def total() -> float:
        calls.append(1)
        return float(part.sum())

    assert [kept.get([part], total) for _ in range(3)] == [3.0] * 3
    part.mul_(2.0)
    assert kept.get([part], total) == 6.0
    assert len(calls) == 2


def test_parameters_changed_in_place_change_the_quadratic_form() -> None:
    weights, scale = torch.full((1,), 0.1).double(), torch.tensor(2.0, dtype=torch.float64)
    energy = graph_gcrf_potts(
        unary=normal(0, 2, 2),
        edge_index=torch.tensor([[0], [1]]),
        weights=weights,
        diagonal=scale,
    )
    before = view(energy, Quadratic).floor
    weights.mul_(10.0)
    quadratic = view(energy, Quadratic)
    assert before is not None and quadratic.floor is not None
    assert float(quadratic.floor) <= float(eigenvalues(dense(energy))[0]) < float(before)
    embeddings = normal(1, 3, 2, 2, 2)
    low = low_rank_gcrf(unary=normal(0, 2, 2, 2), embeddings=embeddings)
    view(low, Quadratic)
    embeddings.mul_(3.0)
    torch.testing.assert_close(view(low, Quadratic).diagonal.flatten(), dense(low).diagonal())


def test_weights_of_a_grid_changed_in_place_change_its_whole_matrix() -> None:
    energy = random_grid(0)
    view(energy, Quadratic)
    energy.right.mul_(3.0)
    x = normal(1, *energy.space.layout.shape)
    quadratic = view(energy, Quadratic)
    value = 0.5 * (x * quadratic.matvec(x)).sum() - (x * quadratic.linear).sum()
    torch.testing.assert_close(value + quadratic.constant, energy(x))


def test_energies_can_be_made_in_inference_mode() -> None:
    with torch.inference_mode():
        energy = low_rank_gcrf(unary=normal(0, 2, 2, 2), embeddings=normal(1, 3, 2, 2, 2))
        solution = solve(energy, ConjugateGradients())
        alike = affinity_gcrf(
            embeddings=normal(2, 2, 3, 3),
            pinned=torch.eye(3),
            values=normal(3, 3, 3),
            neighbours=3,
            diagonal=0.1,
        )
        again = solve(alike, ConjugateGradients())
    assert bool(solution.ok.all()) and bool(again.ok.all())
