"""What is printed is what was said."""

import pytest

from groundstate.cli.console import say


def test_line_numbers_are_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    say("registry.toml:100: not this one [bold]")
    assert "registry.toml:100: not this one [bold]" in capsys.readouterr().err
