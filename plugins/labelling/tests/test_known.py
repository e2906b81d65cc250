"""What the losses and the metric do with labels that are out of range or do not count."""

import pytest
import torch

from groundstate_labelling.cross_entropy import SoftmaxCrossEntropy
from groundstate_labelling.dense_labelling import DenseLabelling
from groundstate_labelling.examples import Direct, scene, tiny
from groundstate_labelling.known import labelled
from groundstate_labelling.mean_iou import MeanIou
from groundstate_labelling.pairwise_embedding import PairwiseEmbedding


def test_what_is_ignored_is_not_labelled() -> None:
    labels = torch.tensor([0, 2, 255])
    assert labelled(labels, 3, 255).tolist() == [True, True, False]
    assert labelled(torch.tensor([-1, 2]), 3, -1).tolist() == [False, True]


@pytest.mark.parametrize("label", [3, 255, -1])
def test_a_label_out_of_range_is_refused(label: int) -> None:
    """Not taken for another pair of labels, and no assertion on the device."""
    batch = scene(2)
    batch = {**batch, "labels": torch.full_like(batch["labels"], label)}
    rng = torch.Generator()
    said = rf"labels must lie in 0 \.\.\. 2, or be 11 where there is none, got {label}"
    with pytest.raises(ValueError, match=said):
        SoftmaxCrossEntropy()(Direct(2), batch, rng)
    with pytest.raises(ValueError, match=said):
        PairwiseEmbedding()(tiny("dense-potts"), batch, rng)
    with pytest.raises(ValueError, match=said):
        MeanIou(truth=batch["labels"], classes=3)(torch.zeros_like(batch["labels"]))


def test_a_class_cannot_be_ignored_unnoticed() -> None:
    batch, rng = scene(2, labels=3), torch.Generator()
    with pytest.raises(ValueError, match=r"`ignore` must be no class, .* 3 classes, got 2"):
        SoftmaxCrossEntropy(ignore=2)(Direct(2), batch, rng)
    with pytest.raises(ValueError, match="at least 21 for 21 classes, got 11"):
        MeanIou(truth=batch["labels"], classes=21)(batch["labels"])


def test_each_label_needs_a_weight() -> None:
    with pytest.raises(ValueError, match=r"one number for each of the 3 labels, .* got 2"):
        SoftmaxCrossEntropy(weights=(1.0, 2.0))(Direct(2), scene(2), torch.Generator())


@pytest.mark.parametrize("label", [0, 11])
def test_a_batch_in_which_nothing_counts_has_a_gradient_of_zero(label: int) -> None:
    """Classes of weight 0 alone, or no label at all: 0 / 0 otherwise."""
    model, batch = Direct(2), scene(2)
    batch = {**batch, "labels": torch.full_like(batch["labels"], label)}
    loss = SoftmaxCrossEntropy(weights=(0.0, 1.0, 1.0))
    found = loss(model, batch, torch.Generator())["cross-entropy"]
    found.backward()
    assert float(found.detach()) == 0
    assert model.scores.grad is not None and not bool(model.scores.grad.any())


def test_a_rare_class_that_is_absent_changes_nothing() -> None:
    batch, rng = scene(2), torch.Generator()
    batch = {**batch, "labels": batch["labels"].where(batch["labels"] != 2, 11)}
    found = [
        SoftmaxCrossEntropy(weights=(1.0, 2.0, rare))(Direct(2), batch, rng)["cross-entropy"]
        for rare in (1.0, 50.0)
    ]
    torch.testing.assert_close(found[0], found[1])


def test_images_that_cannot_be_labelled_are_refused() -> None:
    model = tiny("sparse-potts")
    with pytest.raises(ValueError, match=r"numbers from 0 to 1, got torch\.uint8"):
        model({"image": torch.zeros(1, 3, 16, 16, dtype=torch.uint8)})
    with pytest.raises(ValueError, match=r"at least 5 rows and columns .* got 4 × 9"):
        model({"image": torch.zeros(1, 3, 4, 9)})
    assert model({"image": torch.zeros(1, 3, 5, 9)}).space.layout.event_shape == (3, 2, 3)
    wide = DenseLabelling(labels=3, width=4, channels=6, connectivity=12).eval()
    assert wide({"image": torch.zeros(1, 3, 9, 9)}).space.layout.event_shape == (3, 3, 3)
