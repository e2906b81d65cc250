"""Evidence files of the UAI competitions: labels of some variables, in one sample or several.

Two forms are in use. One sample: the number of pairs, then variable and label of each. Several
samples: how many, then for each the number of its pairs and the pairs. Where a file can be read
both ways, it is one sample. See https://uaicompetition.github.io/uci-2022/file-formats/.
"""

from collections.abc import Sequence
from pathlib import Path

from groundstate_mrf.tokens import Tokens


def read_evidence(path: Path, counts: Sequence[int]) -> list[dict[int, int]]:
    """The samples of a file: labels by variable.

    Args:
        path: the file.
        counts: number of labels of each variable of the problem.

    Raises:
        FormatError: naming the line and what was expected there.
    """
    words = _count(path)
    tokens = Tokens(path)
    first = tokens.whole("how many variables are given, or how many samples follow", 0)
    if words == 1 + 2 * first:
        samples = [_pairs(tokens, first, counts)]
    else:
        samples = [
            _pairs(tokens, tokens.whole(f"how many variables sample {each} gives", 0), counts)
            for each in range(first)
        ]
    tokens.end()
    return samples


def _count(path: Path) -> int:
    tokens, words = Tokens(path), 0
    while tokens.more():
        tokens.word("")
        words += 1
    return words


def _pairs(tokens: Tokens, number: int, counts: Sequence[int]) -> dict[int, int]:
    given: dict[int, int] = {}
    for each in range(number):
        expected = f"variable {each + 1} of {number}, 0 to {len(counts) - 1}"
        variable = tokens.whole(expected, 0, len(counts) - 1)
        if variable in given:
            tokens.fail(f"{expected}, each once", repr(str(variable)))
        most = counts[variable] - 1
        given[variable] = tokens.whole(f"a label of variable {variable}, 0 to {most}", 0, most)
    return given
