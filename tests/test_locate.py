"""Every key of a TOML text is found on its line."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from groundstate.locate import KeyPath, lines_of, written

Expected = dict[KeyPath, int]

CASES: list[tuple[str, Expected]] = [
    ("a = 1\nb = 2\n", {("a",): 1, ("b",): 2}),
    ("\n# c\n[t]\nx = 1", {("t",): 3, ("t", "x"): 4}),
    ("[a.b]\nx = 1", {("a",): 1, ("a", "b"): 1, ("a", "b", "x"): 2}),
    ('[presets."solver/cg"]\ns = 1e-6', {("presets", "solver/cg", "s"): 2}),
    ("[p.'a.b']\nx=1", {("p", "a.b", "x"): 2}),
    ('[ a . "b" ]\nx = 1', {("a", "b", "x"): 2}),
    ("a.b.c = 1\na.d = 2", {("a", "b", "c"): 1, ("a", "d"): 2}),
    ('x = { use = "[no]", k = "# = }" } # } \ny = 1', {("x", "k"): 1, ("y",): 2}),
    ("x = [\n 1, # one ]\n 2,\n]\ny = 3", {("x", 0): 2, ("x", 1): 3, ("y",): 5}),
    ("x = [\n {a = 1},\n {b = [1,\n2]},\n]", {("x", 1, "b"): 3, ("x", 1, "b", 1): 4}),
    (
        "[[t]]\na=1\n[[t]]\na=2\n[t.u]\nb=1",
        {("t", 0, "a"): 2, ("t", 1, "a"): 4, ("t", 1, "u", "b"): 6},
    ),
    ('s = """\n[x]\na = 1\n"""\nb = 1', {("s",): 1, ("b",): 5}),
    ("s = '''\n[x] \"\"\"\n'''\nb = 1", {("b",): 4}),
    ('s = """a""" \nt = """""q"""""\nb = 1', {("t",): 2, ("b",): 3}),
    ('s = "a\\"b # \\\\"\nb = 1', {("b",): 2}),
    ("s = 'C:\\'\nb = 1", {("b",): 2}),
    ('"a\\u00e9" = 1', {("aé",): 1}),
    ("d = 1979-05-27 07:32:00\nf = 1_000.5\ni = inf\nb = true", {("i",): 3, ("b",): 4}),
    ("a = 1\r\nb = 2\r\n", {("b",): 2}),
    ("a = []\nb = {}\nc = [[], [1]]", {("b",): 2, ("c", 1, 0): 3}),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_lines_are_found(text: str, expected: Expected) -> None:
    tomllib.loads(text)  # the case itself is valid
    lines = lines_of(text)
    assert {path: lines.get(path) for path in expected} == expected


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_the_paths_are_those_of_tomllib(text: str, expected: Expected) -> None:
    def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
        pairs = getattr(value, "items", lambda: enumerate(value))()
        for key, item in pairs:
            yield (*path, key)
            if isinstance(item, dict | list):
                yield from paths(item, (*path, key))

    assert set(lines_of(text)) == set(paths(tomllib.loads(text)))


@pytest.mark.parametrize(
    "text", ["[", "a = ", "a = [1,", 'a = "', "= 1", "a = {b", "]]", "a b", "[]\n="]
)
def test_broken_text_ends(text: str) -> None:
    lines_of(text)


def test_a_path_reads_as_written() -> None:
    assert (
        written(("presets", "solver/cg", "compare", 1, "x")) == 'presets."solver/cg".compare[1].x'
    )
