"""The command line. Plain listings answer without loading typer, rich or any library of numbers."""

import sys


def main() -> None:
    """Entry point of the `groundstate` command."""
    from groundstate.cli.listing import answer

    code = answer(sys.argv[1:])
    if code is None:
        from groundstate.cli.app import run_app

        code = run_app()
    sys.exit(code)
