"""`groundstate run`: what it writes, how it ends, and that it can be repeated."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command, files


def test_it_writes_a_folder_and_prints_a_table(groundstate: Command, here: Path) -> None:
    done = groundstate("run", "dots")
    assert done.code == 0, done.err
    assert "solver/wander#2" in done.out
    assert "out of steps" in done.out
    assert "report: runs/dots/report.html" in done.err
    assert files(here / "runs") == {
        "dots",
        "dots/record.json",
        "dots/metrics.json",
        "dots/report.html",
        "dots/pictures",
        "dots/pictures/input-row.png",
        "dots/pictures/solver-wander-row.png",
        "dots/pictures/solver-wander-2-row.png",
        "dots/pictures/energies.svg",
    }


def test_its_json_is_the_contract(groundstate: Command) -> None:
    done = groundstate("run", "dots", "--json")
    assert done.code == 0
    data = done.data
    assert [row["solver"] for row in data["solutions"]] == ["solver/wander", "solver/wander#2"]
    for row in data["solutions"]:
        assert {"solver", "energy", "bound", "status", "steps", "seconds"} <= set(row)
        assert row["status"] == "out of steps"
        assert row["steps"] == 40
    assert data["metrics"]["solver/wander"]["distance"] < 0.2
    assert Path(data["report"]).is_file()


def test_the_report_needs_no_other_file(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    page = (here / "runs" / "dots" / "report.html").read_text()
    assert "find the &lt;dots&gt;" in page
    assert page.count("data:image/png;base64,") == 3
    assert "<svg" in page
    for outside in (
        "src='http",
        'src="http',
        "href='http",
        'href="http',
        "url(http",
        "@import",
        "<script",
    ):
        assert outside not in page


def test_the_record_has_all_it_takes_to_repeat(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots", "--set", "compare.0.rate=0.3", "--set", "seed=3")
    record = json.loads((here / "runs" / "dots" / "record.json").read_text())
    assert record["pipeline"]["seed"] == 3
    assert record["pipeline"]["solver"] == {"use": "solver/wander", "rate": 0.2}  # by the preset
    assert record["pipeline"]["compare"] == [{"use": "solver/wander", "rate": 0.3}]
    assert record["plugins"] == {"workshop": ""}
    assert record["registry"] == [str(here / "registry.toml")]
    assert {"python", "torch", "threads", "cores", "processor"} <= set(record["machine"])
    assert not record["interrupted"]


def digests(folder: Path) -> dict[str, Any]:
    record = json.loads((folder / "record.json").read_text())
    return {row["solver"]: (row["digest"], row["energy"]) for row in record["solutions"]}


CUT = ("--set", "seconds=0.05", "--set", "steps=100000")


@pytest.mark.parametrize(
    "options",
    [(), CUT, (*CUT, "--set", "solver.sweep=100000000", "--set", "compare.0.sweep=100000000")],
)
def test_a_record_is_repeated_step_for_step(
    options: tuple[str, ...], groundstate: Command, here: Path
) -> None:
    assert groundstate("run", "dots", *options).code == 0
    first = digests(here / "runs" / "dots")
    text = (here / "registry.toml").read_text()
    assert "rate = 0.2" in text
    # neither changed presets and pipelines nor another working directory play a part
    (here / "registry.toml").write_text(
        text.replace("rate = 0.2", "rate = 0.01").replace("seed = 7", "seed = 8")
    )
    done = groundstate("run", "--record", here / "runs" / "dots" / "record.json")
    assert done.code == 0, done.err
    assert "bit for bit" in done.err
    assert digests(here / "runs" / "dots-repeat") == first
    assert digests(here / "runs" / "dots") == first


def test_a_record_that_does_not_come_out_again_is_told(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    path = here / "runs" / "dots" / "record.json"
    record = json.loads(path.read_text())
    record["pipeline"]["seed"] = 8
    path.write_text(json.dumps(record))
    done = groundstate("run", "--record", path)
    assert done.code == 1
    assert "solver/wander: its configuration is not the recorded one" in done.err


def test_a_record_finds_the_registry_it_was_made_with(
    groundstate: Command, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groundstate("run", "dots")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = groundstate("run", "--record", here / "runs" / "dots" / "record.json")
    assert done.code == 0, done.err
    assert files(elsewhere / "runs") >= {"dots-repeat/record.json"}


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["dots"], "a pipeline"),
        (["--set", "seed=1"], "--set"),
        (["--seconds", "1", "--set", "seed=1"], "--set, --seconds"),
    ],
)
def test_a_record_is_repeated_as_it_was_or_not_at_all(
    more: list[str], named: str, groundstate: Command, here: Path
) -> None:
    groundstate("run", "dots")
    before = files(here)
    done = groundstate("run", *more, "--record", "runs/dots/record.json")
    assert done.code == 2
    assert f"cannot go with {named}." in done.err
    assert files(here) == before


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raises", "ZeroDivisionError: the third step divides by zero"),
        ("exits", "RuntimeError"),
        ("lies", "Wander claims an energy of"),
    ],
)
def test_a_solver_that_fails_costs_only_its_own_row(
    fault: str, words: str, groundstate: Command, here: Path
) -> None:
    done = groundstate("run", "dots", "--set", f"solver.fault={fault}", "--json")
    assert done.code == 1
    bad, good = done.data["solutions"]
    assert bad["status"] == "error"
    assert words in bad["error"]
    assert bad["energy"] is None
    assert good["status"] == "out of steps"
    assert list(done.data["metrics"]) == ["solver/wander#2"]
    assert words in (here / "runs" / "dots" / "report.html").read_text()
    shown = groundstate("run", "dots", "--set", f"solver.fault={fault}")
    assert shown.code == 1
    assert f"solver/wander: {words}" in shown.err
    assert "Traceback" not in shown.err


def test_a_solver_that_cannot_be_made_costs_only_its_own_row(groundstate: Command) -> None:
    done = groundstate(
        "run", "dots", "--set", "solver.use=solver/picky", "--set", "solver.energy=@energy"
    )
    assert done.code == 1
    assert done.err.count("solver/picky") == 1
    assert "solver/picky: `energy` has the wrong colour" in done.err


def test_what_diverged_is_a_row_of_its_own(groundstate: Command) -> None:
    done = groundstate("run", "dots", "--set", "solver.fault=diverges", "--json")
    assert done.code == 1
    assert [row["status"] for row in done.data["solutions"]] == ["diverged", "out of steps"]
    assert done.data["solutions"][0]["energy"] < 0  # the best before


def test_a_metric_that_fails_costs_only_itself(groundstate: Command, here: Path) -> None:
    (here / "registry.toml").write_text(
        (here / "registry.toml")
        .read_text()
        .replace(
            'metrics = ["metric/distance"]',
            'metrics = [{ use = "metric/distance", broken = true }]',
        )
    )
    done = groundstate("run", "dots", "--json")
    assert done.code == 1
    for row in done.data["solutions"]:
        assert row["error"] == "metric/distance: ValueError: it measures nothing"
        assert row["energy"] < 0
    assert (here / "runs" / "dots" / "report.html").is_file()


def test_a_picture_that_cannot_be_drawn_costs_only_itself(groundstate: Command, here: Path) -> None:
    done = groundstate("run", "dots", "--set", "dataset.drawable=false")
    assert done.code == 0
    page = (here / "runs" / "dots" / "report.html").read_text()
    assert "no pictures, ValueError: this cannot be drawn" in page
    assert page.count("data:image/png") == 1


def test_seconds_end_every_solver(groundstate: Command) -> None:
    done = groundstate("run", "dots", "--seconds", "0.05", "--set", "steps=1000000", "--json")
    assert done.code == 0
    assert [row["status"] for row in done.data["solutions"]] == ["out of time"] * 2
    assert all(row["seconds"] < 0.5 for row in done.data["solutions"])


def test_an_earlier_run_is_replaced(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    (here / "runs" / "dots" / "old").touch()
    assert groundstate("run", "dots").code == 0
    assert not (here / "runs" / "dots" / "old").exists()
