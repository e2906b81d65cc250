"""`energy/grid-gcrf`: the energy, its views, and what it refuses."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.gcrf.tests.systems import dense_of, generator, random_grid, smallest_eigenvalue
from torch import Tensor

from groundstate.energy import evaluate_quadratic, view
from groundstate.move import to
from groundstate.solving import solve
from groundstate.testing.oracles import dense_matrix, solve_densely
from groundstate.views import Quadratic, SparseMatrix
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.contrast import contrast_weights
from groundstate_gcrf.grid import GridGcrf, grid_gcrf
from groundstate_gcrf.structure import GridStencil

SIZES = [(1, 1), (1, 5), (5, 1), (2, 2), (4, 3)]


def by_hand(energy: GridGcrf, x: Tensor) -> float:
    """The sum of the terms, in Python."""
    height, width = energy.space.event_shape
    total = 0.0
    for i, j in product(range(height), range(width)):
        pull = float(energy.strength) * float(energy.pinned[i, j])
        total += 0.5 * pull * float(x[i, j] - energy.values[i, j]) ** 2
        total += 0.5 * float(energy.diagonal) * float(x[i, j]) ** 2
        if j + 1 < width:
            total += 0.5 * float(energy.right[i, j]) * float(x[i, j] - x[i, j + 1]) ** 2
        if i + 1 < height:
            total += 0.5 * float(energy.down[i, j]) * float(x[i, j] - x[i + 1, j]) ** 2
    return total


@pytest.mark.parametrize("size", SIZES)
def test_energy_is_the_sum_of_its_terms_and_the_quadratic_form(size: tuple[int, int]) -> None:
    energy = random_grid(1, height=size[0], width=size[1])
    x = energy.space.sample(generator(2), (3,))
    expected = torch.tensor([by_hand(energy, each) for each in x], dtype=torch.float64)
    torch.testing.assert_close(energy(x), expected)
    torch.testing.assert_close(evaluate_quadratic(energy.quadratic, energy.space, x), expected)


@pytest.mark.parametrize("size", SIZES)
def test_matrix_is_the_laplacian_plus_the_diagonals(size: tuple[int, int]) -> None:
    energy = random_grid(3, height=size[0], width=size[1])
    height, width = size
    expected = torch.zeros(height * width, height * width, dtype=torch.float64)
    for i, j in product(range(height), range(width)):
        here = i * width + j
        expected[here, here] += energy.diagonal + energy.strength * energy.pinned[i, j]
        for weights, there, exists in (
            (energy.right, here + 1, j + 1 < width),
            (energy.down, here + width, i + 1 < height),
        ):
            if exists:
                expected[here, here] += weights[i, j]
                expected[there, there] += weights[i, j]
                expected[here, there] -= weights[i, j]
                expected[there, here] -= weights[i, j]
    torch.testing.assert_close(dense_of(energy), expected)


@pytest.mark.parametrize("size", SIZES)
def test_sparse_matrix_is_the_matvec_and_lists_each_entry_once(size: tuple[int, int]) -> None:
    energy = random_grid(4, height=size[0], width=size[1])
    sparse, dense = view(energy, SparseMatrix), dense_of(energy)
    found = torch.zeros_like(dense)
    found[sparse.indices[0], sparse.indices[1]] = sparse.values
    torch.testing.assert_close(found, dense)
    assert torch.unique(sparse.indices, dim=1).shape == sparse.indices.shape


def test_batch_dimensions_broadcast_between_weights_pins_and_values() -> None:
    one = random_grid(5)
    pins = torch.stack([one.pinned, one.pinned.flip(0)])[:, None]
    values = torch.randn(2, 3, 5, 4, generator=generator(6), dtype=torch.float64)
    energy = replace(one, pinned=pins, values=values)
    assert energy.space.batch_shape == (2, 3)
    matrices = dense_matrix(energy.quadratic, energy.space)
    sparse = view(energy, SparseMatrix)
    minimiser = solve_densely(energy).minimiser
    for i, j in product(range(2), range(3)):
        part = replace(one, pinned=pins[i, 0], values=values[i, j])
        torch.testing.assert_close(matrices[i, j], dense_of(part))
        torch.testing.assert_close(sparse.values[i, 0], view(part, SparseMatrix).values)
        torch.testing.assert_close(energy(minimiser)[i, j], part(minimiser[i, j]))
        torch.testing.assert_close(minimiser[i, j], solve_densely(part).minimiser)


def test_minimiser_is_transposed_with_the_grid() -> None:
    energy = random_grid(7)
    mirrored = GridGcrf(
        right=energy.down.mT.contiguous(),
        down=energy.right.mT.contiguous(),
        pinned=energy.pinned.mT.contiguous(),
        values=energy.values.mT.contiguous(),
        strength=energy.strength,
        diagonal=energy.diagonal,
    )
    solver = ConjugateGradients(tolerance=1e-13)
    torch.testing.assert_close(solve(energy, solver).x.mT, solve(mirrored, solver).x)


def test_values_where_nothing_is_pinned_play_no_part() -> None:
    energy = random_grid(8)
    unknown = torch.where(energy.pinned > 0, energy.values, float("nan"))
    x = energy.space.sample(generator(9))
    torch.testing.assert_close(replace(energy, values=unknown)(x), energy(x))
    torch.testing.assert_close(
        replace(energy, values=unknown).quadratic.linear, energy.quadratic.linear
    )


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), height=st.integers(1, 5), width=st.integers(1, 5))
def test_floor_lies_below_the_smallest_eigenvalue(seed: int, height: int, width: int) -> None:
    energy = random_grid(seed, height=height, width=width)
    floor = energy.quadratic.floor
    assert floor is not None and float(floor) >= 0.3
    assert float(floor) <= smallest_eigenvalue(dense_of(energy)) * (1 + 1e-12)


def test_without_a_ridge_no_floor_is_known() -> None:
    assert random_grid(0, diagonal=0.0).quadratic.floor is None


def test_strong_pins_reproduce_constant_values() -> None:
    energy = random_grid(10, diagonal=0.0)
    constant = replace(energy, values=torch.full_like(energy.values, 3.0))
    x = solve(constant, ConjugateGradients(tolerance=1e-13)).x
    torch.testing.assert_close(x, torch.full_like(x, 3.0))


def test_float32_agrees_with_float64_as_far_as_it_can() -> None:
    energy = random_grid(11)
    single = to(energy, dtype=torch.float32)
    x = energy.space.sample(generator(12))
    assert single.space.dtype == torch.float32
    assert single(x.float()).dtype == torch.float32
    torch.testing.assert_close(single(x.float()).double(), energy(x), rtol=1e-5, atol=1e-5)


def test_learned_parameters_are_never_cached() -> None:
    energy = random_grid(13)
    right = energy.right.clone().requires_grad_(True)
    learned = replace(energy, right=right)
    before = learned.quadratic.diagonal.clone()
    with torch.no_grad():
        right += 1.0  # what an optimiser does
    assert not torch.equal(learned.quadratic.diagonal, before)
    assert view(energy, GridStencil) is view(energy, GridStencil)


class TestRefusals:
    def test_no_pin_and_no_ridge(self) -> None:
        energy = random_grid(0)
        with pytest.raises(ValueError, match=r"no pixel is pinned .* pin a pixel"):
            replace(energy, pinned=0 * energy.pinned, diagonal=torch.zeros_like(energy.diagonal))

    def test_pins_without_strength(self) -> None:
        energy = random_grid(0, diagonal=0.0)
        with pytest.raises(ValueError, match="no pixel is pinned"):
            replace(energy, strength=torch.zeros_like(energy.strength))

    def test_names_the_singular_problem_of_a_batch(self) -> None:
        energy = random_grid(0, diagonal=0.0)
        pinned = torch.stack([energy.pinned, 0 * energy.pinned, energy.pinned])
        with pytest.raises(ValueError, match=r"in problem \(1,\) no pixel is pinned"):
            replace(energy, pinned=pinned)

    def test_part_of_the_grid_cut_off_by_weights_of_zero(self) -> None:
        energy = random_grid(0, diagonal=0.0)
        right = energy.right.clone()
        right[:, 1] = 0
        pinned = torch.zeros_like(energy.pinned)
        pinned[0, 0] = 1
        with pytest.raises(ValueError, match="part of the grid has no pinned pixel"):
            replace(energy, right=right, pinned=pinned)
        pinned[0, -1] = 1
        cut = replace(energy, right=right, pinned=pinned)
        assert smallest_eigenvalue(dense_of(cut)) > 0

    def test_a_ridge_makes_it_solvable_without_pins(self) -> None:
        energy = random_grid(0)
        free = replace(energy, pinned=0 * energy.pinned)
        assert smallest_eigenvalue(dense_of(free)) > 0

    def test_negative_weights_name_the_value(self) -> None:
        energy = random_grid(0)
        with pytest.raises(ValueError, match=r"right must be finite and at least 0, got -1"):
            replace(energy, right=energy.right - energy.right - 1)

    def test_values_that_are_not_finite_where_pinned(self) -> None:
        energy = random_grid(0)
        with pytest.raises(ValueError, match="values must be finite wherever `pinned`"):
            replace(energy, values=energy.values * float("nan"))

    def test_shapes_that_do_not_fit(self) -> None:
        energy = random_grid(0)
        with pytest.raises(ValueError, match=r"pinned must end in \(5, 4\), got .* \(4, 5\)"):
            replace(energy, pinned=energy.pinned.mT)
        with pytest.raises(ValueError, match="batch dimensions must broadcast"):
            replace(
                energy, pinned=energy.pinned.expand(2, 5, 4), values=energy.values.expand(3, 5, 4)
            )
        with pytest.raises(ValueError, match="diagonal must broadcast"):
            replace(energy, diagonal=torch.ones(3, dtype=torch.float64))

    def test_mixed_types(self) -> None:
        energy = random_grid(0)
        with pytest.raises(TypeError, match=r"one floating-point type, got right torch\.float32"):
            replace(energy, right=energy.right.float())

    def test_gray_image_without_a_channel(self) -> None:
        energy = random_grid(0)
        with pytest.raises(ValueError, match=r"image\[\.\.\., None\]"):
            grid_gcrf(image=energy.values, pinned=energy.pinned, values=energy.values)


class TestContrast:
    def test_weights_follow_the_formula(self) -> None:
        image = torch.tensor([[[0.0], [1.0]], [[0.0], [3.0]]], dtype=torch.float64)
        right, down = contrast_weights(image, smoothness=2.0, contrast=1.5, weakest=0.01)
        expected = 2 * (np.exp(-np.array([[1.0], [9.0]]) / 4.5) + 0.01)
        torch.testing.assert_close(right, torch.from_numpy(expected))
        expected = 2 * (np.exp(-np.array([[0.0, 4.0]]) / 4.5) + 0.01)
        torch.testing.assert_close(down, torch.from_numpy(expected))

    def test_measured_contrast_is_the_root_mean_square_difference(self) -> None:
        image = torch.rand(2, 6, 7, 3, generator=generator(0), dtype=torch.float64)
        found = contrast_weights(image)
        for item in range(2):
            differences = torch.cat(
                [
                    (image[item, :, 1:] - image[item, :, :-1]).square().sum(-1).flatten(),
                    (image[item, 1:] - image[item, :-1]).square().sum(-1).flatten(),
                ]
            )
            sigma = float(differences.mean().sqrt())
            expected = contrast_weights(image[item], contrast=sigma)
            torch.testing.assert_close(found[0][item], expected[0])
            torch.testing.assert_close(found[1][item], expected[1])

    def test_measured_contrast_does_not_depend_on_the_units_of_the_image(self) -> None:
        image = torch.rand(4, 5, 1, generator=generator(1), dtype=torch.float64)
        torch.testing.assert_close(contrast_weights(image)[0], contrast_weights(255 * image)[0])

    def test_image_of_one_colour_has_equal_weights(self) -> None:
        right, down = contrast_weights(torch.ones(3, 3, 2, dtype=torch.float64), weakest=0.0)
        assert torch.equal(right, torch.ones_like(right))
        assert torch.equal(down, torch.ones_like(down))

    def test_gradcheck_in_image_and_settings(self) -> None:
        image = torch.rand(3, 3, 2, generator=generator(2), dtype=torch.float64)
        scalars = torch.tensor([1.5, 0.4], dtype=torch.float64)

        def weights(image: Tensor, scalars: Tensor) -> tuple[Tensor, Tensor]:
            return contrast_weights(image, smoothness=scalars[0], contrast=scalars[1])

        inputs = (image.requires_grad_(True), scalars.requires_grad_(True))
        assert torch.autograd.gradcheck(weights, inputs)


def test_quadratic_view_is_declared_and_nothing_else_is_needed() -> None:
    assert set(random_grid(0).views) >= {Quadratic, SparseMatrix, GridStencil}
