"""Compiled products of all labels: against torch, at every size that a loop could end wrongly."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugins.gcrf.tests.systems import generator
from torch import Tensor

from groundstate_gcrf import skinny_kernel
from groundstate_gcrf.energies import grid_kernel
from groundstate_gcrf.energies.label_grid import OFFSETS, GridCoupling
from groundstate_gcrf.threads import run_all, shares

TYPES = st.sampled_from([torch.float32, torch.float64])


def normal(*shape: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """As many threads, each given little to do."""
    before = torch.get_num_threads()
    monkeypatch.setattr(skinny_kernel, "_SHARE", 1)
    monkeypatch.setattr(grid_kernel, "_SHARE", 1)
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def assert_same(found: Tensor, expected: Tensor) -> None:
    tolerance = 1e-4 if expected.dtype == torch.float32 else 1e-11
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


class TestSkinny:
    @settings(max_examples=40, deadline=None)
    @given(
        batch=st.sampled_from([(), (2,), (2, 3)]),
        labels=st.integers(1, 16),
        rank=st.integers(1, 8),
        columns=st.integers(1, 150),
        dtype=TYPES,
        seed=st.integers(0, 999),
    )
    def test_both_products(
        self,
        batch: tuple[int, ...],
        labels: int,
        rank: int,
        columns: int,
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        x = normal(*batch, labels, columns, dtype=dtype, seed=seed)
        factor = normal(*batch, rank, columns, dtype=dtype, seed=seed + 1)
        scale = normal(*batch, dtype=dtype, seed=seed + 2)
        found = skinny_kernel.inner_products(x, factor)
        assert_same(found, x @ factor.mT)
        combined = skinny_kernel.combine(found, factor, scale, x)
        expected = found @ factor + scale[..., None, None] * x
        assert_same(combined, expected)

    def test_threads_and_chunks(self, threads: int) -> None:
        x = normal(8, 5000, dtype=torch.float64, seed=0)
        factor = normal(5, 5000, dtype=torch.float64, seed=1)
        found = skinny_kernel.inner_products(x, factor)
        assert_same(found, x @ factor.mT)
        combined = skinny_kernel.combine(found, factor, x.new_tensor(2.0), x)
        assert_same(combined, found @ factor + 2 * x)

    def test_samples_share_one_matrix_and_gradients_flow(self) -> None:
        x = normal(4, 2, 3, 20, dtype=torch.float64, seed=0)
        factor = normal(5, 20, dtype=torch.float64, seed=1).requires_grad_()
        with torch.no_grad():
            compiled = skinny_kernel.inner_products(x, factor)
        through = skinny_kernel.inner_products(x, factor)
        assert_same(compiled, through.detach())
        scale = normal(2, dtype=torch.float64, seed=2)
        combined = skinny_kernel.combine(through, factor, scale, x)
        expected = compiled @ factor.detach() + scale[:, None, None] * x
        assert_same(combined.detach(), expected)
        assert combined.requires_grad


class TestGrid:
    @settings(max_examples=40, deadline=None)
    @given(
        batch=st.sampled_from([(), (2,)]),
        neighbours=st.sampled_from([4, 8, 12]),
        labels=st.integers(1, 12),
        height=st.integers(1, 14),
        width=st.integers(1, 14),
        dtype=TYPES,
        seed=st.integers(0, 999),
    )
    def test_the_product(
        self,
        batch: tuple[int, ...],
        neighbours: int,
        labels: int,
        height: int,
        width: int,
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        self.compare(batch, neighbours, labels, (height, width), dtype, seed)

    def test_threads_and_bands(self, threads: int) -> None:
        self.compare((2,), 12, 8, (140, 121), torch.float64, 0)

    def compare(
        self,
        batch: tuple[int, ...],
        neighbours: int,
        labels: int,
        size: tuple[int, int],
        dtype: torch.dtype,
        seed: int,
    ) -> None:
        height, width = size
        weights = tuple(
            normal(*batch, max(height - dy, 0), max(width - abs(dx), 0), dtype=dtype, seed=seed + k)
            for k, (dy, dx) in enumerate(OFFSETS[neighbours])
        )
        coupling = GridCoupling(weights=weights, pixel_shape=size)
        x = normal(*batch, labels, height, width, dtype=dtype, seed=seed + 10)
        scale = normal(*batch, dtype=dtype, seed=seed + 11)
        found = coupling.product_with_others(x, scale)
        others = coupling.apply(x.sum(-3, keepdim=True) - x)
        expected = others + scale[..., None, None, None] * x
        assert_same(found, expected)


class TestThreads:
    def test_shares_are_everything_once(self, threads: int) -> None:
        for count in (0, 1, 2, 3, 10):
            parts = shares(count, 100)
            assert [i for begin, end in parts for i in range(begin, end)] == list(range(count))
            assert 1 <= len(parts) <= threads

    def test_what_goes_wrong_in_one_is_raised(self, threads: int) -> None:
        def fail() -> None:
            raise ArithmeticError("here")

        done: list[int] = []
        with pytest.raises(ArithmeticError, match="here"):
            run_all([lambda: done.append(1), fail, lambda: done.append(2)])
        assert 1 in done
