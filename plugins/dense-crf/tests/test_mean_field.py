"""Mean field against its formula, enumeration, another implementation, and its own promises."""

from typing import Any

import pytest
import torch

import groundstate as gs
from groundstate.testing.oracles import enumerate_labellings
from groundstate_dense_crf.energy import DenseCrf, dense_crf
from groundstate_dense_crf.filters import How, pixel_features
from groundstate_dense_crf.mean_field import DenseMeanField, DenseMeanFieldState
from groundstate_mrf.mean_field import MeanField

from .cases import double_loop, photo, random_costs


def crf(scale: float = 1.0, filter: How = "exact", side: int = 3, labels: int = 3) -> DenseCrf:
    return dense_crf(
        unary=random_costs(side, side, labels, seed=0),
        image=photo(side),
        appearance_weight=2.0 * scale,
        appearance_position=2.0,
        appearance_colour=0.4,
        smoothness_weight=1.0 * scale,
        smoothness_position=1.0,
        filter=filter,
    )


def states(energy: DenseCrf, solver: DenseMeanField, steps: int) -> list[DenseMeanFieldState]:
    state = solver.init(energy, None, torch.Generator())
    found = [state]
    for _ in range(steps):
        state = solver.step(energy, state, gs.Deadline())
        found.append(state)
    return found


def test_a_step_is_the_formula() -> None:
    energy, image = crf(), photo(3)
    kernel = 2.0 * double_loop(pixel_features(image, 2.0, 0.4), symmetric=True)
    kernel = kernel + double_loop(pixel_features(image, 1.0), symmetric=True)
    unary = energy.unary.flatten(0, 1)
    before, after = states(energy, DenseMeanField(), 1)
    expected = torch.zeros_like(unary)
    for i in range(9):
        for label in range(3):
            cost = unary[i, label]
            for j in range(9):
                for other in range(3):
                    cost = cost + (label != other) * kernel[i, j] * before.q[j, other]
            expected[i, label] = torch.exp(-cost)
    expected = expected / expected.sum(1, keepdim=True)
    torch.testing.assert_close(after.q, expected, rtol=0, atol=1e-13)


def test_it_is_the_parallel_mean_field_of_the_graph_of_pairs() -> None:
    energy = crf()
    ours = gs.solve(energy, DenseMeanField(tolerance=1e-12), steps=7).beliefs
    theirs = MeanField(schedule="parallel", damping=0.0, tolerance=1e-12)
    beliefs = gs.solve(energy, theirs, steps=7).beliefs
    assert ours is not None and beliefs is not None
    torch.testing.assert_close(ours.marginals, beliefs.marginals, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.log_partition, beliefs.log_partition)


@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_lower_bound_of_the_partition_function(filter: How) -> None:
    energy = crf(filter=filter, labels=2)
    true = enumerate_labellings(energy).log_partition
    free = torch.stack([state.free_energy for state in states(energy, DenseMeanField(), 12)])
    assert bool((-free <= true + 1e-9).all())
    assert float(true + free[-1]) < 1.0  # and not a bad one


def test_marginals_are_near_the_true_ones_where_the_coupling_is_weak() -> None:
    energy = crf(scale=0.1, labels=2)
    beliefs, solution = gs.infer(energy, DenseMeanField(tolerance=1e-9))
    assert solution.status == gs.Status.CONVERGED
    true = enumerate_labellings(energy).marginals
    torch.testing.assert_close(beliefs.marginals, true, rtol=0, atol=3e-3)


def test_converged_means_a_fixed_point() -> None:
    energy = crf()
    solution = gs.solve(energy, DenseMeanField(tolerance=1e-10))
    assert solution.status == gs.Status.CONVERGED
    state = solution.state
    asked = (-energy.kernels.unary - energy.kernels.messages(state.q)).softmax(-1)
    torch.testing.assert_close(asked, state.q, rtol=0, atol=1e-9)
    torch.testing.assert_close(state.messages, energy.kernels.messages(state.q))


