"""Inputs that mean nothing are refused where they come in, not blamed on a solver later."""

from typing import Any

import pytest
import torch

from groundstate_dense_crf.crf_as_rnn import CrfAsRnn
from groundstate_dense_crf.energy import dense_crf

from .cases import photo, random_costs

NAN = float("nan")


@pytest.mark.parametrize("filter", ["exact", "lattice"])
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"appearance_weight": NAN}, "`weights` must be finite"),
        ({"smoothness_weight": torch.tensor([1.0, NAN])}, "`weights` must be finite"),
        ({"compatibility": torch.full((3, 3), NAN)}, "`compatibility` must be finite"),
        ({"appearance_weight": torch.ones(3)}, r"each problem \(2,\), got the shape \(3,\)"),
        ({"appearance_weight": torch.ones(5, 2)}, r"each problem \(2,\), got the shape \(5, 2\)"),
        ({"unary": torch.zeros(2, 5, 5, 3, dtype=torch.float16)}, r"float64, got torch\.float16"),
        ({"image": torch.zeros(5, 5, 3)}, "must agree but for their last axes"),
    ],
)
def test_what_an_energy_cannot_have(filter: Any, changes: dict[str, Any], said: str) -> None:
    image = torch.stack([photo(5), photo(6)[:5, :5]])
    inputs: dict[str, Any] = {"unary": random_costs(2, 5, 5, 3, seed=0), "image": image}
    with pytest.raises(ValueError, match=said):
        dense_crf(**{**inputs, **changes}, filter=filter)


def test_what_the_network_cannot_take() -> None:
    crf, image = CrfAsRnn(labels=3), photo(5)
    for unary, said in (
        (torch.zeros(5, 5, 4), r"3 labels as torch\.float32, like this module; got 4"),
        (torch.zeros(5, 5, 3, dtype=torch.float64), r"got 3 as torch\.float64"),
        (torch.zeros(4, 5, 3), "must agree but for their last axes"),
    ):
        with pytest.raises(ValueError, match=said):
            crf({"unary": unary, "image": image})
