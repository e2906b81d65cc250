"""The shape of the repository: the core knows no plugin, and what the files say of each other."""

import ast
import re
import subprocess
import sys
import tomllib
import warnings
from importlib.metadata import entry_points, packages_distributions
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError

import groundstate as gs

ROOT = Path(__file__).parent.parent
CORE = ROOT / "framework" / "groundstate"
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))
MODULES = sorted(
    path
    for folder in ("framework", "plugins", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "tests" not in path.parts
)
LONGEST = 400


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def registry() -> gs.Registry:
    """What the shipped file and the plugins of this repository say, whatever else is installed."""
    return gs.load(ROOT / "registry.toml", allow=[folder.name for folder in PLUGINS])


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", sorted(CORE.rglob("*.py")), ids=lambda p: str(p.relative_to(CORE)))
def test_core_imports_no_plugin(path: Path) -> None:
    assert not {name for name in imports(path) if name.startswith("groundstate_")}


def test_core_names_no_algorithm() -> None:
    """Nothing in the core asks for a component of a plugin by name."""
    keys = {key for entry in registry().configuration.plugins.values() for key in entry.provides}
    named: dict[str, set[str]] = {}
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in keys:
                named.setdefault(str(path.relative_to(CORE)), set()).add(str(node.value))
    assert not named


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda p: p.name)
def test_plugin_has_the_shape(folder: Path) -> None:
    package = f"groundstate_{folder.name.replace('-', '_')}"
    described: dict[str, Any] = read(folder / "pyproject.toml")
    assert set(described.get("tool", {})) <= {"hatch"}, "pytest, ruff, pyright: the root's file"
    project = described["project"]
    assert project["name"] == f"groundstate-{folder.name}"
    assert project["entry-points"] == {"groundstate": {folder.name: package}}
    for name in ("README.md", f"{package}/py.typed"):
        assert (folder / name).is_file(), f"{folder.name} lacks {name}"
    tests = [path.read_text(encoding="utf-8") for path in (folder / "tests").glob("test_*.py")]
    assert any(f'parametrize_laws("{folder.name}"' in text for text in tests), "held to no law"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda p: p.name)
def test_plugin_readme_names_every_component(folder: Path) -> None:
    text = (folder / "README.md").read_text(encoding="utf-8")
    (plugin,) = [each for each in registry().plugins if each.name == folder.name]
    assert not [key for key in plugin.provides if f"`{key}`" not in text]


def test_registry_lists_the_plugins_and_what_their_hooks_give() -> None:
    known = registry()
    assert not known.faults and not known.unknown
    listed = known.configuration.plugins
    assert sorted(listed) == [folder.name for folder in PLUGINS]
    given: dict[str, list[str]] = {name: [] for name in listed}
    for record in known.components():
        given[record.plugin].append(record.key)
    assert given == {name: sorted(entry.provides) for name, entry in listed.items()}
    for name, entry in listed.items():
        assert entry.distribution == f"groundstate-{name}"


def test_every_plugin_is_installed_here() -> None:
    installed = {each.name for each in entry_points(group="groundstate")}
    assert installed >= {folder.name for folder in PLUGINS}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_is_of_a_size_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST


@pytest.mark.parametrize(
    "package", ["groundstate", *(f"groundstate_{p.name.replace('-', '_')}" for p in PLUGINS)]
)
def test_package_is_light(package: str) -> None:
    heavy = ("torch", "numpy", "scipy", "jaxtyping", "pydantic", "typer", "rich", "skimage")
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["groundstate.solving", "groundstate_gcrf.cg"])
def test_warnings_of_our_modules_are_errors(module: str) -> None:
    with pytest.raises(DeprecationWarning):
        warnings.warn_explicit("old", DeprecationWarning, "a file", 1, module=module)


def test_version_is_said_once_in_each_place() -> None:
    assert read(ROOT / "pyproject.toml")["project"]["version"] == gs.__version__


def test_array_shapes_are_checked_in_tests() -> None:
    with pytest.raises(TypeCheckError):
        gs.Discrete(counts=torch.ones(3))  # counts must be whole numbers


def requirements(pyproject: Path, *extras: str) -> set[str]:
    """Names of the distributions that a project declares."""
    project = read(pyproject)["project"]
    optional: dict[str, list[str]] = project.get("optional-dependencies", {})
    lists: list[list[str]] = [project["dependencies"], *(optional[name] for name in extras)]
    return {re.split(r"[^\w.-]", text, maxsplit=1)[0].lower() for each in lists for text in each}


@pytest.mark.parametrize("folder", [CORE, *PLUGINS], ids=lambda p: p.name)
def test_every_import_is_a_declared_dependency(folder: Path) -> None:
    declared = requirements(ROOT / "pyproject.toml")
    declared |= (
        requirements(ROOT / "pyproject.toml", "report", "test")
        if folder == CORE
        else requirements(folder / "pyproject.toml")
    )
    providers = packages_distributions()
    missing: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        if "tests" in path.relative_to(folder).parts:
            continue
        for name in {module.split(".")[0] for module in imports(path)} - sys.stdlib_module_names:
            from_here = {each.lower() for each in providers.get(name, [name])}
            if not name.startswith("groundstate") and not from_here & declared:
                missing.setdefault(name, set()).add(path.name)
    assert not missing
