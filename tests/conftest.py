"""Tiny distributions on disk, for tests of discovery."""

import os
import sys
import textwrap
from pathlib import Path

import pytest

VARIABLES = ("DISABLE", "ALLOW", "NO_PLUGINS", "STRICT", "REGISTRY")


@pytest.fixture
def clean_environment(monkeypatch):
    """No GROUNDSTATE_ variable is set."""
    for variable in VARIABLES:
        monkeypatch.delenv(f"GROUNDSTATE_{variable}", raising=False)


@pytest.fixture
def install(tmp_path, monkeypatch, clean_environment):
    """A function that writes a distribution to a folder on `sys.path`.

    Only what it wrote is allow-listed, so that the plugins of this repository, if they are
    installed, stay out of the picture.
    """
    allowed = []

    def write(name, code, *, version="1.0", folder="site", module=None, entry=None, place=0):
        site = tmp_path / folder
        module = module or name.replace("-", "_")
        information = site / f"{name.replace('-', '_')}-{version}.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        (information / "entry_points.txt").write_text(
            f"[groundstate]\n{entry or name} = {module}\n"
        )
        if code is not None:
            (site / f"{module}.py").write_text(textwrap.dedent(code))
        if str(site) not in sys.path:
            monkeypatch.syspath_prepend(site)
        allowed.append(name)
        monkeypatch.setenv("GROUNDSTATE_ALLOW", ",".join(allowed))
        return site

    yield write
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(f"{tmp_path}{os.sep}"):
            del sys.modules[name]


@pytest.fixture
def working_directory(tmp_path, monkeypatch, clean_environment):
    """An empty working directory."""
    folder = Path(tmp_path, "here")
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
