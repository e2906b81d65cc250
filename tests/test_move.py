"""Moving things made of tensors."""

from dataclasses import dataclass, field
from typing import NamedTuple

import pytest
import torch
from tests.toys import F64, bowl
from torch import Tensor, nn

import groundstate as gs
from groundstate.move import bytes_of


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@dataclass(frozen=True, kw_only=True)
class Bag:
    weights: Tensor
    labels: Tensor
    dtype: torch.dtype
    device: torch.device
    pair: Pair
    listed: list[Tensor]
    named: dict[str, Tensor]
    name: str
    derived: int = field(init=False, default=0)


def bag() -> Bag:
    return Bag(
        weights=torch.ones(2),
        labels=torch.tensor([1]),
        dtype=torch.float32,
        device=torch.device("cpu"),
        pair=Pair(left=torch.ones(1), right=torch.tensor([2])),
        listed=[torch.ones(1)],
        named={"a": torch.ones(1)},
        name="bag",
    )


def test_every_floating_tensor_moves_and_labels_stay_whole() -> None:
    before = bag()
    moved = gs.to(before, dtype=F64)
    assert moved.weights.dtype == moved.listed[0].dtype == moved.named["a"].dtype == F64
    assert moved.dtype == F64
    assert isinstance(moved.pair, Pair)
    assert moved.pair.left.dtype == F64
    assert moved.pair.right.dtype == moved.labels.dtype == torch.int64
    assert moved.name == "bag"
    assert before.weights.dtype == before.dtype == torch.float32


def test_bytes_are_those_of_the_copy() -> None:
    assert bytes_of(bag(), F64) == 8 * (2 + 1 + 1 + 1)
    assert bytes_of(gs.to(bag(), dtype=F64), F64) == 0
    assert bytes_of(nn.Linear(2, 3), F64) == 8 * 9


def test_the_device_is_followed() -> None:
    moved = gs.to(bag(), device="meta")
    assert moved.weights.device.type == moved.pair.right.device.type == "meta"
    assert moved.device == torch.device("meta")
    assert moved.weights.dtype == torch.float32


def test_a_module_is_copied_and_not_changed() -> None:
    module = nn.Linear(2, 1)
    moved = gs.to(module, dtype=F64)
    assert moved.weight.dtype == F64
    assert module.weight.dtype == torch.float32


def test_an_energy_keeps_its_functions() -> None:
    # `matvec` closes over its matrix, which `to` cannot reach: it says so by staying
    energy = bowl(torch.ones(2))
    moved = gs.to(energy, dtype=F64)
    assert moved.space.dtype == F64
    assert moved.quadratic.linear.dtype == F64
    assert moved.quadratic.matvec is energy.quadratic.matvec


@pytest.mark.parametrize("plain", [3, "text", None, abs])
def test_anything_else_stays_as_it_is(plain: object) -> None:
    assert gs.to(plain, dtype=F64) is plain
