"""Writing files so that a reader never meets half of one."""

import os
import shutil
import tempfile
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


@contextmanager
def atomic_folder(path: Path, *, mark: str) -> Generator[Path, None, None]:
    """A temporary folder beside `path` that takes its place when the block ends without error.

    It is made at once, so an output folder that cannot be written is found before work starts.

    Args:
        path: the folder to write; an earlier one with the file `mark` in it is replaced.
        mark: the file that tells our own folders from others.

    Raises:
        OSError: if `path` cannot be made, or is something that is not ours to replace.
    """
    if path.exists() and not (path / mark).is_file() and (path.is_file() or any(path.iterdir())):
        raise FileExistsError(
            f"{path} exists and is not the folder of an earlier run (it has no {mark}); choose "
            "another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    draft.chmod(0o755)
    try:
        yield draft
        old = draft.with_name(f"{draft.name}.old")
        if path.exists():
            path.rename(old)
        draft.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, all of it or nothing."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")
