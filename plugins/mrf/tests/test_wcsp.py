"""WCSP files: what the format says, what is refused, and problems of the toulbar2 collection."""

import os
from pathlib import Path

import pytest
import torch
from plugins.mrf.tests.random_groups import rows
from plugins.mrf.tests.random_problems import every_labelling
from torch import Tensor

from groundstate.data import Reader
from groundstate.errors import FormatError, ViewError
from groundstate_mrf.entries import lowest
from groundstate_mrf.factor_graph import FactorGraphEnergy, factor_graph
from groundstate_mrf.groups.patterns import PatternGroup
from groundstate_mrf.npz import NPZReader
from groundstate_mrf.structured import patterns
from groundstate_mrf.uai import UAIReader
from groundstate_mrf.wcsp import WCSPReader

INFINITY = float("inf")
GOOD = """problem 3 3 4 20
2 2 3
0 7 0
1 2 4 2
0 1
2 25
2 0 1 0 1
1 0 3
3 2 1 0 20 3
0 0 1 5
2 1 1 0
0 0 0 6
"""


def read(tmp_path: Path, text: str) -> FactorGraphEnergy:
    path = tmp_path / "a.wcsp"
    path.write_text(text)
    return WCSPReader().read(path)


def test_costs_defaults_and_the_upper_bound(tmp_path: Path) -> None:
    energy = read(tmp_path, GOOD)
    labels, values = every_labelling(energy)
    for (a, b, c), value in zip(rows(labels), values, strict=True):
        triple = {(0, 0, 1): 5, (2, 1, 1): 0, (0, 0, 0): 6}.get((c, b, a), INFINITY)
        expected = 7 + {0: 1, 1: 4, 2: INFINITY}[c] + (3 if (a, b) == (1, 0) else 0) + triple
        assert float(value) == expected


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("problem 3", "problem x", 1, "the number of variables"),
        ("2 2 3\n", "2 0 3\n", 2, "the domain size of variable 1 of 3"),
        ("1 2 4 2", "1 3 4 2", 4, "variable 1 of 1 of cost function 1, 0 to 2"),
        ("2 0 1 0 1", "2 0 0 0 1", 7, "each once"),
        ("1 0 3\n", "2 0 3\n", 8, "labels and a cost"),
        ("1 0 3\n", "1 0 2.5\n", 8, "whole numbers"),
        ("1 0 3\n", "1 0 -3\n", 8, "labels and a cost"),
        ("2 1 1 0\n", "2 1 one 0\n", 11, "labels and a cost"),
        ("0 0 0 6\n", "", 11, "the end of the file"),
        ("0 0 0 6\n", "0 0 0 6\n1\n", 13, "the end of the file"),
        ("2 0 1 0 1", "2 0 1 -1 >= 0 0", 7, "a global one or a formula"),
        ("2 0 1 0 1", "-2 0 1 0 1", 7, "a shared one"),
        ("2 0 1 0 1", "2 0 1 0 -1", 7, "a reference to a shared one"),
    ],
)
def test_malformed_wcsp_names_the_line_and_what_was_expected(
    tmp_path: Path, old: str, new: str, line: int, expected: str
) -> None:
    assert old in GOOD
    with pytest.raises(FormatError, match=rf"a\.wcsp:{line}: expected") as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert expected in str(caught.value)


def test_wide_sparse_cost_functions_have_no_table(tmp_path: Path) -> None:
    counts = torch.full((30,), 3)
    listed = [[i % 3 for i in range(30)], [0] * 30]
    energies = torch.tensor([2.0, 5.0], dtype=torch.float64)
    group = patterns(counts, list(range(30)), listed, energies, 9.0)
    energy = factor_graph(counts, [], group, dtype=torch.float64)
    WCSPReader().write(energy, tmp_path / "a.wcsp")
    again = WCSPReader().read(tmp_path / "a.wcsp")
    assert [type(each) for each in again.groups] == [PatternGroup]
    labels = torch.tensor([*listed, [1] * 30])
    assert again(labels).tolist() == [2.0, 5.0, 9.0]
    with pytest.raises(ViewError, match="joint labels"):
        UAIReader().write(energy, tmp_path / "a.uai")


def test_whole_numbers_are_written_as_themselves(tmp_path: Path) -> None:
    table = torch.tensor([[0.0, 4.0], [INFINITY, 4.0]])
    WCSPReader().write(factor_graph([2, 2], [((0, 1), table)], constant=3.0), tmp_path / "a.wcsp")
    text = (tmp_path / "a.wcsp").read_text()
    assert text == "groundstate 2 2 2 8\n2 2\n0 3 0\n2 0 1 4 2\n0 0 0\n1 0 8\n"


@pytest.mark.parametrize("packed", [".gz", ".xz"])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_broken_compressed_files_are_one_clear_error(
    tmp_path: Path, packed: str, damage: str
) -> None:
    path = tmp_path / f"a.wcsp{packed}"
    WCSPReader().write(factor_graph([2], [((0,), torch.rand(2))]), path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"hello " * 20)
    with pytest.raises(FormatError, match=packed):
        WCSPReader().read(path)


def _data(name: str) -> Path:
    path = Path(os.environ.get("GROUNDSTATE_DATA", "/nowhere"), "map", name)
    if not path.exists():
        pytest.skip(f"GROUNDSTATE_DATA has no map/{name}")
    return path


def _samples(energy: FactorGraphEnergy) -> Tensor:
    return energy.space.sample(torch.Generator().manual_seed(0), (200,))


def _changes(energy: FactorGraphEnergy, x: Tensor) -> Tensor:
    """Energies of all single moves, above the lowest of each variable."""
    moves = energy.graph.moves(x)
    low = lowest(energy.graph, moves)
    return moves - torch.where(low.isfinite(), low, 0.0)[energy.graph.variable_of_entry]


FILES = ["404", "GEOM40_6", "celar6sub0", "example", "warehouse"]


@pytest.mark.parametrize("name", [*(f"{each}.wcsp" for each in FILES), "water.uai"])
@pytest.mark.parametrize("writer", [WCSPReader(), NPZReader(), UAIReader()])
def test_real_problems_are_written_and_read(tmp_path: Path, name: str, writer: Reader) -> None:
    reader = WCSPReader() if name.endswith("wcsp") else UAIReader()
    energy = reader.read(_data(name))
    path = tmp_path / f"again{writer.suffixes[0]}"
    writer.write(energy, path)
    again = writer.read(path)
    assert isinstance(again, FactorGraphEnergy)
    x = _samples(energy)
    torch.testing.assert_close(again(x), energy(x), rtol=1e-11, atol=1e-9)
    # random labellings of hard problems are mostly forbidden: look at the parts as well
    torch.testing.assert_close(_changes(again, x[0]), _changes(energy, x[0]), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "variables"), [*zip(FILES, [100, 40, 32, 25, 15], strict=True)])
def test_real_problems_have_the_size_their_names_say(name: str, variables: int) -> None:
    energy = WCSPReader().read(_data(f"{name}.wcsp"))
    assert len(energy.counts) == variables
