"""Numbers and words of a text file in order, by pieces, so that 100 MB need no list of all words.

Lines are not counted on the way: when something is wrong, the file is read again up to that word.
"""

import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float64, Int64

from groundstate.errors import FormatError
from groundstate_mrf.compressed import COMPRESSIONS, reading

PIECE = 1 << 20
"""Bytes that are taken apart at a time."""

Numbers = Float64[np.ndarray, " numbers"]
Places = Int64[np.ndarray, " places"]


class Tokens:
    """The words of a text file in order.

    Attributes:
        path: the file.
        comment: what begins a comment up to the end of its line; None where there are none.
        given: how many words were given out.
    """

    def __init__(self, path: Path, comment: bytes | None = b"#") -> None:
        self.path = path
        self.comment = comment
        self.given = 0
        self._pieces = self._read()
        self._words: list[bytes] = []
        self._next = 0
        self._spelled = False  # "1_0" is Python's own spelling, which float() would take

    def word(self, expected: str) -> str:
        """The next word.

        Raises:
            FormatError: at the end of the file.
        """
        if not self.more():
            self.fail(expected, "the end of the file")
        found = self._words[self._next]
        self._next += 1
        self.given += 1
        return found.decode("utf-8", "replace")

    def whole(self, expected: str, least: int, most: float = float("inf")) -> int:
        """The next word as a whole number from `least` to `most`."""
        found = self.word(expected)
        digits = found[1:] if least < 0 and found.startswith("-") else found
        # int() alone would take "1_0" and "٣", and thousands of digits are no number either
        plain = digits.isascii() and digits.isdigit() and len(digits) < 20
        if not plain or not least <= int(found) <= most:
            self.fail(expected, repr(found))
        return int(found)

    def numbers(self, count: int, expected: str) -> Numbers:
        """The next words as numbers that are finite and not negative."""
        values, begin = self.room(count), self.given
        filled = self.fill(values)
        bad = np.isnan(values[:filled]).nonzero()[0]
        if len(bad):
            self.refuse(expected, begin + int(bad[0]))
        if filled < count:
            self.fail(expected, "the end of the file")
        return values

    def fill(self, values: Numbers) -> int:
        """Write the next words into an array as numbers, as many as there are and find room.

        Returns:
            How many; what is no finite number from 0 on is NaN.
        """
        filled = 0
        while filled < len(values) and self.more():
            words = self._words[self._next : self._next + len(values) - filled]
            values[filled : filled + len(words)] = self._as_numbers(words)
            filled += len(words)
            self._next += len(words)
        self.given += filled
        return filled

    def room(self, count: int) -> Numbers:
        """An array for as many numbers, which a short file does not get by claiming many."""
        most = self.path.stat().st_size * (1 if self.path.suffix not in COMPRESSIONS else 1000)
        if count > most:
            self.fail(f"a file that can hold the {count} numbers it announces", f"{most} bytes")
        return np.empty(count)

    def end(self) -> None:
        """Look that nothing is left."""
        if self.more():
            self.fail("the end of the file", repr(self.word("")))

    def fail(self, expected: str, found: str) -> NoReturn:
        """Stop at the last word given out.

        Raises:
            FormatError: always.
        """
        line, _ = self._find(self.given - 1)
        self._stop(line, expected, found)

    def refuse(self, expected: str, at: int) -> NoReturn:
        """Stop at a word by its number from 0.

        Raises:
            FormatError: always.
        """
        line, word = self._find(at)
        self._stop(line, expected, repr(word.decode("utf-8", "replace")))

    def _stop(self, line: int, expected: str, found: str) -> NoReturn:
        shown = found if len(found) <= 60 else f"{found[:56]} ..."
        raise FormatError(self.path, line, expected, shown)

    def _as_numbers(self, words: Sequence[bytes]) -> Numbers:
        try:
            values = np.fromiter(map(float, words), np.float64, len(words))
        except ValueError:
            values = np.fromiter(map(_number, words), np.float64, len(words))
        if self._spelled:
            values = np.fromiter(map(_number, words), np.float64, len(words))
        if len(values) and not (values.min() >= 0 and values.max() < np.inf):
            values[~((values >= 0) & (values < np.inf))] = np.nan
        return values

    def more(self) -> bool:
        """Whether there is a next word; it is then at hand."""
        while self._next >= len(self._words):
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._words, self._next = piece.split(), 0
            self._spelled = b"_" in piece
        return True

    def _read(self) -> Iterator[bytes]:
        with reading(self.path) as file:
            yield from self._without_comments(_pieces(file))

    def _without_comments(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The pieces without comments, which may reach from one to the next."""
        inside = False
        for piece in pieces:
            if inside:
                _, end, piece = piece.partition(b"\n")
                inside = not end
            if self.comment is None or self.comment not in piece:
                yield piece
                continue
            inside = self.comment in piece[piece.rfind(b"\n") + 1 :]
            yield re.sub(re.escape(self.comment) + rb"[^\n]*", b"", piece)

    def _find(self, place: int) -> tuple[int, bytes]:
        """The line, from 1, of a word by its number, and the word; of the last one at the end."""
        line, word, passed = 1, b"", 0
        with reading(self.path) as file:
            for number, text in enumerate(file, 1):
                plain = text if self.comment is None else text.partition(self.comment)[0]
                if words := plain.split():
                    line, word = number, words[min(max(place - passed, 0), len(words) - 1)]
                passed += len(words)
                if passed > place:
                    break
        return line, word


def _number(word: bytes) -> float:
    try:
        return float("nan") if b"_" in word else float(word)
    except ValueError:
        return float("nan")


def _pieces(file: BufferedIOBase) -> Iterator[bytes]:
    """The bytes of a file in pieces that end between words."""
    left = b""
    while block := file.read(PIECE):
        block = left + block
        cut = max(block.rfind(b" "), block.rfind(b"\n"), block.rfind(b"\t")) + 1
        left = block[cut:]
        if cut:
            yield block[:cut]
    yield left
