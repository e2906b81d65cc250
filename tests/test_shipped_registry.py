"""The shipped registry file says what the plugins folder and the plugins' hooks say."""

from pathlib import Path

import pytest

import groundstate as gs
from groundstate.configuration import shipped_file
from groundstate.validation import validate

FOLDER = shipped_file().parent / "plugins"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/pyproject.toml"))

pytestmark = pytest.mark.usefixtures("working_directory")


def test_each_plugin_folder_has_an_entry_and_each_entry_a_folder() -> None:
    entries = gs.load(plugins=False).configuration.plugins
    assert sorted(entries) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_provides_what_the_hook_registers(name: str) -> None:
    registry = gs.load(allow=[name], warn=False)
    entry = registry.configuration.plugins[name]
    assert [str(fault) for fault in registry.faults] == []
    assert {record.key for record in registry.components()} == set(entry.provides)
    assert {record.distribution for record in registry.components()} == {entry.distribution}


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_has_the_shape_of_a_plugin(name: str) -> None:
    package = f"groundstate_{name.replace('-', '_')}"
    expected = ["README.md", "pyproject.toml", "tests", package]
    assert [part for part in expected if not Path(FOLDER, name, part).exists()] == []


def test_the_shipped_file_has_no_fault_however_deep_one_looks() -> None:
    assert [str(fault) for fault in validate(gs.load(warn=False), deep=True)] == []


def test_every_shipped_component_can_be_imported_and_has_settings_and_examples() -> None:
    assert [str(fault) for fault in gs.load(warn=False).deep_faults()] == []
