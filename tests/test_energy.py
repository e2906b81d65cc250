"""Energies and their views."""

from dataclasses import dataclass, replace

import pytest
import torch
from tests.toys import F64, bowl, table, tensor
from torch import Tensor

from groundstate.energy import Energy, QuadraticEnergy, Views, view, with_linear
from groundstate.errors import ViewError
from groundstate.space import Real
from groundstate.views import Density, Quadratic, SparseMatrix


def test_a_quadratic_energy_is_its_formula() -> None:
    a = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    a, b, c = a @ a.T, tensor(1.0, 2.0, 3.0, 4.0), torch.tensor(0.5, dtype=F64)
    energy = QuadraticEnergy(
        quadratic=Quadratic(matvec=lambda x: x @ a, linear=b, constant=c, diagonal=a.diagonal()),
        space=Real(event_shape=(4,), dtype=F64),
    )
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), dtype=F64)
    expected = torch.stack([0.5 * v @ a @ v - b @ v + c for v in x])
    torch.testing.assert_close(energy(x), expected)


def test_another_linear_term_keeps_the_matrix_and_what_describes_it() -> None:
    sparse = SparseMatrix(indices=torch.tensor([[0, 1], [0, 1]]), values=tensor(2.0, 2.0))
    density = Density(log_prob=lambda x: x.sum(-1))
    energy = replace(
        bowl(tensor(1.0, 1.0), tensor(2.0, 2.0)),
        structure={SparseMatrix: lambda: sparse, Density: lambda: density},
    )
    other = with_linear(energy, tensor(4.0, 0.0))
    assert set(other.views) == {Quadratic, SparseMatrix}
    assert view(other, SparseMatrix) is sparse
    assert float(other(tensor(2.0, 0.0))) == -4.0
    assert float(view(other, Quadratic).constant) == 0.0


def test_a_missing_view_is_told_with_those_there_are() -> None:
    with pytest.raises(ViewError, match=r"SparseMatrix is needed, but QuadraticEnergy gives: Quad"):
        view(bowl(tensor(1.0)), SparseMatrix)
    with pytest.raises(ViewError, match="gives: none"):
        view(table([1.0]), Quadratic)


@dataclass(frozen=True, kw_only=True)
class Impostor:
    """Declares one view and makes another."""

    inner: QuadraticEnergy

    @property
    def space(self) -> Real:
        return Real(event_shape=(1,), dtype=F64)

    @property
    def views(self) -> Views:
        return {SparseMatrix: lambda: self.inner.quadratic}

    def __call__(self, x: Tensor, /) -> Tensor:
        return self.inner(x)


def test_a_view_must_be_what_it_says() -> None:
    impostor = Impostor(inner=bowl(tensor(1.0)))
    assert isinstance(impostor, Energy)
    with pytest.raises(ViewError, match="declares SparseMatrix but made a Quadratic"):
        view(impostor, SparseMatrix)
