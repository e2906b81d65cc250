"""`groundstate solve` as its users see it: curves, and scores against a known optimum."""

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
