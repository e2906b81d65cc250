"""What holds for the views of a quadratic energy and of a Gaussian."""

import torch
from jaxtyping import Float
from torch import Tensor

from groundstate.certify import magnitude
from groundstate.energy import Energy, view
from groundstate.move import to
from groundstate.testing.laws.energy import points
from groundstate.testing.laws.law import laws
from groundstate.testing.oracles import dense_matrix
from groundstate.testing.saying import Skip, close, require
from groundstate.testing.typed import broadcast, distinct, eigenvalues
from groundstate.views import Covariance, Density, Quadratic, Score, SparseMatrix

_LARGEST = 600


def _double(energy: Energy) -> Energy:
    return to(energy, dtype=torch.float64)


def _dense(energy: Energy) -> Float[Tensor, "*batch n n"]:
    shape = energy.space.layout.event_shape
    if torch.Size(shape).numel() > _LARGEST:
        raise Skip(f"the example has {shape} variables; the dense matrix is made up to {_LARGEST}")
    return dense_matrix(view(energy, Quadratic), energy.space)


def quadratic_agrees_with_energy(energy: Energy) -> None:
    """½xᵀAx - bᵀx + c is E(x)."""
    double = _double(energy)
    quadratic = view(double, Quadratic)
    x = points(double, 3)
    half = 0.5 * quadratic.matvec(x) - quadratic.linear
    value = double.space.layout.dot(x, half) + quadratic.constant
    scale = 1 + float(magnitude(double, x, value).detach().max())
    close(value, double(x), "½xᵀAx - bᵀx + c, against E(x)", relative=1e-9, scale=scale)


def matvec_is_linear(energy: Energy) -> None:
    """A(2x - 3y) is 2Ax - 3Ay."""
    double = _double(energy)
    matvec = view(double, Quadratic).matvec
    x, y = points(double, 2), points(double, 2, seed=1)
    expected = 2 * matvec(x) - 3 * matvec(y)
    scale = 1 + float(expected.abs().max())
    close(matvec(2 * x - 3 * y), expected, "A(2x - 3y), against 2Ax - 3Ay", scale=scale)


def matrix_is_symmetric(energy: Energy) -> None:
    """xᵀAy is yᵀAx."""
    double = _double(energy)
    matvec, dot = view(double, Quadratic).matvec, double.space.layout.dot
    x, y = points(double, 3), points(double, 3, seed=1)
    left, right = dot(x, matvec(y)), dot(y, matvec(x))
    scale = 1 + float(dot(x, matvec(y)).abs().max())
    close(left, right, "xᵀAy, against yᵀAx", scale=scale)


def diagonal_is_that_of_the_matrix(energy: Energy) -> None:
    """`diagonal` is the diagonal of A."""
    double = _double(energy)
    dense = _dense(double)
    layout = double.space.layout
    stated = view(double, Quadratic).diagonal.expand(layout.shape)
    expected = dense.diagonal(dim1=-2, dim2=-1).reshape(layout.shape)
    close(stated, expected, "the diagonal", scale=1 + float(dense.abs().max()))


def floor_is_below_every_eigenvalue(energy: Energy) -> None:
    """`floor` bounds the smallest eigenvalue of A from below."""
    double = _double(energy)
    floor = view(double, Quadratic).floor
    if floor is None:
        return
    layout = double.space.layout
    if layout.segments is not None:
        raise Skip("the matrix of problems that lie end to end has one spectrum for all")
    smallest = eigenvalues(_dense(double))[..., 0]
    room = 1e-9 * (1 + smallest.abs())
    require(
        bool((floor <= smallest + room).all()),
        f"the floor {floor.tolist()} must not exceed the smallest eigenvalue {smallest.tolist()}",
    )


def sparse_matrix_equals_matvec(energy: Energy) -> None:
    """The entries, put into a dense matrix, are A; no entry is given twice."""
    double = _double(energy)
    sparse, dense = view(double, SparseMatrix), _dense(double)
    indices, values = sparse.indices, sparse.values
    n = dense.shape[-1]
    flat = indices[0] * n + indices[1]
    require(len(distinct(flat)) == len(flat), "an entry (row, column) is given more than once")
    lead = broadcast(values.shape[:-1], dense.shape[:-2])
    filled = values.new_zeros(*lead, n * n).index_add(-1, flat, values.expand(*lead, -1))
    scale = 1 + float(dense.abs().max())
    close(filled.reshape(*lead, n, n), dense.expand(*lead, n, n), "the sparse matrix", scale=scale)


def covariance_inverts_the_matrix(energy: Energy) -> None:
    """C(Ax) is x, and both views have the same linear term."""
    double = _double(energy)
    covariance, quadratic = view(double, Covariance), view(double, Quadratic)
    x = points(double)
    close(covariance.matvec(quadratic.matvec(x)), x, "C(Ax), against x", relative=1e-6)
    shape = double.space.layout.shape
    close(covariance.linear.expand(shape), quadratic.linear.expand(shape), "the linear term")


def density_agrees_with_energy(energy: Energy) -> None:
    """Log p(x) - log p(y) is E(y) - E(x)."""
    double = _double(energy)
    log_prob = view(double, Density).log_prob
    x, y = points(double, 3), points(double, 3, seed=1)
    value = double(y) - double(x)
    scale = 1 + float(double(y).detach().abs().max())
    close(log_prob(x) - log_prob(y), value, "log p(x) - log p(y), against E(y) - E(x)", scale=scale)


def score_is_minus_the_gradient(energy: Energy) -> None:
    """The score is -∇E."""
    double = _double(energy)
    x = points(double).requires_grad_()
    (slope,) = torch.autograd.grad(double(x).sum(), x)
    scale = 1 + float(slope.abs().max())
    close(view(double, Score).score(x.detach()), -slope, "the score, against -∇E", scale=scale)


LAWS = (
    *laws(
        quadratic_agrees_with_energy,
        matvec_is_linear,
        matrix_is_symmetric,
        diagonal_is_that_of_the_matrix,
        floor_is_below_every_eigenvalue,
        applies=lambda energy: Quadratic in energy.views,
    ),
    *laws(sparse_matrix_equals_matvec, applies=lambda e: {SparseMatrix, Quadratic} <= set(e.views)),
    *laws(covariance_inverts_the_matrix, applies=lambda e: {Covariance, Quadratic} <= set(e.views)),
    *laws(density_agrees_with_energy, applies=lambda energy: Density in energy.views),
    *laws(score_is_minus_the_gradient, applies=lambda energy: Score in energy.views),
)
