"""Where commands print. Loads no library of numbers: commands that only look print here, too."""

from rich.console import Console

out = Console(soft_wrap=True, emoji=False)
err = Console(stderr=True, soft_wrap=True, emoji=False)


def say(message: str) -> None:
    """Tell something beside the result, on the error stream, as it is."""
    err.print(message, markup=False, highlight=False)
