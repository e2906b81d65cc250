"""On which line of a TOML text each key stands; `tomllib` does not say."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache

KeyPath = tuple[str | int, ...]
"""Keys and array indices from the top, such as `("pipelines", "segment", "compare", 1)`."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPES = {
    "b": "\b",
    "t": "\t",
    "n": "\n",
    "f": "\f",
    "r": "\r",
    '"': '"',
    "\\": "\\",
    "e": "\x1b",
}


@lru_cache(maxsize=16)  # a pure function; looking at plugins alone never needs it
def lines_of(text: str) -> Mapping[KeyPath, int]:
    """Map every table, key and array item of a valid TOML text to its line, from 1.

    A key inside an inline table gets its own line, too. What a text that is not valid TOML gives
    is unspecified, but it ends.
    """
    scanner = _Scanner(text.replace("\r\n", "\n"))
    with suppress(IndexError):  # the text ends in the middle of something
        scanner.document()
    return scanner.lines


def written(path: KeyPath) -> str:
    """A path as one would write it: `presets."solver/cg".steps`, `compare[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _BARE.fullmatch(part) else f'"{part}"'
            text += f".{word}" if text else word
    return text


class _Scanner:
    """Walks the text once, noting the line where each key starts."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self._breaks = [i for i, letter in enumerate(text) if letter == "\n"]
        self._arrays: dict[KeyPath, int] = {}

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip():
            start = self.at
            if self.text.startswith("[[", start):
                table = self._header(2)
                index = self._arrays[table] = self._arrays.get(table, -1) + 1
                self._note(table, start)
                table = (*table, index)
                self._note(table, start)
            elif self.text[start] == "[":
                table = self._header(1)
                self._note(table, start)
            else:
                self._assignment(table)
            self.at = max(self.at, start + 1)  # ends whatever the text is

    def _header(self, brackets: int) -> KeyPath:
        self.at += brackets
        parts = list(self._key())
        self.at += brackets
        path: KeyPath = ()
        for i, part in enumerate(parts):
            path = (*path, part)
            if path in self._arrays and i < len(parts) - 1:
                path = (*path, self._arrays[path])
        return path

    def _assignment(self, table: KeyPath) -> None:
        start = self.at
        path = table
        for part in self._key():
            path = (*path, part)
            self._note(path, start)
        self.at += 1  # the equals sign
        self._value(path)

    def _key(self) -> Iterator[str]:
        while True:
            self._skip(newlines=False)
            if self.text[self.at] in "\"'":
                yield self._string()
            else:
                match = _BARE.match(self.text, self.at)
                if match is None:
                    return
                self.at = match.end()
                yield match.group()
            self._skip(newlines=False)
            if self.text[self.at] != ".":
                return
            self.at += 1

    def _value(self, path: KeyPath) -> None:
        self._skip(newlines=False)
        letter = self.text[self.at]
        if letter in "\"'":
            self._string()
        elif letter == "[":
            self._array(path)
        elif letter == "{":
            self._inline(path)
        elif match := _SCALAR.match(self.text, self.at):
            self.at = match.end()

    def _array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self._skip() and self.text[self.at] != "]":
            start = self.at
            self._note((*path, index), start)
            self._value((*path, index))
            self._skip()
            if self.text[self.at] == ",":
                self.at += 1
            index += 1
            self.at = max(self.at, start + 1)
        self.at += 1

    def _inline(self, path: KeyPath) -> None:
        self.at += 1
        while self._skip() and self.text[self.at] != "}":
            start = self.at
            self._assignment(path)
            self._skip()
            if self.text[self.at] == ",":
                self.at += 1
            self.at = max(self.at, start + 1)
        self.at += 1

    def _string(self) -> str:
        quote = self.text[self.at]
        fence = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(fence)
        start = self.at
        while not self.text.startswith(fence, self.at):
            self.at += 2 if self.text[self.at] == "\\" and quote == '"' else 1
        while len(fence) == 3 and self.text.startswith(fence, self.at + 1):
            self.at += 1  # up to two quotes may stand before the closing ones
        inside = self.text[start : self.at]
        self.at += len(fence)
        return _ESCAPE.sub(_unescape, inside) if quote == '"' else inside

    def _skip(self, newlines: bool = True) -> bool:
        """Go past blanks and comments; False at the end of the text."""
        blanks = " \t\n" if newlines else " \t"
        while self.at < len(self.text):
            if self.text[self.at] in blanks:
                self.at += 1
            elif self.text[self.at] == "#" and newlines:
                end = self.text.find("\n", self.at)
                self.at = end if end >= 0 else len(self.text)
            else:
                return True
        return False

    def _note(self, path: KeyPath, at: int) -> None:
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], bisect_left(self._breaks, at) + 1)


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    return chr(int(code[1:], 16)) if code[0] in "uU" else _ESCAPES.get(code, code)
