"""Outside projects: installed, listed, run, checked, uninstalled; no line of ours changed."""

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import Environment

OUTSIDE = Path(__file__).parent / "third_party"
DISTRIBUTION = "groundstate-descent"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's folder with a `registry.toml` and a module beside it."""
    folder = tmp_path / "user_project"
    shutil.copytree(OUTSIDE / "user_project", folder)
    return folder


def test_installed_solver_is_listed_run_checked_and_gone_again(
    environment: Environment, tmp_path: Path
) -> None:
    def keys(*arguments: str) -> dict[str, str]:
        listed = environment.groundstate("components", *arguments, "--json").stdout
        return {row["key"]: row["distribution"] for row in json.loads(listed)}

    assert "solver/descent" not in keys("solver")
    environment.install(OUTSIDE / DISTRIBUTION)
    assert keys("solver")["solver/descent"] == DISTRIBUTION

    folder = OUTSIDE / DISTRIBUTION / "pipeline"
    ran = environment.groundstate(
        "run", "small-colorize", "--out", tmp_path / "run", "--json", cwd=folder
    )
    told = json.loads(ran.stdout)
    mine, shipped = told["solutions"]
    assert mine["solver"] == "solver/descent" and mine["status"] == [["converged", "converged"]]
    assert mine["energy"][0] == pytest.approx(shipped["energy"][0], rel=1e-6)
    assert Path(told["report"]).is_file()

    checked = json.loads(environment.groundstate("check", DISTRIBUTION, "--json").stdout)
    assert checked["ok"] and checked["components"] == ["solver/descent"]
    assert checked["implied_run"] == checked["implied"] > 0

    environment.uninstall(DISTRIBUTION)
    assert "solver/descent" not in keys("solver")
    refused = environment.groundstate("run", "small-colorize", cwd=folder, check=False)
    assert refused.returncode == 2 and "No component 'solver/descent'" in refused.stderr


def test_the_distribution_s_own_tests_pass(environment: Environment, tmp_path: Path) -> None:
    environment.install(OUTSIDE / DISTRIBUTION)
    shutil.copytree(OUTSIDE / DISTRIBUTION / "tests", tmp_path / "tests")
    ran = environment.run("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=tmp_path / "tests")
    assert " passed" in ran.stdout


def test_local_module_is_listed_without_being_executed(
    environment: Environment, project: Path
) -> None:
    module = project / "my_solver.py"
    module.write_text("raise SystemExit('executed')\n" + module.read_text(encoding="utf-8"))
    listed = environment.groundstate("components", "--json", cwd=project)
    assert "solver/damped-jacobi" in {row["key"] for row in json.loads(listed.stdout)}
    environment.groundstate("validate", cwd=project)
    ran = environment.groundstate("run", "hang", cwd=project, check=False)
    assert ran.returncode != 0 and "executed" in ran.stderr and "my_solver.py" in ran.stderr


def test_local_module_runs_by_name(environment: Environment, project: Path) -> None:
    ran = environment.groundstate("run", "hang", "--json", "--out", "out", cwd=project)
    mine, shipped = json.loads(ran.stdout)["solutions"]
    assert mine["solver"] == "solver/damped-jacobi" and mine["status"] == "converged"
    # two walls and nine masses: the middle one hangs at pull · 5 · 5 / 10
    assert shipped["energy"] == pytest.approx(-5.0) and mine["energy"] == pytest.approx(-5.0)
    assert (project / "out" / "report.html").is_file()


def test_local_module_is_checked_by_the_laws(environment: Environment, project: Path) -> None:
    checked = environment.groundstate("check", "my-solver", "--json", cwd=project)
    assert json.loads(checked.stdout)["components"] == ["energy/springs", "solver/damped-jacobi"]
