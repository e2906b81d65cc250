"""Configuration spaces: shapes, ranges, draws."""

import pytest
import torch
from tests.toys import F64, tensor
from torch import Tensor

from groundstate.space import Discrete, Layout, Real


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


MIXED = Discrete(counts=torch.tensor([2, 3, 1]))
FLAT = Layout(batch_shape=(2,), event_shape=(3,), segments=torch.tensor([0, 0, 1]))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.tensor([0.0, 0, 0]), TypeError, r"must be torch\.int64, got torch\.float32"),
        (torch.tensor([0, 0]), ValueError, r"ends in \(3,\).*got \(2,\)"),
        (torch.tensor([0, 3, 0]), ValueError, r"variable \(1,\) has 3 labels, got 3"),
        (torch.tensor([[0, 0, 0], [0, 2, 1]]), ValueError, r"variable \(2,\) has 1 labels, got 1"),
        (torch.tensor([-1, 0, 0]), ValueError, "got -1"),
    ],
)
def test_what_is_no_labelling_is_refused(x: Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        MIXED.validate(x)


def test_labellings_pass_with_sample_and_batch() -> None:
    MIXED.validate(torch.tensor([[[1, 2, 0]]]))
    batched = Discrete(counts=torch.tensor([2]), batch_shape=(4,))
    batched.validate(torch.zeros(7, 4, 1, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"batch \(4,\)"):
        batched.validate(torch.zeros(3, 1, dtype=torch.int64))


def test_a_single_variable_without_an_event_shape() -> None:
    space = Discrete(counts=torch.tensor(3))
    space.validate(torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="3 labels, got 3"):
        space.validate(torch.tensor([0, 3]))


def test_every_variable_needs_a_label() -> None:
    with pytest.raises(ValueError, match="at least 1 label, got 0"):
        Discrete(counts=torch.tensor([2, 0]))


def test_all_labels_are_drawn_and_no_others() -> None:
    x = MIXED.sample(rng(), (500,))
    MIXED.validate(x)
    assert [x[:, i].bincount().count_nonzero().item() for i in range(3)] == [2, 3, 1]
    assert torch.equal(x, MIXED.sample(rng(), (500,)))
    assert not torch.equal(x, MIXED.sample(rng(1), (500,)))


@pytest.mark.parametrize(
    ("lower", "upper"), [(-1.0, 2.0), (float("-inf"), 0.5), (0.5, float("inf"))]
)
def test_draws_lie_between_the_bounds(lower: float, upper: float) -> None:
    space = Real(event_shape=(2,), batch_shape=(3,), lower=lower, upper=upper, dtype=F64)
    x = space.sample(rng(), (50,))
    assert x.shape == (50, 3, 2)
    assert x.dtype == F64
    space.validate(x)


def test_values_outside_the_bounds_are_refused_and_nan_says_diverged() -> None:
    space = Real(event_shape=(2,), lower=0.0, upper=1.0, dtype=F64)
    with pytest.raises(ValueError, match=r"in \[0.0, 1.0\], got 1.5"):
        space.validate(tensor(0.5, 1.5))
    space.validate(tensor(0.5, float("nan")))
    with pytest.raises(TypeError, match=r"torch\.float64, got torch\.float32"):
        space.validate(torch.zeros(2))


def test_bounds_and_types_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match=r"got 1\.0 and 1\.0"):
        Real(event_shape=(), lower=1.0, upper=1.0)
    with pytest.raises(ValueError, match="lower must be below upper"):
        Real(event_shape=(), lower=float("nan"))
    with pytest.raises(TypeError, match="floating-point"):
        Real(event_shape=(), dtype=torch.int64)


def test_sums_are_over_the_event_alone() -> None:
    layout = Layout(batch_shape=(2,), event_shape=(1, 3))
    x = torch.arange(12.0).reshape(2, 2, 1, 3)
    assert layout.sum(x).tolist() == [[3.0, 12.0], [21.0, 30.0]]
    assert layout.dot(x, x).shape == (2, 2)
    assert layout.sample_shape(x) == (2,)
    assert Layout().sum(x).shape == x.shape


def test_segments_keep_the_sums_of_problems_apart() -> None:
    x = tensor([1.0, 2.0, 4.0], [10.0, 20.0, 40.0])
    assert FLAT.sum(x).tolist() == [[3.0, 4.0], [30.0, 40.0]]
    assert FLAT.shape == (3,)
    assert FLAT.sample_shape(x) == (2,)
    assert FLAT.expand(tensor(5.0, 7.0)).tolist() == [5.0, 5.0, 7.0]


def test_values_per_problem_broadcast_over_configurations() -> None:
    layout = Layout(batch_shape=(2,), event_shape=(3, 1))
    assert layout.expand(tensor(1.0, 2.0)).shape == (2, 1, 1)
