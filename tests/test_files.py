"""Files and folders are written whole or not at all."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from groundstate.errors import OutputError
from groundstate.files import atomic, atomic_folder, check_writable, json_text, write_text
from groundstate.interrupts import deferred

MARK = "record.json"


def fill(folder: Path, text: str = "new") -> None:
    with atomic_folder(folder, mark=MARK) as draft:
        (draft / MARK).write_text(text)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_failure_leaves_the_earlier_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "one")
    with pytest.raises(RuntimeError), atomic(path) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert path.read_text() == "one"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_draft_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic(tmp_path / "a.tar.gz") as draft:
        assert draft.suffix == ".gz"
        draft.touch()


def test_an_earlier_run_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x"
    fill(folder, "one")
    (folder / "picture.png").touch()
    with pytest.raises(KeyboardInterrupt), atomic_folder(folder, mark=MARK) as draft:
        (draft / MARK).write_text("half")
        assert (folder / MARK).read_text() == "one"
        raise KeyboardInterrupt
    assert (folder / MARK).read_text() == "one"
    fill(folder, "two")
    assert os.listdir(folder) == [MARK]
    assert (folder / MARK).read_text() == "two"
    assert os.listdir(folder.parent) == ["x"]


def test_a_failure_leaves_nothing_not_even_parents(tmp_path: Path) -> None:
    with pytest.raises(ValueError), atomic_folder(tmp_path / "a" / "b" / "x", mark=MARK):
        raise ValueError
    assert not os.listdir(tmp_path)


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    fill(tmp_path / "x")
    assert (tmp_path / "x" / MARK).read_text() == "new"


def test_a_link_goes_on_pointing_at_the_folder(tmp_path: Path) -> None:
    fill(tmp_path / "real", "one")
    (tmp_path / "link").symlink_to("real")
    fill(tmp_path / "link", "two")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / MARK).read_text() == "two"


def test_what_is_not_ours_is_refused_before_work(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"it has no record\.json\); choose another folder"):
        fill(foreign)
    with pytest.raises(OutputError, match="it is a file"):
        fill(foreign / "thesis.tex")
    assert os.listdir(foreign) == ["thesis.tex"]


@pytest.mark.parametrize("name", ["file/x", "file/deep/x", "/proc/x"])
def test_what_cannot_be_written_is_told_before_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / name
    with pytest.raises(OutputError, match=r"x cannot be written: .*choose another place") as caught:
        fill(place)
    assert ("file is a file" in str(caught.value)) == ("file" in name)
    with pytest.raises(OutputError, match="cannot be written"):
        check_writable(place)
    assert os.listdir(tmp_path) == ["file"]


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    check_writable(tmp_path / "not" / "there" / "yet")
    assert not os.listdir(tmp_path)
    with pytest.raises(OutputError, match="is a folder; name a file"):
        check_writable(tmp_path)


DEAD = 2**22 + 1  # above the largest process number of Linux


def test_an_earlier_run_that_a_killed_one_put_aside_comes_back(tmp_path: Path) -> None:
    aside = tmp_path / f".x.{DEAD}-abcdefgh.old"
    aside.mkdir()
    (aside / MARK).write_text("one")
    with pytest.raises(ValueError), atomic_folder(tmp_path / "x", mark=MARK):
        raise ValueError
    assert (tmp_path / "x" / MARK).read_text() == "one"


def test_drafts_of_killed_runs_go_after_a_day_and_others_stay(tmp_path: Path) -> None:
    long_ago = time.time() - 48 * 3600
    names = {
        "stale": f".x.{DEAD}-abcdefgh",
        "fresh": f".x.{DEAD}-abcdefg1",
        "alive": f".x.{os.getpid()}-abcdefgh",
        "another": f".x.y.{DEAD}-abcdefgh",
        "theirs": ".x.backup",
    }
    for name in names.values():
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").touch()
        os.utime(tmp_path / name, (long_ago, long_ago))
    os.utime(tmp_path / names["fresh"])
    fill(tmp_path / "x")
    assert set(os.listdir(tmp_path)) == {"x", *names.values()} - {names["stale"]}


KILLED = """
import os, signal, sys
from pathlib import Path
from groundstate.files import atomic_folder
with atomic_folder(Path(sys.argv[1]), mark="record.json") as draft:
    (draft / "record.json").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("before", [None, "one"])
def test_a_killed_run_leaves_the_earlier_one_or_none(before: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    if before is not None:
        fill(folder, before)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert folder.exists() == (before is not None)
    if before is not None:
        assert (folder / MARK).read_text() == before
    fill(folder, "two")
    assert (folder / MARK).read_text() == "two"


def test_json_has_no_word_that_json_does_not_know() -> None:
    data = {"a": float("nan"), "b": [1.5, float("inf"), {"c": -float("inf")}], "d": (1, "x", None)}
    text = json_text(data)
    assert json.loads(text) == {"a": None, "b": [1.5, None, {"c": None}], "d": [1, "x", None]}


def test_an_interrupt_waits_for_the_block() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(signal.SIGINT)
        done.append("whole")
    assert done == ["whole"]
    with deferred(forget=True):
        signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):  # and afterwards all is as before
        signal.raise_signal(signal.SIGINT)


def test_a_second_interrupt_does_not_wait() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), deferred():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        done.append("never")
    assert not done
