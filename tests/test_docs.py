"""What the README and the pages say is run: every block of Python, TOML and console.

- A block with a title, such as `title="mine/solver.py"`, is written to that file.
- Console lines are run: `groundstate`, `pytest`, `pip install`, `cd`. Others belong to a checkout
  of the repository and are named in `ELSEWHERE`.
- Python blocks without a title run at the end, all of one page in one process and namespace.
- TOML that says `schema` is a registry file and must be valid; other TOML must parse.
"""

import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import groundstate as gs
from groundstate.testing.conformance import known_claims
from groundstate.validation import validate
from tests.conftest import Environment

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").glob("*/README.md")]
)
ELSEWHERE = (
    "make",
    "git",
    "python",
    "groundstate run segment",
    "groundstate run --record",
    "groundstate fit label-streets",
)
"""Commands that are not run here: of a checkout, or longer than a page may take (`make demo`)."""

_BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a page, and the line where its text starts."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        title = _TITLE.search(match[2])
        yield Block(
            language=match[1],
            title=title[1] if title else None,
            text=match[3],
            line=text.count("\n", 0, match.start(3)) + 1,
        )


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def ran(languages: tuple[str, ...]) -> list[Path]:
    return [page for page in PAGES if any(b.language in languages for b in blocks(page))]


@pytest.mark.parametrize("page", ran(("python", "console")), ids=named)
def test_blocks_run(page: Path, environment: Environment, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    folder = here
    for block in blocks(page):
        if block.title is not None:
            path = here / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    folder = follow(line.removeprefix("$ "), folder, environment)
    code = [b for b in blocks(page) if b.language == "python" and b.title is None]
    if not code:
        return
    # blank lines before each block, so that a traceback names the line of the page
    parts = [("\n" * (block.line - 1) + block.text, str(page)) for block in code]
    runner = f"space = {{'__name__': '__main__'}}\nfor text, page in {parts!r}:\n"
    (tmp_path / "runner.py").write_text(
        runner + "    exec(compile(text, page, 'exec'), space)\n", encoding="utf-8"
    )
    environment.run(tmp_path / "runner.py", cwd=here)


def follow(command: str, folder: Path, environment: Environment) -> Path:
    """Run one console line; the folder that the next one runs in."""
    if command.startswith(ELSEWHERE):
        return folder
    match shlex.split(command, comments=True):
        case ["cd", where]:
            return folder / where
        case ["groundstate", *arguments]:
            environment.groundstate(*arguments, cwd=folder)
        case ["pytest", *arguments]:
            environment.run("-m", "pytest", "-p", "no:cacheprovider", *arguments, cwd=folder)
        case ["pip", "install", "-e", where]:
            environment.install(folder / where.removesuffix("[test]"))
        case ["pip", "uninstall", "-y", distribution]:
            environment.uninstall(distribution)
        case _:
            pytest.fail(f"{command!r} is not run here, and not named in ELSEWHERE")
    return folder


@pytest.mark.parametrize("page", ran(("toml",)), ids=named)
def test_toml_is_valid(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language != "toml" or "schema" not in tomllib.loads(block.text):
            continue
        path = tmp_path / "registry.toml"
        path.write_text(block.text, encoding="utf-8")
        for other in blocks(page):  # local modules that the file names
            if other.title is not None and other.title.endswith(".py"):
                (tmp_path / Path(other.title).name).write_text(other.text, encoding="utf-8")
        # local modules of a page may need what only its other blocks install
        faults = validate(gs.load(path, warn=False), deep="module =" not in block.text)
        assert not [fault for fault in faults if fault.file == path], named(page)


def test_every_page_is_in_the_navigation() -> None:
    listed = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")]
    assert not [page for page in pages if f": {page}" not in listed]


def test_every_plugin_has_a_page_that_is_its_readme() -> None:
    for folder in (ROOT / "plugins").iterdir():
        if (folder / "pyproject.toml").is_file():
            page = ROOT / "docs" / "plugins" / f"{folder.name}.md"
            assert page.read_text(encoding="utf-8") == f'--8<-- "plugins/{folder.name}/README.md"\n'


def test_every_claim_is_explained() -> None:
    text = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    kind, told = "", set[tuple[str, str]]()
    for row in re.findall(r"^\| (\w*) ?\| `([\w-]+)` \|", text, re.MULTILINE):
        kind = row[0] or kind
        told.add((kind, row[1]))
    assert told == {(k, claim) for k, claims in known_claims().items() for claim in claims}