def oscillating() -> DenseCrf:
    """Two labels that every pixel wants to be different in from all others."""
    flat = torch.full((4, 4, 3), 0.5, dtype=torch.float64)
    unary = 0.01 * random_costs(4, 4, 2, seed=4)
    return dense_crf(
        unary=unary,
        image=flat,
        compatibility=torch.eye(2, dtype=torch.float64),
        appearance_weight=8.0,
        smoothness_weight=0.0,
    )


def test_oscillation_is_not_called_converged() -> None:
    plain = gs.solve(oscillating(), DenseMeanField(), steps=100)
    assert plain.status == gs.Status.OUT_OF_STEPS
    free = torch.stack([s.free_energy for s in states(oscillating(), DenseMeanField(), 10)])
    assert bool((free.diff() > 1e-3).any())


def test_line_search_never_lets_the_free_energy_rise() -> None:
    """From where parallel updates oscillate it goes down, to a fixed point."""
    energy = oscillating()
    solver = DenseMeanField(line_search=True, tolerance=1e-5)
    free = torch.stack([state.free_energy for state in states(energy, solver, 60)])
    assert bool((free.diff() <= 1e-9).all())
    assert gs.solve(energy, solver, steps=500).status == gs.Status.CONVERGED


def test_damping_settles_what_oscillates() -> None:
    solver = DenseMeanField(damping=0.7, tolerance=1e-6)
    assert gs.solve(oscillating(), solver, steps=500).status == gs.Status.CONVERGED


@pytest.mark.parametrize("line_search", [False, True])
@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_batch_is_a_loop(filter: How, line_search: bool) -> None:
    unary = random_costs(3, 4, 4, 3, seed=5) * torch.tensor([0.2, 1.0, 5.0]).reshape(3, 1, 1, 1)
    images = torch.stack([photo(side)[:4, :4] for side in (4, 5, 6)])
    solver = DenseMeanField(line_search=line_search, tolerance=1e-3)
    settings: dict[str, Any] = {"appearance_position": 3.0, "appearance_colour": 0.3}
    settings["filter"] = filter
    together = gs.solve(dense_crf(unary=unary, image=images, **settings), solver, steps=30)
    for index in range(3):
        energy = dense_crf(unary=unary[index], image=images[index], **settings)
        alone = gs.solve(energy, solver, steps=30)
        assert torch.equal(together.x[index], alone.x)
        assert together.status[index] == alone.status
        torch.testing.assert_close(together.state.q[index], alone.state.q)


def test_warm_starts() -> None:
    """From labels it is certain of them at first; from a state it goes on."""
    energy = crf()
    x0 = torch.zeros(3, 3, dtype=torch.int64)
    start = DenseMeanField().init(energy, x0, torch.Generator())
    assert torch.equal(start.x, x0) and bool((start.q[:, 0] == 1).all())
    torch.testing.assert_close(start.free_energy, energy(x0))  # no entropy
    solver = DenseMeanField(tolerance=1e-8)
    half = gs.solve(energy, solver, steps=4)
    rest = gs.solve(energy, solver, steps=4, state=half.state)
    whole = gs.solve(energy, solver, steps=8)
    assert torch.equal(rest.state.q, whole.state.q)
    done = gs.solve(energy, solver)
    again = gs.solve(energy, solver, state=done.state)
    assert again.steps == 0 and again.status == gs.Status.CONVERGED


def test_exact_and_lattice_label_a_photo_nearly_alike() -> None:
    image = photo(40)
    rng = torch.Generator().manual_seed(1)
    score = 3 * (image.mean(-1) - 0.45) + 0.7 * torch.randn(40, 40, generator=rng).double()
    unary = torch.stack([score, -score], -1)
    labels = [
        gs.solve(
            dense_crf(unary=unary, image=image, appearance_position=20.0, filter=filter),
            DenseMeanField(),
            steps=10,
        ).x
        for filter in ("exact", "lattice")
    ]
    assert float((labels[0] == labels[1]).double().mean()) > 0.97
    raw = unary.argmin(-1)
    assert float((labels[0] == raw).double().mean()) < 0.95  # it was smoothed, indeed
