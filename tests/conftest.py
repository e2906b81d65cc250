"""Fixtures of more than one test file."""

import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

collect_ignore = ["third_party"]  # outside projects: tests/test_third_party.py runs theirs

_GROUNDSTATE = ("-m", "groundstate")


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A virtual environment of its own that sees all packages of the one the tests run in."""

    root: Path

    @property
    def python(self) -> Path:
        folder = "Scripts" if os.name == "nt" else "bin"
        return self.root / folder / "python"

    def run(
        self, *arguments: str | Path, cwd: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run its Python; a failure shows what was printed."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
        done = subprocess.run(
            [self.python, *arguments],
            cwd=cwd or self.root,
            env={**inherited, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
        )
        if check and done.returncode != 0:
            pytest.fail(f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        return done

    def groundstate(
        self, *arguments: str | Path, cwd: Path | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line."""
        return self.run(*_GROUNDSTATE, *arguments, cwd=cwd, check=check)

    def install(self, project: Path) -> None:
        """Install a project from its folder, with what is there and nothing else."""
        self._pip("install", "--no-deps", "--no-build-isolation", "--no-index", str(project))

    def uninstall(self, distribution: str) -> None:
        self._pip("uninstall", "--yes", distribution)

    def _pip(self, *arguments: str) -> None:
        # the parent's pip works on this environment, which so needs none and is made in a moment
        command = [sys.executable, "-m", "pip", "--python", str(self.python), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
        if done.returncode != 0:
            pytest.fail(f"pip {arguments[0]} failed:\n{done.stdout}\n{done.stderr}")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """A fresh environment."""
    root = tmp_path / "environment"
    venv.create(root, with_pip=False, symlinks=os.name != "nt")
    made = Environment(root=root)
    shown = made.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    # `addsitedir`, for the parent's editable installs are .pth files themselves
    parent = sysconfig.get_path("purelib")
    line = f"import site; site.addsitedir({parent!r})\n"
    (Path(shown.stdout.strip()) / "parent.pth").write_text(line, encoding="utf-8")
    return made


VARIABLES = ("DISABLE", "ALLOW", "NO_PLUGINS", "STRICT", "REGISTRY")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GROUNDSTATE_ variable is set."""
    for variable in VARIABLES:
        monkeypatch.delenv(f"GROUNDSTATE_{variable}", raising=False)


@pytest.fixture
def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> Iterator[Callable[..., Path]]:
    """A function that writes a distribution to a folder on `sys.path`.

    Only what it wrote is allow-listed, so that the plugins of this repository, if they are
    installed, stay out of the picture.
    """
    allowed: list[str] = []

    def write(
        name: str,
        code: str | None,
        *,
        version: str = "1.0",
        folder: str = "site",
        entry: str | None = None,
    ) -> Path:
        site = tmp_path / folder
        module = name.replace("-", "_")
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
def working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_environment: None
) -> Path:
    """An empty working directory."""
    folder = Path(tmp_path, "here")
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
