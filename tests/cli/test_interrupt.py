"""Stopping by hand, by the clock or by force leaves what there was, whole."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Command, files
from torch import Tensor

from groundstate.plots import picture_png

Start = Callable[..., subprocess.Popen[str]]


def when(ready: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 60
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_stopped_leaves_its_report(
    number: signal.Signals, started: Start, here: Path
) -> None:
    flag = here / "flag"
    source = (here / "workshop.py").read_text()
    (here / "workshop.py").write_text(
        source.replace(
            "        done = int(",
            f"        open({str(flag)!r}, 'w').close()\n        done = int(",
            1,
        )
    )
    process = started(
        "run", "dots", "--json", "--set", "steps=1000000", "--set", "solver.sleep=0.01"
    )
    when(flag.exists, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopped by hand; the report has what there was" in err
    record = json.loads((here / "runs/dots/record.json").read_text())
    assert record["interrupted"]
    assert [row["status"] for row in record["solutions"]] == ["interrupted"]
    assert json.loads(out)["solutions"][0]["energy"] is not None
    assert "Stopped by hand" in (here / "runs/dots/report.html").read_text()
    assert {name.split("/")[0] for name in files(here / "runs")} == {"dots"}


def test_a_process_that_is_killed_leaves_the_earlier_run(
    started: Start, groundstate: Command, here: Path
) -> None:
    assert groundstate("run", "dots").code == 0
    before = (here / "runs/dots/record.json").read_text()
    process = started("run", "dots", "--set", "solver.sleep=1.0")
    when(lambda: len(os.listdir(here / "runs")) == 2, process)
    process.kill()
    process.communicate()
    assert (here / "runs/dots/record.json").read_text() == before
    assert groundstate("run", "dots").code == 0


def press(at: int, number: int = signal.SIGINT) -> Callable[[float], None]:
    """A sleep that gets a signal when it is called for that time."""
    calls = 0

    def sleep(seconds: float) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            signal.raise_signal(number)

    return sleep


@pytest.fixture
def interrupts(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a signal come at some call of `time.sleep`, which the workshop's parts make."""

    def at(call: int, number: int = signal.SIGINT) -> None:
        monkeypatch.setattr(time, "sleep", press(call, number))

    return at


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_best_until_then_is_kept_and_repeats(
    number: int, interrupts: Callable[..., None], groundstate: Command, here: Path
) -> None:
    interrupts(1 + 25, number)
    done = groundstate("run", "dots", "--json")
    assert done.code == 130
    (row,) = done.data["solutions"]
    assert row["status"] == "interrupted"
    assert row["steps"] == 24
    interrupts(-1)
    again = groundstate("run", "--record", "runs/dots/record.json", "--json")
    assert again.code == 0, again.err
    (repeated,) = again.data["solutions"]
    assert (repeated["digest"], repeated["energy"]) == (row["digest"], row["energy"])
    assert repeated["status"] == "out of steps"


def test_between_two_solvers_what_is_done_is_kept(
    interrupts: Callable[..., None], groundstate: Command, here: Path
) -> None:
    interrupts(1 + 40 + 1)  # while the second solver starts
    done = groundstate("run", "dots", "--json")
    assert done.code == 130
    assert [row["status"] for row in done.data["solutions"]] == ["out of steps"]
    assert json.loads((here / "runs/dots/record.json").read_text())["interrupted"]
    interrupts(-1)
    assert groundstate("run", "--record", "runs/dots/record.json").code == 0


def test_before_there_is_anything_nothing_is_left(
    interrupts: Callable[..., None], groundstate: Command, here: Path
) -> None:
    before = files(here)
    interrupts(1)
    done = groundstate("run", "dots")
    assert done.code == 130
    assert "stopped before there was anything to keep" in done.err
    assert files(here) == before


def test_while_the_report_is_written_nothing_is_lost(
    groundstate: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = picture_png

    name = "groundstate.report.picture_png"

    def interrupted(picture: Tensor) -> bytes:
        signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(name, drawn)
        return drawn(picture)

    monkeypatch.setattr(name, interrupted)
    done = groundstate("run", "dots")
    assert done.code == 0, done.err
    assert (here / "runs/dots/report.html").is_file()


def test_a_repeat_that_is_stopped_does_not_count_as_another_answer(
    interrupts: Callable[..., None], groundstate: Command
) -> None:
    assert groundstate("run", "dots").code == 0
    interrupts(1 + 25)
    done = groundstate("run", "--record", "runs/dots/record.json")
    assert done.code == 130
    assert "not the recorded one" not in done.err


def test_stopping_a_fit_keeps_its_checkpoint(
    interrupts: Callable[..., None], groundstate: Command, here: Path
) -> None:
    interrupts(20)
    done = groundstate("fit", "learn", "--json")
    assert done.code == 130
    assert done.data["status"] == "interrupted"
    interrupts(-1)
    rest = groundstate("fit", "learn", "--json")
    assert rest.code == 0
    whole = groundstate("fit", "learn", "--json", "--out", "runs/whole")
    assert rest.data["steps"] == whole.data["steps"] == 40
    assert rest.data["metrics"] == whole.data["metrics"]
