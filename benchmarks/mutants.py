"""Break the plugins on purpose, one operator at a time, and count what their tests catch.

    python benchmarks/mutants.py [--plugin NAME ...] [--number N] [--quick] [--json] [--publish]

A mutant is a copy of a plugin's package with one change, put before the installed one on the path;
the plugin's own tests, laws included, run against it. It is caught when they fail, or do not end in
three times their usual time. Mutants are drawn with a seed, so that the same sources give the same
ones; what was tried is kept in `benchmarks/results/mutants.json` and not tried again. Survivors are
listed: each is a missing test, or a change that changes nothing.
"""

import argparse
import ast
import copy
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

from groundstate.files import write_text

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results" / "mutants.json"
PAGE = ROOT / "docs" / "mutants.md"
NUMBER, QUICK = 40, 4
PATIENCE = 3.0

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_TWINS = {
    "amin": "amax",
    "argmin": "argmax",
    "minimum": "maximum",
    "min": "max",
    "sum": "mean",
    "any": "all",
    "exp": "log",
}
_NAMES = _TWINS | {after: before for before, after in _TWINS.items()}


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One change.

    Attributes:
        plugin: folder name of the plugin.
        file: module, relative to the plugin's folder.
        line: where.
        index: of the changed node among those that compute.
        change: what, in words.
    """

    plugin: str
    file: str
    line: int
    index: int
    change: str

    @cached_property
    def source(self) -> str:
        """Text of the changed module."""
        path = ROOT / "plugins" / self.plugin / self.file
        tree = ast.parse(path.read_text(encoding="utf-8"))
        _change(list(_code(tree))[self.index])
        return ast.unparse(tree)

    @property
    def key(self) -> str:
        """Stays the same as long as neither the changed module nor any test does."""
        tests = sorted((ROOT / "plugins" / self.plugin / "tests").rglob("*.py"))
        texts = [self.source, *(path.read_text(encoding="utf-8") for path in tests)]
        return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]


def mutants(plugin: str) -> list[Mutant]:
    """Every mutant of a plugin."""
    folder = ROOT / "plugins" / plugin
    found: list[Mutant] = []
    for path in sorted(folder.glob("groundstate_*/**/*.py")):
        if path.name in ("__init__.py", "examples.py", "warm.py"):
            continue
        for index, node in enumerate(_code(ast.parse(path.read_text(encoding="utf-8")))):
            # a change touches nothing below the fields of the node itself
            change = _change(copy.copy(node))
            if change is not None:
                found.append(
                    Mutant(
                        plugin=plugin,
                        file=str(path.relative_to(folder)),
                        line=getattr(node, "lineno", 0),
                        index=index,
                        change=change,
                    )
                )
    return found


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that compute: not annotations, messages of errors or defaults of settings."""
    for field, value in ast.iter_fields(tree):
        if field in ("annotation", "returns", "decorator_list", "defaults", "kw_defaults"):
            continue
        for node in value if isinstance(value, list) else [value]:  # pyright: ignore
            if not isinstance(node, ast.AST) or isinstance(node, ast.Raise | ast.JoinedStr):
                continue
            if isinstance(node, ast.AnnAssign) and isinstance(tree, ast.ClassDef):
                continue
            yield node
            yield from _code(node)


def _change(node: ast.AST) -> str | None:
    """Change a node in place; what was done, None if there is nothing to change."""
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in _SWAPS:
        before = type(node.op)
        node.op = _SWAPS[before]()  # pyright: ignore[reportAttributeAccessIssue]
        return f"{before.__name__} to {_SWAPS[before].__name__}"
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPS:
        before = type(node.ops[0])
        node.ops = [_SWAPS[before](), *node.ops[1:]]  # pyright: ignore[reportAttributeAccessIssue]
        return f"{before.__name__} to {_SWAPS[before].__name__}"
    # -1 is mostly an axis, and there are too many of them to be interesting
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        if isinstance(node.operand, ast.Constant):
            return None
        node.op = ast.UAdd()
        return "minus dropped"
    if isinstance(node, ast.Attribute) and node.attr in _NAMES:
        before_name, node.attr = node.attr, _NAMES[node.attr]
        return f"{before_name} to {node.attr}"
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        node.value = not node.value
        return f"{not node.value} to {node.value}"
    if isinstance(node, ast.Constant) and type(node.value) is float and node.value != 0:
        node.value = 2 * node.value
        return f"{node.value / 2} doubled"
    if isinstance(node, ast.IfExp):
        node.body, node.orelse = node.orelse, node.body
        return "branches swapped"
    return None


