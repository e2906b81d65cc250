"""`groundstate solve` as its users see it: curves, and scores against a known optimum."""

import gzip
import lzma
import math
from pathlib import Path

import pytest
from tests.cli.conftest import Command

CHAIN = """MARKOV
3
2 2 2
2
2 0 1
2 1 2

4
 1.0 0.5
 0.5 0.25

4
 0.25 1.0
 0.5 0.5
"""
"""The best labels are 0 0 1, of energy 0."""


@pytest.fixture
def chain(here: Path) -> Path:
    (here / "chain.uai").write_text(CHAIN)
    return here


def test_scores_tell_how_far_above_a_reference(groundstate: Command, chain: Path) -> None:
    given = ("solve", "chain.uai", "--solver", "brute-force", "--solver", "max-product")
    done = groundstate(*given, "--reference", "-2", "--json")
    assert done.code == 0, done.err
    answer = done.data
    assert {each["solver"] for each in answer["solutions"]} == set(answer["metrics"])
    for score in answer["metrics"].values():
        assert score == {"above": pytest.approx(1.0, abs=1e-6), "rank": 1.0}
    table = groundstate(*given, "--reference", "0")
    assert "above" in table.out and "rank" in table.out


def test_without_a_reference_nothing_is_scored(groundstate: Command, chain: Path) -> None:
    done = groundstate("solve", "chain.uai", "--solver", "brute-force", "--json")
    assert done.data["metrics"] == {}


def test_curves_are_drawn(groundstate: Command, chain: Path) -> None:
    done = groundstate("solve", "chain.uai", "--solver", "max-product", "--plot", "curves.svg")
    assert done.code == 0, done.err
    picture = (chain / "curves.svg").read_text()
    assert picture.lstrip().startswith("<?xml") or "<svg" in picture
    assert "max-product" in picture


def test_a_plot_that_cannot_be_written_is_told_before_work(
    groundstate: Command, chain: Path
) -> None:
    done = groundstate("solve", "chain.uai", "--plot", "chain.uai/curves.svg")
    assert done.code == 2
    assert "chain.uai is a file" in done.err


@pytest.mark.parametrize("packed", [".gz", ".xz"])
def test_compressed_files_are_solved(groundstate: Command, chain: Path, packed: str) -> None:
    opener = gzip.open if packed == ".gz" else lzma.open
    with opener(chain / f"packed.uai{packed}", "wt") as file:
        file.write(CHAIN)
    with opener(chain / f"costs.wcsp{packed}", "wt") as file:
        file.write("costs 2 2 1 9\n2 2\n2 0 1 5 1\n1 1 3\n")
    for name, energy in ((f"packed.uai{packed}", 0.0), (f"costs.wcsp{packed}", 3.0)):
        done = groundstate("solve", name, "--solver", "brute-force", "--json")
        assert done.code == 0, done.err
        assert done.data["solutions"][0]["energy"] == pytest.approx(energy)


def test_evidence_is_held_and_the_rest_is_solved(groundstate: Command, chain: Path) -> None:
    (chain / "given.evid").write_text("1\n2 0 1 2 0\n")
    given = ("solve", "chain.uai", "--evidence", "given.evid", "--solver", "brute-force")
    done = groundstate(*given, "--out", "labels", "--json")
    assert done.code == 0, done.err
    # psi(1, y) psi(y, 0) is 0.125 for both labels of the middle variable
    assert done.data["solutions"][0]["energy"] == pytest.approx(math.log(8), abs=1e-6)
    assert done.data["solutions"][0]["status"] == "optimal"
    labels = (chain / "labels").read_text().split()
    assert labels[:3] == ["MPE", "3", "1"] and labels[4] == "0"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "given.evid: there is no such file"),
        ("1 7 0\n", "given.evid:1: expected variable 1 of 1, 0 to 2, found '7'"),
        ("2\n1 0 0\n1 0 1\n", "expected one sample of evidence"),
    ],
)
def test_evidence_that_does_not_fit_is_refused(
    groundstate: Command, chain: Path, content: str | None, words: str
) -> None:
    if content is not None:
        (chain / "given.evid").write_text(content)
    done = groundstate("solve", "chain.uai", "--evidence", "given.evid")
    assert done.code == 2
    assert words in done.err
