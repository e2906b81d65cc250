"""The command line. Plain listings answer without loading typer, rich or any library of numbers."""

import os
import sys


def main() -> None:
    """Entry point of the `groundstate` command."""
    from groundstate.cli.listing import answer

    try:
        code = answer(sys.argv[1:])
        if code is None:
            from groundstate.cli.app import run_app

            code = run_app()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # whoever read our output, such as `head`, has enough; nothing is left to flush to
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)
