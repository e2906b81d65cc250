"""Batches by step."""

import pytest
import torch

import groundstate as gs
from groundstate.learning import Source


def source(size: int = 4, seed: int = 0, rows: int = 10) -> gs.Minibatches:
    x = torch.arange(rows)
    return gs.Minibatches(tensors={"x": x, "double": 2 * x}, size=size, seed=seed)


def test_an_epoch_has_every_row_once_in_an_order_of_its_own() -> None:
    batches = source()
    assert isinstance(batches, Source)
    epochs = [torch.cat([batches(3 * e + step)["x"] for step in range(3)]) for e in range(2)]
    assert [len(batches(step)["x"]) for step in range(3)] == [4, 4, 2]
    assert all(torch.equal(epoch.sort().values, torch.arange(10)) for epoch in epochs)
    assert not torch.equal(*epochs)
    assert not torch.equal(epochs[0], torch.arange(10))


def test_rows_stay_together() -> None:
    batch = source()(1)
    assert torch.equal(batch["double"], 2 * batch["x"])


def test_any_step_can_be_asked_at_any_time() -> None:
    batches = source()
    late = batches(7)["x"]
    batches(0)
    assert torch.equal(batches(7)["x"], late)
    assert torch.equal(source()(7)["x"], late)
    assert not torch.equal(source(seed=1)(7)["x"], late)


def test_a_batch_larger_than_the_data_is_the_data() -> None:
    assert torch.equal(source(size=99)(5)["x"].sort().values, torch.arange(10))


@pytest.mark.parametrize(
    ("tensors", "size", "words"),
    [
        ({"a": torch.zeros(2), "b": torch.zeros(3)}, 1, r"\{'a': 2, 'b': 3\}"),
        ({"a": torch.zeros(0)}, 1, "non-zero length"),
        ({}, 1, "non-zero length"),
        ({"a": torch.zeros(2)}, 0, "size must be at least 1, got 0"),
    ],
)
def test_what_gives_no_batches_is_refused(
    tensors: dict[str, torch.Tensor], size: int, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        gs.Minibatches(tensors=tensors, size=size)
