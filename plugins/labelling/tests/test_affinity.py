"""Heat maps and Gram matrices against inner products one by one."""

import pytest
import torch

from groundstate_labelling.affinity import affinity_map, heat, sorted_gram

SHARED = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
PER_LABEL = torch.randn(4, 2, 3, 5, generator=torch.Generator().manual_seed(1))


def test_the_map_is_inner_products_with_one_pixel() -> None:
    found = affinity_map(PER_LABEL, (1, 2), label=0, other=1)
    for row in range(3):
        for column in range(5):
            expected = PER_LABEL[:, 0, 1, 2] @ PER_LABEL[:, 1, row, column]
            torch.testing.assert_close(found[row, column], expected)


def test_equal_labels_of_shared_embeddings_cost_nothing() -> None:
    assert not bool(affinity_map(SHARED, (1, 2), label=1, other=1).any())
    found = affinity_map(SHARED, (1, 2), label=0, other=1)
    torch.testing.assert_close(found[0, 0], SHARED[:, 1, 2] @ SHARED[:, 0, 0])


def test_a_pixel_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="got row 3, column 0"):
        affinity_map(SHARED, (3, 0))


def test_the_gram_matrix_has_pixels_in_the_order_of_their_labels() -> None:
    labels = torch.tensor([[2, 0, 1, 0, 11], [2, 2, 1, 0, 11], [11, 0, 0, 1, 2]])
    gram, order = sorted_gram(SHARED, labels)
    assert order.tolist() == [0] * 5 + [1] * 3 + [2] * 4
    first = SHARED[:, 0, 1]  # the first pixel of label 0
    torch.testing.assert_close(gram[0, 0], first @ first)
    torch.testing.assert_close(gram[0, 5], first @ SHARED[:, 0, 2])


def test_heat_is_red_above_white_at_and_blue_below_zero() -> None:
    picture = heat(torch.tensor([[2.0, 0.0, -2.0]]), reference=(0, 1))
    assert picture.tolist() == [[[255, 0, 0], [0, 0, 0], [0, 0, 255]]]
    assert heat(torch.zeros(1, 1)).tolist() == [[[255, 255, 255]]]
