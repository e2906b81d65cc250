"""Numbers and words of a text file one by one, each with its line, without reading all at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from groundstate.errors import FormatError


class Tokens:
    """The words of a text file in order; `#` begins a comment.

    Attributes:
        path: the file.
        line: the line, from 1, of the last word given out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 1
        self._words = self._read()

    def word(self, expected: str) -> str:
        """The next word.

        Raises:
            FormatError: at the end of the file.
        """
        found = next(self._words, None)
        if found is None:
            self.fail(expected, "the end of the file")
        return found

    def whole(self, expected: str, least: int, most: float = float("inf")) -> int:
        """The next word as a whole number from `least` to `most`."""
        found = self.word(expected)
        # int() alone would take "1_0" and "٣", and thousands of digits are no number either
        plain = found.isascii() and found.isdigit() and len(found) < 19
        if not plain or not least <= int(found) <= most:
            self.fail(expected, repr(found))
        return int(found)

    def numbers(self, count: int, expected: str) -> list[float]:
        """The next words as numbers that are not NaN and not negative."""
        values: list[float] = []
        for _ in range(count):
            found = self.word(expected)
            try:
                value = float(found)
            except ValueError:
                self.fail(expected, repr(found))
            if "_" in found:  # Python's own spelling
                self.fail(expected, repr(found))
            if not 0 <= value < float("inf"):
                self.fail(expected, repr(found))
            values.append(value)
        return values

    def end(self) -> None:
        """Look that nothing is left."""
        found = next(self._words, None)
        if found is not None:
            self.fail("the end of the file", repr(found))

    def fail(self, expected: str, found: str) -> NoReturn:
        """Stop here.

        Raises:
            FormatError: always.
        """
        shown = found if len(found) <= 60 else f"{found[:56]} ..."
        raise FormatError(self.path, self.line, expected, shown)

    def _read(self) -> Iterator[str]:
        with self.path.open(encoding="utf-8") as file:
            number = 0
            try:
                for number, text in enumerate(file, 1):
                    for found in text.partition("#")[0].split():
                        self.line = number
                        yield found
            except UnicodeDecodeError:
                self.line = number + 1
                self.fail("text", "bytes that are none")
