"""Writing files so that a reader never meets half of one."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Generator[Path, None, None]:
    """A temporary path beside `path` that takes its place when the block ends without error.

    Raises:
        OSError: if the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # the suffix stays last: libraries choose the format by it
    draft = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, all of it or nothing."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")
