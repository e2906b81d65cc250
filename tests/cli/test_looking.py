"""Commands that look: what they print, their JSON, and that they load nothing heavy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import REGISTRY, Command


def test_plugins(groundstate: Command) -> None:
    data = groundstate("plugins", "--json").data
    row = next(each for each in data["plugins"] if each["name"] == "gcrf")
    assert {"name", "distribution", "version", "state", "origin", "provides", "install"} <= set(row)
    assert row["distribution"] == "groundstate-gcrf"
    assert row["state"] == "ready"
    assert "solver/cg" in row["provides"]
    assert isinstance(data["faults"], list)
    shown = groundstate("plugins")
    assert shown.code == 0
    assert shown.out.startswith("PLUGIN")
    assert "workshop" in shown.out


def test_components(groundstate: Command) -> None:
    data = groundstate("components", "--json").data
    assert all(
        {"key", "kind", "name", "distribution", "version", "summary"} <= set(row) for row in data
    )
    keys = {row["key"] for row in data}
    assert {"solver/cg", "energy/grid-gcrf", "solver/wander"} <= keys
    solvers = groundstate("components", "solver", "--json").data
    assert {row["kind"] for row in solvers} == {"solver"}
    assert "solver/cg" in groundstate("components", "solver").out


@pytest.mark.parametrize("arguments", [["components", "solvr"], ["components", "solvers"]])
def test_an_unknown_kind_is_told(arguments: list[str], groundstate: Command) -> None:
    done = groundstate(*arguments)
    assert done.code == 2
    assert "Did you mean 'solver'?" in done.err


def test_without_plugins(groundstate: Command) -> None:
    assert "solver/cg" not in groundstate("components", "--no-plugins").out


def test_show(groundstate: Command) -> None:
    data = groundstate("show", "solver/cg", "--json").data
    assert data["key"] == "solver/cg"
    assert data["needs"] == ["Quadratic"]
    assert "settings" not in data
    deep = groundstate("show", "solver/wander", "--deep", "--json").data
    rate = next(each for each in deep["settings"] if each["name"] == "rate")
    assert rate == {"name": "rate", "required": False, "default": "0.1", "text": "of a step."}
    assert deep["schema"]["properties"]["rate"]["exclusiveMinimum"] == 0.0
    shown = groundstate("show", "energy/bowl", "--deep").out
    assert "target  (required)" in shown
    assert groundstate("show", "solver/cgg").code == 2


def test_explain(groundstate: Command, here: Path) -> None:
    data = groundstate("explain", "dots", "--json").data
    solver = next(part for part in data["parts"] if part["role"] == "solver")
    assert solver["use"] == "solver/wander"
    assert solver["settings"] == [
        {
            "name": "rate",
            "value": 0.2,
            "reason": f"preset, {here / 'registry.toml'}:{_line('rate = 0.2')}",
        }
    ]
    shown = groundstate("explain", "dots")
    assert shown.code == 0
    assert "rate = 0.2  (preset" in shown.out
    assert "sleep = 0.0  (default)" in groundstate("explain", "dots", "--deep").out
    assert groundstate("explain", "dotz").code == 2


def _line(text: str) -> int:
    return next(i for i, line in enumerate(REGISTRY.splitlines(), 1) if text in line)


def test_validate(groundstate: Command, here: Path) -> None:
    good = groundstate("validate")
    assert (good.code, good.err) == (0, "")
    assert good.out.startswith("no faults in ")
    assert groundstate("validate", "--json").data["faults"] == []
    (here / "registry.toml").write_text(
        REGISTRY.replace("rate = 0.5", "rate = -0.5").replace("seed = 7", "sede = 7")
    )
    shallow = groundstate("validate", "--json")
    assert shallow.code == 1
    (fault,) = shallow.data["faults"]
    assert fault == {
        "file": str(here / "registry.toml"),
        "line": _line("seed = 7"),
        "path": "pipelines.dots.sede",
        "message": fault["message"],
    }
    assert "Did you mean 'seed'?" in fault["message"]
    deep = groundstate("validate", "--deep")
    assert deep.code == 1
    assert "compare[0].rate: must be greater than 0; got -0.5." in deep.out


def test_doctor(groundstate: Command) -> None:
    done = groundstate("doctor", "--json")
    data = done.data
    assert data["ok"] == (done.code == 0)
    assert {"what", "found", "cure"} == set(data["checks"][0])
    assert {"python", "torch", "plugin gcrf"} <= {check["what"] for check in data["checks"]}
    assert "torch" in groundstate("doctor").out


HEAVY = ["torch", "numpy", "jaxtyping", "scipy", "matplotlib", "PIL"]
SHOWN = """
import sys
sys.argv = ["groundstate", *sys.argv[1:]]
from groundstate.cli import main
try:
    main()
except SystemExit as leaving:
    print(leaving.code, *sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["plugins"],
        ["components", "--json"],
        ["show", "solver/cg"],
        ["explain", "dots", "--json"],
        ["explain", "colorize"],
        ["validate"],
    ],
    ids=" ".join,
)
def test_looking_loads_nothing_heavy(arguments: list[str], here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, *arguments], cwd=here, capture_output=True, text=True
    )
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    assert set(modules).isdisjoint(HEAVY)
    if arguments[0] in ("plugins", "components"):
        assert set(modules).isdisjoint(["typer", "rich"])


def test_a_reader_that_has_enough_is_no_error(here: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "groundstate", "components"],
        cwd=here,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 0


def test_json_is_all_there_is_on_stdout(groundstate: Command) -> None:
    for command in (["plugins"], ["validate"], ["explain", "dots"], ["run", "dots"]):
        done = groundstate(*command, "--json")
        json.loads(done.out)