def run_tests(plugin: str, package: Path | None, limit: float) -> tuple[bool, float]:
    """Whether the plugin's tests pass, and how long they took."""
    paths = [str(package)] if package is not None else []
    paths += filter(None, [os.environ.get("PYTHONPATH")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not slow"]
    began = time.perf_counter()
    try:
        done = subprocess.run(
            [*command, "-p", "no:cacheprovider", f"plugins/{plugin}/tests"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            timeout=limit,
        )
        passed = done.returncode == 0
    except subprocess.TimeoutExpired:
        passed = False
    return passed, time.perf_counter() - began


def survives(mutant: Mutant, limit: float) -> bool:
    """Whether the tests pass all the same."""
    with tempfile.TemporaryDirectory() as folder:
        for package in (ROOT / "plugins" / mutant.plugin).glob("groundstate_*"):
            # with what was compiled of the other modules
            shutil.copytree(package, Path(folder) / package.name)
        (Path(folder) / mutant.file).write_text(mutant.source, encoding="utf-8")
        return run_tests(mutant.plugin, Path(folder), limit)[0]


@dataclass(frozen=True, kw_only=True)
class Row:
    """The count of one plugin.

    Attributes:
        plugin: its folder.
        possible: how many mutants there are.
        tried: how many were drawn.
        caught: how many the tests noticed.
        survivors: place and change of the others.
    """

    plugin: str
    possible: int
    tried: int
    caught: int
    survivors: tuple[str, ...]


def measure(plugin: str, number: int) -> Row:
    """Draw mutants of a plugin and try those that were not tried before."""
    every = mutants(plugin)
    drawn = random.Random(0).sample(every, min(number, len(every)))
    known: dict[str, bool] = {}
    if RESULTS.is_file():
        known = json.loads(RESULTS.read_text(encoding="utf-8"))
    fresh = [mutant for mutant in drawn if mutant.key not in known]
    if fresh:
        passed, usual = run_tests(plugin, None, 1200.0)
        if not passed:
            sys.exit(f"the tests of {plugin} must pass before they can catch anything; they do not")
        limit = PATIENCE * usual + 20
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            outcomes = pool.map(survives, fresh, repeat(limit))
            for done, (mutant, alive) in enumerate(zip(fresh, outcomes, strict=True), 1):
                known[mutant.key] = alive
                write_text(RESULTS, json.dumps(known, indent=1))
                print(f"\r{plugin}: {done} of {len(fresh)}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    alive = [mutant for mutant in drawn if known[mutant.key]]
    return Row(
        plugin=plugin,
        possible=len(every),
        tried=len(drawn),
        caught=len(drawn) - len(alive),
        survivors=tuple(f"{m.file}:{m.line}: {m.change}" for m in alive),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    tried, caught = sum(row.tried for row in rows), sum(row.caught for row in rows)
    lines = ["| plugin | possible | tried | caught | share |", "|---|---|---|---|---|"]
    total = Row(
        plugin="all",
        possible=sum(row.possible for row in rows),
        tried=tried,
        caught=caught,
        survivors=(),
    )
    for row in (*rows, total):
        share = f"{100 * row.caught / max(1, row.tried):.0f} %"
        lines.append(f"| {row.plugin} | {row.possible} | {row.tried} | {row.caught} | {share} |")
    return "\n".join(lines)


def page(rows: Sequence[Row]) -> str:
    """The page of the documentation."""
    survivors = "\n".join(f"- `{row.plugin}/{text}`" for row in rows for text in row.survivors)
    return (
        "# Mutants\n\n"
        "How many one-operator changes of the plugins their own tests notice, laws included. "
        "Written by\n`make mutants ARGS=--publish`; the draw has a seed.\n\n"
        f"{table(rows)}\n\n## Survivors\n\n"
        "Each is a missing test, or a change that changes nothing.\n\n"
        f"{survivors or 'None.'}\n"
    )


def main() -> None:
    """Measure, print, and publish if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    plugins = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
    parser.add_argument("--plugin", action="append", choices=plugins, help="only this one")
    parser.add_argument("--number", type=int, default=NUMBER, help="mutants to draw per plugin")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} mutants per plugin")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--publish", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    number = QUICK if options.quick else options.number
    rows = [measure(plugin, number) for plugin in options.plugin or plugins]
    if options.publish:
        write_text(PAGE, page(rows))
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return
    print(table(rows))
    for row in rows:
        for survivor in row.survivors:
            print(f"  survived: {row.plugin}/{survivor}")


if __name__ == "__main__":
    main()
