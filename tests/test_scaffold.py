import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from groundstate.scaffold import ScaffoldError, create
from tests.conftest import Environment


def test_files_are_named_after_the_plugin(tmp_path: Path) -> None:
    written = create("two-words", tmp_path / "new")
    root = tmp_path / "new" / "two-words"
    assert sorted(written) == sorted(path for path in root.rglob("*") if path.is_file())
    assert (root / "groundstate_two_words" / "solver.py").exists()
    left = [path for path in written if "$" in path.read_text(encoding="utf-8")]
    assert not left


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("My Plugin", "'my-plugin'"),
        ("groundstate-mine", "'mine'"),
        ("9lives", "'lives'"),
        ("../escape", "'escape'"),
        ("", "lower-case words"),
        ("two--hyphens", "'two-hyphens'"),
    ],
)
def test_bad_name_is_refused_with_a_better_one(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(ScaffoldError, match=hint):
        create(name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_name_of_an_installed_plugin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match="groundstate_gcrf"):
        create("gcrf", tmp_path)


def test_existing_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(ScaffoldError, match="must not exist"):
        create("mine", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    write = Path.write_text

    def full(path: Path, text: str, encoding: str) -> int:
        written.append(path)
        if len(written) == 3:
            raise OSError("no space left on device")
        return write(path, text, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ScaffoldError, match="no space left"):
        create("mine", tmp_path)
    assert len(written) == 3 and not list(tmp_path.iterdir())


def test_generated_plugin_is_lint_clean(tmp_path: Path) -> None:
    ruff = Path(sysconfig.get_path("scripts")) / "ruff"
    if not ruff.exists():
        pytest.skip("ruff is a development tool: `make lint` installs it")
    create("clean", tmp_path)
    for command in (
        ["check", "--isolated"],
        ["format", "--isolated", "--line-length=100", "--check"],
    ):
        done = subprocess.run(
            [ruff, *command, "."], cwd=tmp_path / "clean", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_generated_plugin_passes_its_own_tests(tmp_path: Path, environment: Environment) -> None:
    create("fresh", tmp_path)
    project = tmp_path / "fresh"
    environment.install(project)
    done = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=project)
    assert "passed" in done.stdout and "failed" not in done.stdout
    assert (
        "tests/test_conformance.py"
        in environment.run("-m", "pytest", "-q", "--collect-only", "tests", cwd=project).stdout
    )


def test_scaffold_is_light() -> None:
    code = "import sys, groundstate.scaffold; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
