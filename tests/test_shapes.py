"""Array shapes are really checked while tests run."""

import pytest
import torch
from jaxtyping import TypeCheckError

import groundstate as gs


def test_an_array_of_another_shape_is_refused() -> None:
    space = gs.Discrete(counts=torch.tensor([2, 2]))
    graph = gs.FactorGraph(counts=space.counts, groups=(), constant=torch.zeros(()))
    assert graph.energy(torch.zeros(3, 2, dtype=torch.int64)).shape == (3,)
    with pytest.raises(TypeCheckError):
        graph.energy(torch.zeros(2))  # labels are whole numbers
