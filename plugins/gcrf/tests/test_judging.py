"""How configurations are judged."""

import torch

from groundstate.space import Layout
from groundstate_gcrf.judging import norm


def test_norms_of_millions_of_float32_are_exact_to_rounding() -> None:
    values = torch.randn(2_000_000, generator=torch.Generator().manual_seed(0))
    found = norm(Layout(event_shape=(2_000_000,)), values)
    exact = values.double().square().sum().sqrt()
    assert abs(float(found) / float(exact) - 1) < 1e-6
