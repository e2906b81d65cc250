"""Looking loads no numerical library, no pydantic, and no terminal library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["torch", "numpy", "jaxtyping", "beartype", "pydantic", "typer", "click", "rich", "scipy"]
SLOW = ["asyncio", "unittest", "multiprocessing", "http", "ctypes"]

CASES = {
    "import": "",
    "load": "gs.load(warn=False)",
    "list": "registry = gs.load(warn=False)\nregistry.components(), [*registry]",
    "show": "for record in gs.load(warn=False).components(): record.component.summary",
    "unknown": (
        "try: gs.load(warn=False)['solver/nothing-like-it']\nexcept KeyError as error: str(error)"
    ),
    "validate": "from groundstate.validation import validate\nvalidate(gs.load(warn=False))",
    "explain": (
        "from groundstate.explaining import explain\nregistry = gs.load(warn=False)\n"
        "for pipeline in registry.configuration.pipelines.values(): explain(registry, pipeline)"
    ),
    "matching": "gs.load(warn=False).matching(['Quadratic'])",
}


def loaded(code: str, tmp_path: Path) -> set[str]:
    program = f"import groundstate as gs\n{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GROUNDSTATE_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", CASES)
def test_looking_imports_nothing_heavy(name: str, tmp_path: Path) -> None:
    assert loaded(CASES[name], tmp_path).isdisjoint([*HEAVY, *SLOW])


def test_the_schema_is_what_imports_pydantic(tmp_path: Path) -> None:
    code = (
        "def make(steps: int = 1): return steps\n"
        "component = gs.Component(kind='solver', name='mine', target=make, summary='s',"
        " examples=lambda: [1])\n"
        "gs.load(plugins=False).with_component(component).schema('solver/mine')"
    )
    modules = loaded(code, tmp_path)
    assert "pydantic" in modules
    assert modules.isdisjoint(["torch", "numpy"])
