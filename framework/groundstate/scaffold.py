"""A new plugin from a template whose tests pass as they are."""

import os
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from string import Template

from groundstate.errors import GroundstateError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "groundstate-"
_SUFFIX = ".template"


class ScaffoldError(GroundstateError):
    """A plugin cannot be made under this name or in this place."""


def create(name: str, folder: Path) -> list[Path]:
    """Write the project `folder/name`, all of it or nothing.

    Args:
        name: The plugin's name, lower-case words joined by `-`. Its distribution is
            `groundstate-name`, its import package `groundstate_name`.
        folder: Where the project's folder goes; made where it is missing.

    Returns:
        The files written.

    Raises:
        ScaffoldError: The name is not of that form, is taken, or the folder exists.
    """
    words = _words(name)
    target = folder / name
    if target.exists() or target.is_symlink():
        raise ScaffoldError(
            f"the folder {target} must not exist yet; choose another name, or move it away."
        )
    draft = folder / f".{name}.{os.getpid()}"
    try:
        draft.mkdir(parents=True)
        written = [_write(source, draft / place, words) for place, source in _sources(words)]
        draft.rename(target)
    except OSError as error:
        raise ScaffoldError(f"{target} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return [target / path.relative_to(draft) for path in written]


def _words(name: str) -> dict[str, str]:
    """What stands for the placeholders of the template."""
    bare = name.removeprefix(_PREFIX)
    if not _NAME.fullmatch(name) or bare != name:
        proposal = re.sub(r"[^a-z0-9]+", "-", bare.lower()).strip("-0123456789")
        hint = f" Try {proposal!r}." if _NAME.fullmatch(proposal) else ""
        raise ScaffoldError(
            f"a plugin's name must be lower-case words joined by '-', such as 'mean-field', and "
            f"without {_PREFIX!r}, which is put before it; got {name!r}.{hint}"
        )
    package = f"groundstate_{name.replace('-', '_')}"
    if find_spec(package) is not None:
        raise ScaffoldError(
            f"the name {name!r} is taken: a package {package!r} is installed. Choose another name."
        )
    class_name = "".join(word.capitalize() for word in name.split("-"))
    return {"name": name, "package": package, "class_name": class_name}


def _sources(words: dict[str, str]) -> Iterator[tuple[PurePosixPath, Traversable]]:
    """Each file of the template, and where it goes."""
    root = files("groundstate") / "template"
    for folder, place in (
        (root, PurePosixPath()),
        (root / "package", PurePosixPath(words["package"])),
        (root / "tests", PurePosixPath("tests")),
    ):
        for source in sorted(folder.iterdir(), key=lambda each: each.name):
            if source.name.endswith(_SUFFIX):
                yield place / source.name.removesuffix(_SUFFIX), source


def _write(source: Traversable, path: Path, words: dict[str, str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = Template(source.read_text(encoding="utf-8")).substitute(words)
    path.write_text(text, encoding="utf-8")
    return path
