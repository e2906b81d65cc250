"""Between labels and real numbers, both ways."""

import pytest
import torch
from plugins.mrf.tests.random_problems import every_labelling, random_problem
from torch import Tensor

import groundstate as gs
from groundstate.testing.typed import eigenvalues, linear_solve
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.contrast_potts import ContrastPotts
from groundstate_mrf.discretise import Discretise
from groundstate_mrf.factor_graph import factor_graph
from groundstate_mrf.relaxation import Relaxation


def dense(quadratic: gs.Quadratic, space: gs.Real) -> tuple[Tensor, Tensor]:
    """The matrix, by columns, and the minimiser; one problem."""
    size = torch.Size(space.event_shape).numel()
    columns = torch.eye(size, dtype=space.dtype).reshape(size, *space.event_shape)
    matrix = quadratic.matvec(columns).reshape(size, size)
    return matrix, linear_solve(matrix, quadratic.linear.flatten())


@pytest.mark.parametrize("same", [0, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_relaxation_is_exact_on_labellings_and_bounds_them(seed: int, same: int) -> None:
    energy = random_problem(seed, order=2, counting=False, same=same)
    adapted = Relaxation(curvature=0.3, floor=0.2).adapt(energy)
    labels, values = every_labelling(energy)
    x = energy.graph.one_hot(labels, torch.float64)
    space = adapted.energy.space
    assert isinstance(space, gs.Real)
    x = x.reshape(len(labels), *space.event_shape)
    torch.testing.assert_close(adapted.energy(x), values)
    assert torch.equal(adapted.decode(x), labels)
    quadratic = gs.view(adapted.energy, gs.Quadratic)
    matrix, best = dense(quadratic, space)
    torch.testing.assert_close(matrix, matrix.T)
    torch.testing.assert_close(matrix.diagonal(), quadratic.diagonal.flatten())
    assert float(eigenvalues(matrix)[0]) >= 0.2 - 1e-9
    least = adapted.energy(best.reshape(space.event_shape))
    assert float(least) <= float(values.amin()) + 1e-9
    sums = torch.zeros(5).double().index_add(0, energy.graph.variable_of_entry, best)
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_relaxation_takes_cardinality_of_pairs_but_not_more() -> None:
    energy = random_problem(0, order=2)
    with pytest.raises(gs.ViewError, match="CardinalityGroup"):
        Relaxation().adapt(energy)
    forbidding = factor_graph([2], [((0,), torch.tensor([0.0, float("inf")]))])
    with pytest.raises(gs.ViewError, match="large finite energy"):
        Relaxation().adapt(forbidding)


def test_relaxation_of_a_photo_is_a_stencil() -> None:
    rng = torch.Generator().manual_seed(0)
    unary = torch.rand(2, 3, 4, 3, generator=rng, dtype=torch.float64)
    image = torch.rand(2, 3, 4, 1, generator=rng, dtype=torch.float64)
    energy = ContrastPotts(unary=unary, image=image)
    adapted = Relaxation().adapt(energy)
    x = energy.space.sample(rng, (5,))
    vertices = torch.nn.functional.one_hot(x, 3).double()
    torch.testing.assert_close(adapted.energy(vertices), energy(x))
    assert torch.equal(adapted.decode(vertices), x)


def test_discretised_energies_are_those_of_the_values() -> None:
    matrix = torch.tensor([[2.0, -0.5, 0.0], [-0.5, 3.0, 1.0], [0.0, 1.0, 2.5]]).double()
    indices = matrix.nonzero().T
    space = gs.Real(event_shape=(3,), lower=-1.0, upper=2.0, dtype=torch.float64)
    energy = gs.QuadraticEnergy(
        quadratic=gs.Quadratic(
            matvec=lambda x: x @ matrix,
            linear=torch.tensor([1.0, -2.0, 0.5]).double(),
            constant=torch.tensor(0.3).double(),
            diagonal=matrix.diagonal(),
        ),
        space=space,
        structure={
            gs.SparseMatrix: lambda: gs.SparseMatrix(
                indices=indices, values=matrix[indices[0], indices[1]]
            )
        },
    )
    adapted = Discretise(levels=7).adapt(energy)
    labels = adapted.energy.space.sample(torch.Generator().manual_seed(0), (20,))
    x = adapted.decode(labels)
    torch.testing.assert_close(adapted.energy(labels), energy(x))
    assert float(x.min()) >= -1 and float(x.max()) <= 2
    solution = gs.solve(energy, BruteForce(), through=Discretise(levels=7))
    exact = linear_solve(matrix, torch.tensor([1.0, -2.0, 0.5]).double())
    assert float((solution.x - exact).abs().max()) < 0.5
    assert solution.bound is None
    with pytest.raises(ValueError, match="must be finite"):
        Discretise(upper=float("inf")).adapt(energy)
