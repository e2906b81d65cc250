"""Each hostile plugin ends as one clear line; its neighbour works; strict mode raises."""

import tomllib
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import groundstate as gs

Install = Callable[..., Path]
Case = dict[str, Any]

CASES: dict[str, Case] = tomllib.loads(
    Path(__file__).with_name("hostile").joinpath("cases.toml").read_text()
)

GOOD = """
from groundstate import Component, hookimpl

def make(steps: int = 1): return steps
def examples(): return [make()]

@hookimpl
def groundstate_components():
    for name in ("good", "fine"):
        yield Component(
            kind="solver", name=name, target="good_neighbour:make", summary="works",
            examples="good_neighbour:examples",
        )
"""


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest, install: Install) -> Case:
    name = request.param
    install("good-neighbour", GOOD)
    install(name, CASES[name].get("code"))
    return {"name": name, "kept": [], **CASES[name]}


def quietly() -> gs.Registry:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", gs.PluginWarning)
        return gs.load()


def assert_tells(line: str, pieces: Iterable[str], name: str) -> None:
    assert "\n" not in line
    assert line.startswith(f"{name} 1.0 (plugin {name!r}): ")
    for piece in pieces:
        assert piece in line


def test_loading_tells_one_line_and_goes_on(case: Case) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        registry = gs.load()
    mine = [str(w.message) for w in told if w.category is gs.PluginWarning]
    assert mine == [str(fault) for fault in registry.faults]
    assert len(mine) == ("told" in case)
    for line in mine:
        assert_tells(line, case["told"], case.get("blames", case["name"]))
    kept = {r.key for r in registry.components() if r.distribution == case["name"]}
    assert kept >= set(case["kept"])
    assert registry.build("solver/fine", steps=3) == 3
    assert registry.build("good-neighbour:solver/good") == 1


def test_the_plugin_is_listed_with_its_state(case: Case) -> None:
    row = next(p for p in quietly().plugins if p.distribution == case["name"])
    states = (
        {"ready"}
        if "use" in case or "which belongs" in str(case["told"])
        else {"broken", "partial"}
    )
    assert row.state in states
    assert (row.version, row.name) == ("1.0", case["name"])


def test_strict_mode_raises(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUNDSTATE_STRICT", "1")
    if "told" in case:
        with pytest.raises(gs.PluginError) as error:
            gs.load()
        assert_tells(str(error.value), case["told"], case.get("blames", case["name"]))
    else:
        registry = gs.load()
        with pytest.raises(gs.PluginError) as error:
            registry.deep_faults()
        assert_tells(str(error.value).splitlines()[0], case["used"], case["name"])


@pytest.mark.parametrize("name", sorted(n for n, c in CASES.items() if "use" in c))
def test_a_fault_that_only_use_shows(name: str, install: Install) -> None:
    install("good-neighbour", GOOD)
    install(name, CASES[name]["code"])
    registry = quietly()
    if not CASES[name].get("deep_only"):
        with pytest.raises(gs.PluginError) as error:
            registry.build(CASES[name]["use"])
        assert_tells(str(error.value), CASES[name]["used"], name)
    told = [str(fault) for fault in registry.deep_faults()]
    mine = [line for line in told if line.startswith(name)]
    assert len(mine) == 1
    assert_tells(mine[0], CASES[name]["used"], name)
    assert len(told) == 1


def test_a_disabled_plugin_is_not_even_imported(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDSTATE_DISABLE", case["name"])
    registry = gs.load()
    assert registry.faults == ()
    assert registry.build("solver/good") == 1
    assert next(p.state for p in registry.plugins if p.name == case["name"]) == "disabled"


def test_keyboard_interrupt_passes(install: Install) -> None:
    install("interrupted", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        gs.load()
