"""The command line in a folder of its own, with a plugin in one file."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from groundstate.cli import main

HERE = Path(__file__).parent

REGISTRY = """schema = 1

[plugins.workshop]
module = "./workshop.py"
provides = [
    "dataset/dots", "dataset/means", "energy/bowl", "solver/wander", "solver/picky",
    "solver/labels", "metric/distance", "model/slope", "loss/square", "learner/descend",
    "generator/exact",
]

[presets."solver/wander"]
rate = 0.2

[pipelines.dots]
summary = "find the <dots>"
seed = 7
steps = 40
dataset = { use = "dataset/dots", size = 4 }
energy = { use = "energy/bowl", target = "@dataset.target" }
solver = "solver/wander"
metrics = ["metric/distance"]
compare = [{ use = "solver/wander", rate = 0.5 }]

[pipelines.photo]
summary = "a real photo"
dataset = { use = "dataset/photo", image = "coffee" }
energy = { use = "energy/bowl", target = "@dataset.unary" }
solver = "solver/wander"

[pipelines.learn]
summary = "learn the means"
steps = 40
dataset = "dataset/means"
model = "model/slope"
loss = "loss/square"
learner = { use = "learner/descend", loss = "@loss" }
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The JSON it printed, which must be strict."""

        def refuse(word: str) -> float:
            raise AssertionError(f"{word} is no JSON")

        return json.loads(self.out, parse_constant=refuse)


Command = Callable[..., Outcome]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> Path:
    """A working directory with a registry and its plugin."""
    folder = tmp_path / "here"
    folder.mkdir()
    shutil.copy(HERE / "workshop.py", folder)
    (folder / "registry.toml").write_text(REGISTRY)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def groundstate(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Command:
    """Run a command in this process."""

    def command(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["groundstate", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capfd.readouterr()
        code = leaving.value.code
        assert isinstance(code, int)
        return Outcome(code=code, out=captured.out, err=captured.err)

    return command


@pytest.fixture
def started(here: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start a command in a process of its own."""

    def start(*arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "groundstate", *arguments],
            cwd=here,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    return start


def files(folder: Path) -> set[str]:
    """Everything in a folder, hidden files included."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"__pycache__"}
