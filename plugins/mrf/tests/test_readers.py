"""UAI and NPZ: what is written is read, and what is malformed is named."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plugins.mrf.tests.random_problems import every_labelling, random_problem

import groundstate as gs
from groundstate.data import Reader
from groundstate.errors import FormatError
from groundstate_mrf import tokens
from groundstate_mrf.brute_force import BruteForce
from groundstate_mrf.factor_graph import factor_graph
from groundstate_mrf.groups.tables import TableGroup
from groundstate_mrf.max_product import MaxProduct
from groundstate_mrf.npz import NPZReader
from groundstate_mrf.uai import UAIReader
from groundstate_mrf.wcsp import WCSPReader

GOOD = """MARKOV  # a comment
3
2 2 3
3
1 0
2 0 1
2 1 2

2
 0.436 0.564
4
 0.128 0.872
 0.920 0.080
6
 0.210 0.333 0.457
 0.811 0.000 0.189
"""


@pytest.mark.parametrize(
    "reader", [UAIReader(), WCSPReader(), NPZReader()], ids=["uai", "wcsp", "npz"]
)
@pytest.mark.parametrize("packed", ["", ".gz", ".xz"])
@pytest.mark.parametrize("seed", range(4))
def test_written_problems_are_read_back(
    tmp_path: Path, reader: Reader, seed: int, packed: str
) -> None:
    energy = random_problem(seed, infinite=0.2 * (seed % 2))
    path = tmp_path / f"problem{reader.suffixes[0]}{packed}"
    assert path.name.endswith(reader.suffixes)
    reader.write(energy, path)
    labels, values = every_labelling(energy)
    torch.testing.assert_close(reader.read(path)(labels), values, rtol=1e-12, atol=1e-12)


def test_npz_is_exact_for_batches_and_types(tmp_path: Path) -> None:
    energy = gs.to(random_problem(1, batch=(2, 1), infinite=0.1), dtype=torch.float32)
    NPZReader().write(energy, tmp_path / "a.npz")
    labels, values = every_labelling(energy)
    assert torch.equal(NPZReader().read(tmp_path / "a.npz")(labels), values)


def test_uai_potentials_are_energies_in_the_order_of_the_format(tmp_path: Path) -> None:
    path = tmp_path / "a.uai"
    path.write_text(GOOD)
    energy = UAIReader().read(path)
    potential = 0.564 * 0.92 * 0.457
    torch.testing.assert_close(
        energy(torch.tensor([1, 0, 2])), -torch.tensor(potential).double().log()
    )
    assert float(energy(torch.tensor([0, 1, 1]))) == float("inf")


def test_uai_keeps_energies_beyond_the_range_of_potentials(tmp_path: Path) -> None:
    table = torch.tensor([[0.0, 2000.0], [-3000.0, float("inf")]], dtype=torch.float64)
    energy = factor_graph([2, 2], [((0, 1), table)], constant=1500.0)
    UAIReader().write(energy, tmp_path / "a.uai")
    labels, values = every_labelling(energy)
    torch.testing.assert_close(UAIReader().read(tmp_path / "a.uai")(labels), values)


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("MARKOV", "MARCOV", 1, "MARKOV or BAYES"),
        ("\n3\n2 2 3", "\nthree\n2 2 3", 2, "the number of variables"),
        ("2 2 3", "2 0 3", 3, "labels of variable 1 of 3"),
        ("2 0 1\n", "2 0 3\n", 6, "variable 2 of 2 of factor 1, 0 to 2"),
        ("2 0 1\n", "2 0 0\n", 6, "each once"),
        ("\n4\n", "\n5\n", 11, "4, the number of values of factor 1"),
        ("0.872", "-0.872", 12, "values ≥ 0"),
        ("0.872", "nan", 12, "values ≥ 0"),
        ("0.872", "0,872", 12, "values ≥ 0"),
        (" 0.811 0.000 0.189\n", "", 15, "the end of the file"),
        ("0.189\n", "0.189\n7\n", 17, "the end of the file"),
    ],
)
def test_malformed_uai_names_the_line_and_what_was_expected(
    tmp_path: Path, old: str, new: str, line: int, expected: str
) -> None:
    assert old in GOOD
    path = tmp_path / "bad.uai"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(FormatError, match=rf"bad\.uai:{line}: expected") as caught:
        UAIReader().read(path)
    assert expected in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x93\xff\xfe\x00 binary"])
def test_what_is_no_uai_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.uai"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=r"bad\.uai:1: expected"):
        UAIReader().read(path)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("counts", None, "`counts`"),
        ("counts", np.array([2.0, 2.0]), "`counts` to hold whole numbers"),
        ("counts", np.array([2, 0, 2, 2, 2]), "`counts` of at least 1"),
        ("version", np.array(1), "`version` to be 2"),
        ("schema", np.array("other"), "`schema`"),
        ("group_0_form", np.array("wavelets"), "tables, potts, distance"),
        ("group_0_scope", np.array([[77]]), "tables factors"),
        ("group_0_tables", np.array([[np.nan]]), "without NaN"),
    ],
)
def test_malformed_npz_names_the_array(
    tmp_path: Path, name: str, value: Any, expected: str
) -> None:
    path = tmp_path / "a.npz"
    NPZReader().write(random_problem(0), path)
    with np.load(path) as file:
        arrays: dict[str, Any] = dict(file)
    arrays.pop(name)
    if value is not None:
        arrays[name] = value
    np.savez(path, **arrays)
    with pytest.raises(FormatError) as caught:
        NPZReader().read(path)
    assert expected in str(caught.value)


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_text("hello")
    with pytest.raises(FormatError, match="an NPZ file"):
        NPZReader().read(path)


def test_bayesian_network_of_the_toulbar2_collection() -> None:
    data = os.environ.get("GROUNDSTATE_DATA")
    path = Path(data or "/nowhere", "map", "water.uai")
    if not path.exists():
        pytest.skip("GROUNDSTATE_DATA has no map/water.uai")
    energy = UAIReader().read(path)
    assert len(energy.counts) == 32
    for group in energy.graph.groups:
        assert isinstance(group, TableGroup)
        # conditional tables: the child is the last variable and changes fastest
        sums = (-group.tables).exp().sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-6, rtol=0)
    assert 7.9587631 < float(gs.solve(energy, MaxProduct(), steps=100).energy) < 8.5


def test_brute_force_solves_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "a.uai"
    path.write_text(GOOD)
    solution = gs.solve(UAIReader().read(path), BruteForce())
    assert solution.x.tolist() == [0, 1, 0]


@pytest.mark.parametrize("piece", [1, 7, 16, 64])
def test_words_and_comments_may_reach_across_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    path = tmp_path / "a.uai"
    path.write_text(GOOD.replace("\n4\n", "\n4 # 5 6 7 a long comment # 8 9\n# 10\n"))
    expected = UAIReader().read(path)
    monkeypatch.setattr(tokens, "PIECE", piece)
    labels, values = every_labelling(expected)
    assert torch.equal(UAIReader().read(path)(labels), values)
    path.write_text(path.read_text().replace("0.872", "0,872"))
    with pytest.raises(FormatError, match=r"a\.uai:13: expected one of 4 values"):
        UAIReader().read(path)
