"""Solves one network with toulbar2, in a process of its own; see `groundstate_exact.toulbar2`."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

_NEVER = 10**7
"""Seconds; a limit must be set, or toulbar2 does not heed the signal that stops it."""


def main(network: str, answer: str) -> None:
    """Read a network, solve it, write the best labels and the bound."""
    package: Any = import_module("pytoulbar2")
    problem = package.CFN(verbose=-1)
    problem.Read(network)
    found = problem.Solve(timeLimit=_NEVER)
    bound = problem.GetDDualBound()
    labels = None if found is None else [int(label) for label in found[0]]
    Path(answer).write_text(json.dumps({"labels": labels, "bound": bound}), encoding="ascii")
