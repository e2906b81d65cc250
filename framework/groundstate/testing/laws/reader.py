"""What holds for every file format: what is written is read, faults are told with their line."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import torch

from groundstate.errors import GroundstateError
from groundstate.examples import ReaderExample
from groundstate.space import Discrete
from groundstate.testing.laws.energy import points
from groundstate.testing.laws.law import laws
from groundstate.testing.saying import close, require


@contextmanager
def written(example: ReaderExample) -> Generator[Path, None, None]:
    """A file with the example's problem, in a folder of its own."""
    suffix = example.reader.suffixes[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"problem{suffix}"
        example.reader.write(example.energy, path)
        yield path


def suffixes_are_endings(example: ReaderExample) -> None:
    """At least one file name ending, each lower case with its dot."""
    suffixes = example.reader.suffixes
    require(len(suffixes) > 0, "a reader must take at least one file name ending")
    for suffix in suffixes:
        require(
            suffix.startswith(".") and suffix == suffix.lower(),
            f"an ending must be lower case and start with a dot, got {suffix!r}",
        )


def write_then_read_is_equal(example: ReaderExample) -> None:
    """The problem that is read has the space and the energies of the one written."""
    with written(example) as path:
        again = example.reader.read(path)
    space, found = example.energy.space, again.space
    require(type(found) is type(space), f"a {type(space).__name__} space came back as {found!r}")
    require(
        found.layout.shape == space.layout.shape,
        f"the shape {space.layout.shape} came back as {found.layout.shape}",
    )
    if isinstance(space, Discrete) and isinstance(found, Discrete):
        require(torch.equal(space.counts, found.counts), "the label counts came back otherwise")
    x = points(example.energy, 32)
    close(
        again(x.to(found.dtype)).double(),
        example.energy(x).double(),
        "energies after writing and reading",
        relative=1e-6,
    )


def writing_twice_gives_the_same_file(example: ReaderExample) -> None:
    """The file depends on the problem alone."""
    with written(example) as first, written(example) as second:
        require(first.read_bytes() == second.read_bytes(), "two writes give different files")


def malformed_file_is_one_clear_error(example: ReaderExample) -> None:
    """A damaged file raises an error that names the file, and the line where it is text."""
    with written(example) as path:
        whole = path.read_bytes()
        for damage, content in (
            ("cut in half", whole[: len(whole) // 2]),
            ("empty", b""),
            ("with words in place of numbers", _garbled(whole)),
        ):
            path.write_bytes(content)
            _refuses(example, path, damage, _is_text(whole) and bool(content))


def _refuses(example: ReaderExample, path: Path, damage: str, lines: bool) -> None:
    try:
        example.reader.read(path)
    except (GroundstateError, ValueError) as error:
        text = str(error)
        require(path.name in text, f"the error for a file {damage} must name it, got: {text}")
        named = any(word in text for word in ("line", f"{path.name}:"))
        require(named or not lines, f"the error for a file {damage} must name the line: {text}")
        return
    require(False, f"a file {damage} was read without an error")


def missing_file_is_one_clear_error(example: ReaderExample) -> None:
    """A file that does not exist raises an error that names it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"nowhere{example.reader.suffixes[0]}"
        try:
            example.reader.read(path)
        except (GroundstateError, OSError, ValueError) as error:
            require("nowhere" in str(error), f"the error must name the file, got: {error}")
            return
    require(False, "a file that does not exist was read without an error")


def _is_text(content: bytes) -> bool:
    try:
        content.decode("ascii")
    except UnicodeDecodeError:
        return False
    return True


def _garbled(content: bytes) -> bytes:
    """The second half with its digits replaced."""
    half = len(content) // 2
    return content[:half] + bytes(
        ord("x") if chr(byte).isdigit() else byte for byte in content[half:]
    )


LAWS = laws(
    suffixes_are_endings,
    write_then_read_is_equal,
    writing_twice_gives_the_same_file,
    malformed_file_is_one_clear_error,
    missing_file_is_one_clear_error,
)
