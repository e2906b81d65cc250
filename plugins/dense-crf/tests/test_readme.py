"""What the README shows runs as it stands there."""

import re
from pathlib import Path

import pytest

_README = Path(__file__).parent.parent / "README.md"
_SNIPPETS = re.findall(r"```python\n(.*?)```", _README.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("snippet", _SNIPPETS)
def test_snippet_runs(snippet: str) -> None:
    exec(compile(snippet, str(_README), "exec"), {})
