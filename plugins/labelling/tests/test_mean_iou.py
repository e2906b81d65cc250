"""Mean IoU against a confusion counted by hand."""

import pytest
import torch

from groundstate_labelling.mean_iou import MeanIou, class_iou, confusion, mean_iou

TRUTH = torch.tensor([[0, 0, 1], [1, 2, 11]])
FOUND = torch.tensor([[0, 1, 1], [1, 0, 5]])


def test_confusion_is_as_counted_by_hand() -> None:
    counts = confusion(FOUND, TRUTH, 3, 11)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_iou_is_as_counted_by_hand() -> None:
    expected = torch.tensor([1 / 3, 2 / 3, 0.0], dtype=torch.float64)
    torch.testing.assert_close(class_iou(confusion(FOUND, TRUTH, 3, 11)), expected)
    torch.testing.assert_close(MeanIou(truth=TRUTH, classes=3)(FOUND), expected.mean())


def test_a_class_that_does_not_occur_does_not_count() -> None:
    counts = confusion(FOUND, TRUTH, 9, 11)
    assert float(mean_iou(counts)) == pytest.approx(1 / 3)


def test_what_is_said_where_there_is_no_truth_does_not_count() -> None:
    other = FOUND.clone()
    other[1, 2] = 0
    metric = MeanIou(truth=TRUTH, classes=3)
    assert metric(other) == metric(FOUND)


def test_images_are_counted_together() -> None:
    """Not the mean of the means: counts of two images add up."""
    pair = torch.stack([FOUND, TRUTH.where(TRUTH < 11, 0)])
    counts = sum(confusion(each, TRUTH, 3, 11) for each in pair)
    found = MeanIou(truth=torch.stack([TRUTH, TRUTH]), classes=3)(pair)
    assert isinstance(counts, torch.Tensor)
    torch.testing.assert_close(found, mean_iou(counts))


def test_a_label_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"labels must lie in 0 \.\.\. 2 .* got 5"):
        confusion(torch.full((2, 3), 5), TRUTH, 3, 11)
    with pytest.raises(ValueError, match="shape that ends in"):
        MeanIou(truth=TRUTH)(torch.zeros(3, 3))
