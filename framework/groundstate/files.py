"""Writing files so that a reader never meets half of one."""

import json
import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from groundstate.errors import OutputError

_STALE = 24 * 3600.0


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
    Where the block fails, nothing is left behind, parents that were made for it included.

    Args:
        path: the folder to write; an earlier one with the file `mark` in it is replaced.
        mark: the file that tells our own folders from others.

    Raises:
        OutputError: if `path` cannot be made, or is something that is not ours to replace.
    """
    place = path.resolve()
    missing = [parent for parent in place.parents if not parent.exists()]
    try:
        _recover(place)
        _refuse_foreign(path, mark)
        place.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{place.name}.{os.getpid()}-"
        draft = Path(tempfile.mkdtemp(prefix=prefix, dir=place.parent))
        draft.chmod(0o755)
    except OSError as error:
        _remove_empty(missing)
        raise _unwritable(path, error) from error
    try:
        yield draft
        old = draft.with_name(f"{draft.name}.old")
        if place.exists():
            place.rename(old)
        draft.rename(place)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        _remove_empty(missing)


def _refuse_foreign(path: Path, mark: str) -> None:
    if path.is_dir() and ((path / mark).is_file() or not any(path.iterdir())):
        return
    if path.exists():
        what = f"has no {mark}" if path.is_dir() else "is a file"
        raise OutputError(
            f"{path} exists and is not the folder of an earlier run (it {what}); choose another "
            "folder with `--out`"
        )


def _recover(place: Path) -> None:
    """Take up what a killed process left: an earlier folder put aside, drafts of long ago."""
    if not place.parent.is_dir():
        return
    pattern = re.compile(rf"\.{re.escape(place.name)}\.(\d+)-\w{{8}}(\.old)?")
    for left in sorted(place.parent.iterdir()):
        found = pattern.fullmatch(left.name)
        if found is None or _alive(int(found[1])):
            continue
        if found[2] and not place.exists():
            left.rename(place)
        elif time.time() - left.stat().st_mtime > _STALE:
            shutil.rmtree(left, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is somebody else's
    return True


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return  # it holds what was written, or was never made


def _unwritable(path: Path, error: OSError) -> OutputError:
    files = [parent for parent in path.parents if parent.is_file()]
    reason = f"{files[0]} is a file" if files else error.strerror or str(error)
    return OutputError(f"{path} cannot be written: {reason}; choose another place with `--out`")


def check_writable(path: Path) -> None:
    """Look, before work starts, that a file can be written.

    Raises:
        OutputError: if it cannot.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder; name a file")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, all of it or nothing."""
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8")


def json_text(data: object) -> str:
    """Data as JSON that every reader takes: what is not finite becomes null."""
    return json.dumps(_finite(data), indent=1, default=str, allow_nan=False)


def _finite(value: object) -> Any:
    if isinstance(value, Mapping):
        pairs = cast(Mapping[str, object], value)
        return {key: _finite(item) for key, item in pairs.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast(Sequence[object], value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value
