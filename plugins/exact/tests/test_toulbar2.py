"""toulbar2 against enumeration; the network it is given; time limits; what is not installed."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from plugins.exact.tests.oracle import answer, complete, counting, grid, problems

import groundstate as gs
from groundstate.energy import view
from groundstate.errors import PluginError
from groundstate.factors import FactorGraph
from groundstate.testing.typed import ints
from groundstate_exact.blocks import blocks_of
from groundstate_exact.parts import energy_of, parts_of
from groundstate_exact.toulbar2 import Toulbar2
from groundstate_exact.wcsp import write_network
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.uai import UAIReader

OPTIMAL, INFEASIBLE = int(gs.Status.OPTIMAL), int(gs.Status.INFEASIBLE)
absent = importlib.util.find_spec("pytoulbar2") is None
needs_package = pytest.mark.skipif(absent, reason="pytoulbar2 is not installed")


@needs_package
def test_equals_enumeration() -> None:
    for energy in problems()[::2]:
        true = answer(energy).minimum
        solution = gs.solve(energy, Toulbar2(), throw=False)
        torch.testing.assert_close(solution.energy, true, rtol=1e-9, atol=1e-9)
        assert solution.bound is not None
        torch.testing.assert_close(solution.bound, true, rtol=1e-9, atol=1e-9)
        assert torch.equal(solution.status, torch.where(true.isfinite(), OPTIMAL, INFEASIBLE))


@needs_package
def test_union_and_samples() -> None:
    parts = [counting(0), grid(1), complete(2)]
    true = torch.stack([answer(part).minimum for part in parts])
    torch.testing.assert_close(gs.solve(gs.union(parts), Toulbar2()).energy, true)
    x0 = torch.zeros((2, len(parts[2].counts)), dtype=torch.int64)
    torch.testing.assert_close(gs.solve(parts[2], Toulbar2(), x0).energy, true[2].expand(2))


def _cost(text: str, labels: list[int]) -> int:
    """Cost of a labelling in a WCSP file, read without the code under test."""
    tokens = text.split()
    variables, functions = int(tokens[1]), int(tokens[3])
    rest = [int(token) for token in tokens[5 + variables :]]
    total = 0
    for _ in range(functions):
        order, rest = rest[0], rest[1:]
        scope, default, count = rest[:order], rest[order], rest[order + 1]
        rest = rest[order + 2 :]
        rows = np.array(rest[: count * (order + 1)]).reshape(count, order + 1)
        rest = rest[count * (order + 1) :]
        mine = [labels[each] for each in scope]
        listed = {tuple(row[:-1].tolist()): int(row[-1]) for row in rows}
        total += listed.get(tuple(mine), default)
    assert not rest
    return total


@pytest.mark.parametrize("energy", [complete(0), grid(1, infinite=0.2), counting(2, size=4)])
def test_network_has_the_energies(energy: FactorGraphEnergy, tmp_path: Path) -> None:
    part = next(iter(parts_of(blocks_of(view(energy, FactorGraph), (), 1 << 20))))
    path = tmp_path / "a.wcsp"
    network = write_network(part, path)
    text = path.read_text()
    top = int(text.split()[4])
    rng = torch.Generator().manual_seed(0)
    for x in energy.space.sample(rng, (50,)):
        expected, cost = energy_of(part, x.numpy()), _cost(text, ints(x))
        if expected == float("inf"):
            assert cost >= top
        else:
            assert cost < top
            assert 0 <= expected - network.bound(cost) < 1e-9 * (1 + abs(expected))


@needs_package
def test_whole_numbers_stay_exact() -> None:
    rng = torch.Generator().manual_seed(0)
    pairs = [(i, j) for i in range(7) for j in range(i)]
    factors = [(p, torch.randint(-9, 9, (2, 2), generator=rng).double()) for p in pairs]
    energy = factor_graph([2] * 7, factors)
    solution = gs.solve(energy, Toulbar2())
    assert solution.bound is not None
    assert float(solution.bound) == float(solution.energy) == float(answer(energy).minimum)


@needs_package
def test_stops_when_time_is_over_and_keeps_what_it_has() -> None:
    """A problem that takes it hours."""
    rng = torch.Generator().manual_seed(0)
    pairs = [(i, j) for i in range(70) for j in range(i)]
    factors = [(p, torch.randn(3, 3, generator=rng, dtype=torch.float64)) for p in pairs]
    energy = factor_graph([3] * 70, factors)
    x0 = torch.zeros(70, dtype=torch.int64)
    solution = gs.solve(energy, Toulbar2(), x0, seconds=2.0, throw=False)
    assert int(solution.status) == gs.Status.OUT_OF_TIME
    assert solution.bound is not None and solution.bound <= solution.energy < energy(x0)


def test_listing_does_not_import_it() -> None:
    code = (
        "import sys, groundstate as gs; known = gs.load(warn=False); "
        "print([r.key for r in known.components()].count('solver/toulbar2'), "
        "'pytoulbar2' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["1", "False"]


def test_making_it_without_the_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing(name: str, package: str | None = None) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'groundstate-exact\[toulbar2\]'"):
        Toulbar2()
    with pytest.raises(PluginError, match=r"pip install 'groundstate-exact\[toulbar2\]'"):
        gs.load(warn=False).build("solver/toulbar2")


@needs_package
def test_water_network() -> None:
    path = Path(os.environ.get("GROUNDSTATE_DATA", "/nowhere"), "map", "water.uai")
    if not path.exists():
        pytest.skip("GROUNDSTATE_DATA has no map/water.uai")
    solution = gs.solve(UAIReader().read(path), Toulbar2())
    assert int(solution.status) == OPTIMAL
    assert abs(float(solution.energy) - 7.9587631502) < 1e-9
