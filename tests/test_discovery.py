"""Plugins are found afresh each time, chosen by one vocabulary, and never loaded unasked."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import groundstate as gs
from groundstate.discovery import scan

Install = Callable[..., Path]

ONE = """
from groundstate import Component, hookimpl

def make(): return 1

@hookimpl
def groundstate_components():
    return [Component(kind="solver", name="{name}", target=make, summary="s", examples=lambda: [1])]
"""


def one(name: str) -> str:
    return ONE.format(name=name)


def states(registry: gs.Registry) -> dict[str, str]:
    return {plugin.name: plugin.state for plugin in registry.plugins}


def test_provenance_is_kept(install: Install) -> None:
    install("alpha-solvers", one("alpha"), entry="alpha", version="2.3")
    record = gs.load()["solver/alpha"]
    assert (record.distribution, record.version) == ("alpha-solvers", "2.3")
    assert record.origin == "entry point alpha = alpha_solvers"
    assert record.qualified == "alpha-solvers:solver/alpha"


def test_an_entry_point_may_name_an_object_in_a_module(install: Install) -> None:
    install("alpha", None)
    site = install("beta", None)
    (site / "alpha.py").write_text(
        "import types, sys\nfrom groundstate import hookimpl\nplugin = types.ModuleType('p')\n"
        "@hookimpl\ndef groundstate_components():\n    return []\n"
        "plugin.groundstate_components = groundstate_components\n"
    )
    (site / "beta-1.0.dist-info" / "entry_points.txt").write_text(
        "[groundstate]\nb = alpha:plugin\n"
    )
    registry = gs.load()
    assert registry.faults == ()
    assert states(registry)["b"] == "ready"


def test_a_lazy_package_is_not_made_to_load_its_names(install: Install) -> None:
    lazy = "def __dir__(): return ['heavy']\ndef __getattr__(n): raise SystemExit('loaded ' + n)\n"
    install("alpha", lazy + one("alpha"))
    assert gs.load().faults == ()


def test_what_a_plugin_prints_does_not_reach_standard_output(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("alpha", "print('hello')\n" + one("alpha"))
    gs.load()
    assert capsys.readouterr().out == ""


def test_a_plugin_installed_meanwhile_is_seen(install: Install) -> None:
    site = install("alpha", one("alpha"))
    assert "solver/beta" not in gs.load()
    install("beta", one("beta"))
    assert "solver/beta" in gs.load()
    for file in (site / "beta-1.0.dist-info").iterdir():
        file.unlink()
    (site / "beta-1.0.dist-info").rmdir()
    with pytest.warns(gs.PluginWarning, match="'beta', but no such plugin"):
        assert "solver/beta" not in gs.load()


def test_a_plugin_mended_meanwhile_loads(install: Install) -> None:
    site = install("alpha", "raise ImportError('not yet')")
    with pytest.warns(gs.PluginWarning, match="not yet"):
        gs.load()
    (site / "alpha.py").write_text(one("alpha") + "\n# mended\n")
    assert "solver/alpha" in gs.load()


def test_a_fault_is_warned_about_once(install: Install) -> None:
    install("alpha", "raise ImportError('broken')")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default")
        for _ in range(3):
            gs.load()
    assert len(told) == 1
    assert told[0].filename == __file__


def test_warnings_can_be_left_to_the_caller(install: Install) -> None:
    install("alpha", "raise ImportError('broken')")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(gs.load(warn=False).faults) == 1


# -- selection


@pytest.fixture
def three(install: Install, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("alpha", "beta", "gamma"):
        install(f"{name}-solvers", one(name), entry=name)
    return monkeypatch


def keys(registry: gs.Registry) -> list[str]:
    return [r.component.name for r in registry.components()]


@pytest.mark.parametrize("listed", ["alpha", "alpha-solvers", "Alpha_Solvers"])
def test_disabling_takes_a_plugin_or_a_distribution(three: pytest.MonkeyPatch, listed: str) -> None:
    assert keys(gs.load(disable=[listed])) == ["beta", "gamma"]
    three.setenv("GROUNDSTATE_DISABLE", listed)
    assert keys(gs.load()) == ["beta", "gamma"]


def test_disabling_adds_up_over_file_environment_and_call(
    three: pytest.MonkeyPatch, working_directory: Path
) -> None:
    (working_directory / "registry.toml").write_text(
        'schema = 1\n[settings]\ndisable = ["alpha"]\n'
    )
    three.setenv("GROUNDSTATE_DISABLE", "beta")
    three.setenv("GROUNDSTATE_ALLOW", "alpha,beta,gamma")
    assert keys(gs.load(disable=["gamma"])) == []


def test_of_allow_lists_the_nearest_counts(
    three: pytest.MonkeyPatch, working_directory: Path
) -> None:
    three.delenv("GROUNDSTATE_ALLOW")
    (working_directory / "registry.toml").write_text('schema = 1\n[settings]\nallow = ["alpha"]\n')
    assert keys(gs.load()) == ["alpha"]
    three.setenv("GROUNDSTATE_ALLOW", "beta gamma")
    assert keys(gs.load()) == ["beta", "gamma"]
    assert keys(gs.load(allow=["gamma"])) == ["gamma"]
    assert keys(gs.load(allow=[])) == []


@pytest.mark.parametrize("by", ["file", "environment", "call"])
@pytest.mark.parametrize("word", ["disable", "allow"])
def test_a_listed_name_that_nobody_has_warns(
    three: pytest.MonkeyPatch, working_directory: Path, by: str, word: str
) -> None:
    options: dict[str, Any] = {}
    if by == "file":
        text = f'schema = 1\n[settings]\n{word} = ["alpah", "beta", "gamma"]\n'
        (working_directory / "registry.toml").write_text(text)
        if word == "allow":
            three.delenv("GROUNDSTATE_ALLOW")
    elif by == "environment":
        three.setenv(f"GROUNDSTATE_{word.upper()}", "alpah,beta,gamma")
    else:
        options[word] = ["alpah", "beta", "gamma"]
    place = {"file": "registry.toml:3", "environment": f"GROUNDSTATE_{word.upper()}"}.get(by, word)
    message = f"{place}.* lists the plugin 'alpah', but no such plugin.*Did you mean 'alpha'"
    with pytest.warns(gs.PluginWarning, match=message):
        registry = gs.load(**options)
    assert len(registry.unknown) == 1


def test_an_allowed_plugin_that_only_the_file_knows_comes_with_its_install_line(
    install: Install, working_directory: Path
) -> None:
    text = (
        'schema = 1\n[plugins.far]\ndistribution = "groundstate-far"\nprovides = ["solver/far"]\n'
    )
    (working_directory / "registry.toml").write_text(text)
    with pytest.warns(gs.PluginWarning, match="pip install groundstate-far"):
        gs.load(allow=["far"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gs.load(allow=[], disable=["far"])  # switching off what is not there is no slip


@pytest.mark.parametrize("by", ["environment", "call"])
def test_no_plugins_at_all(three: pytest.MonkeyPatch, by: str) -> None:
    if by == "environment":
        three.setenv("GROUNDSTATE_NO_PLUGINS", "1")
    registry = gs.load(plugins=by != "call")
    assert keys(registry) == []
    assert set(states(registry).values()) <= {"disabled"}


@pytest.mark.parametrize("value", ["0", "false", "no", ""])
def test_a_no_is_a_no(three: pytest.MonkeyPatch, value: str) -> None:
    three.setenv("GROUNDSTATE_NO_PLUGINS", value)
    assert len(gs.load()) == 3


# -- metadata


def test_stale_metadata_is_told_and_the_first_on_the_path_is_used(install: Install) -> None:
    install("alpha", one("old"), version="1.0", folder="stale")
    site = install("alpha", one("new"), version="2.0", folder="site")
    with pytest.warns(gs.PluginWarning, match="installed twice") as told:
        registry = gs.load()
    assert len(told) == 1
    text = str(told[0].message)
    assert text.startswith("alpha 1.0 (plugin 'alpha')")
    assert f"version 2.0 in {site}" in text
    assert "pip uninstall alpha" in text
    assert registry["solver/new"].version == "2.0"


def test_the_same_metadata_seen_twice_is_no_fault(install: Install) -> None:
    install("alpha", one("alpha"), folder="twin")
    install("alpha", one("alpha"), folder="site")
    assert gs.load().faults == ()


def test_stale_metadata_without_the_entry_point_hides_nothing(install: Install) -> None:
    site = install("alpha", None, version="0.9", folder="first")
    (site / "alpha-0.9.dist-info" / "entry_points.txt").unlink()
    second = install("alpha", one("alpha"), folder="second")
    sys.path.remove(str(second))
    sys.path.append(str(second))
    assert "solver/alpha" in gs.load()


def test_a_distribution_without_metadata_has_the_name_of_its_folder(install: Install) -> None:
    site = install("alpha", one("alpha"))
    (site / "alpha-1.0.dist-info" / "METADATA").unlink()
    assert gs.load()["solver/alpha"].distribution == "alpha"


def test_the_scan_is_sorted(three: pytest.MonkeyPatch) -> None:
    found = [source.name for source in scan()[0] if source.distribution.endswith("-solvers")]
    assert found == ["alpha", "beta", "gamma"]


def test_loading_survives_a_bare_interpreter(tmp_path: Path) -> None:
    """With warnings as errors off and nothing but the core to see."""
    environment = {**os.environ, "GROUNDSTATE_NO_PLUGINS": "1"}
    code = "import groundstate as gs; print(len(gs.load()))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.stderr) == ("0", "")
