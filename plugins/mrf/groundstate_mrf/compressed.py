"""Files that may be compressed, by the end of their name: `.gz` and `.xz`."""

import gzip
import lzma
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path

from groundstate.errors import FormatError
from groundstate.files import atomic

COMPRESSIONS = (".gz", ".xz")


def suffixes(ending: str) -> tuple[str, ...]:
    """A file name ending, plain and compressed."""
    return (ending, *(ending + each for each in COMPRESSIONS))


@contextmanager
def reading(path: Path) -> Generator[BufferedIOBase, None, None]:
    """The bytes of a file, unpacked.

    Raises:
        FormatError: if it is not what its name says, or was cut off.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                yield file
        elif path.suffix == ".xz":
            with lzma.open(path, "rb") as file:
                yield file
        else:
            with path.open("rb") as file:
                yield file
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        expected = f"a whole file compressed as its ending {path.suffix} says"
        raise FormatError(path, None, expected, str(error)) from error


@contextmanager
def writing(path: Path) -> Generator[BufferedIOBase, None, None]:
    """A file to be written whole or not at all; the bytes depend on what is written alone."""
    with atomic(path) as draft, draft.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
                yield file
        elif path.suffix == ".xz":
            with lzma.open(raw, "wb") as file:
                yield file
        else:
            yield raw
