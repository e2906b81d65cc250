"""The best is kept whenever it was seen, and what has no answer says so."""

import pytest
import torch
from tests.toys import F64, Descent, Scripted, bowl, table, tensor

import groundstate as gs


def test_the_best_between_two_points_of_the_trace_is_kept() -> None:
    # steps 33 to 39 are not in the trace; the claim at step 33 is what calls attention to it
    energy = table([9.0, 3.0, 0.0])
    labels = torch.tensor([0] * 33 + [2] + [1] * 7)[:, None]
    claims = energy(labels)
    solver = Scripted(xs=labels, energy=lambda step: claims[step])
    solution = gs.solve(energy, solver, steps=40)
    assert [record.step for record in solution.trace][-2:] == [32, 40]
    assert solution.energy == 0 and solution.x.tolist() == [2]


def test_of_configurations_that_rounding_cannot_tell_apart_the_last_one_is_kept() -> None:
    energy = bowl(tensor(1.0))
    # 1e-10 higher than the one before: more than nothing, less than rounding may make
    steps = torch.tensor([[0.0], [1.0 + 1e-6], [1.0 - 1.5e-5]], dtype=F64)
    claims = energy(steps)
    solver = Scripted(xs=steps, energy=lambda step: claims[step])
    assert torch.equal(gs.solve(energy, solver, steps=2).x, steps[2])


def test_an_implicit_gradient_of_what_is_no_minimiser_is_refused() -> None:
    linear = tensor(1.0, 2.0).requires_grad_()
    energy = bowl(linear, tensor(1.0, 0.01))
    with pytest.raises(gs.GradientError, match="needs the minimiser, but the solve ended early"):
        gs.solve(energy, Descent(), steps=3, gradient="implicit")


def test_converged_where_hard_constraints_are_violated_is_told() -> None:
    energy = table([float("inf"), 0.0])
    solver = Scripted(xs=torch.zeros(1, 1, dtype=torch.int64))
    solution = gs.solve(energy, solver)
    assert gs.Status(int(solution.status)) is gs.Status.VIOLATING
    assert "hard constraints" in gs.Status.VIOLATING.advice
