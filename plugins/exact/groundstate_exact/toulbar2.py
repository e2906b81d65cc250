"""`solver/toulbar2`: exact branch and bound of weighted constraint networks by toulbar2.

Hurley et al.: Multi-language evaluation of exact solvers in graphical model discrete optimization
(2016); https://github.com/toulbar2/toulbar2. Its settings are global to the process and a solve
cannot be left from Python, so each runs in a process of its own, which is asked to stop when time
is over, and killed if it does not. Problems go there as files; energies are evaluated here.
"""

import importlib.util
import json
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge
from jaxtyping import Int, Shaped
from torch import Tensor

from groundstate.energy import Energy
from groundstate.errors import GroundstateError
from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_exact.parts import Part, forbids_all
from groundstate_exact.programs import Outcome, ProgramState, advance, open_program, status_of
from groundstate_exact.wcsp import Network, write_network
from groundstate_mrf.problem import open_problem

_GRACE = 2.0
"""Seconds from asking the process to stop to killing it."""


@dataclass(frozen=True, kw_only=True)
class Toulbar2:
    """toulbar2 with its own settings.

    A step runs until the optimum is found or its deadline is over; the next one begins anew, with
    the labels and the bound of the last one kept.

    Attributes:
        largest: labels of variables and joint labels of factors allowed, of one problem.

    Raises:
        ModuleNotFoundError: if pytoulbar2 is not installed.
    """

    largest: Annotated[int, Ge(1)] = 1 << 23

    def __post_init__(self) -> None:
        if importlib.util.find_spec("pytoulbar2") is None:
            raise ModuleNotFoundError(
                "solver/toulbar2 needs pytoulbar2: `pip install 'groundstate-exact[toulbar2]'`",
                name="pytoulbar2",
            )

    def init(
        self, energy: Energy, x0: Shaped[Tensor, "*shape"] | None, rng: torch.Generator
    ) -> ProgramState:
        return open_program(open_problem(energy), x0, rng, self.largest, "toulbar2")

    def step(self, energy: Energy, state: ProgramState, deadline: Deadline) -> ProgramState:
        return advance(open_problem(energy), state, self.largest, solved, deadline)

    def status(self, state: ProgramState) -> Int[Tensor, "*batch"]:
        return status_of(state)


def solved(part: Part, seconds: float) -> Outcome:
    """Solve one problem in another process."""
    if not len(part.counts):
        return Outcome(labels=np.zeros(0, np.int64), bound=part.constant)
    if forbids_all(part):
        return Outcome(bound=inf)
    with tempfile.TemporaryDirectory(prefix="groundstate-toulbar2-") as folder:
        network = write_network(part, Path(folder, "problem.wcsp"))
        stopped = _run(Path(folder), seconds)
        answer = Path(folder, "answer.json")
        if stopped and not answer.exists():
            return Outcome(ended=Status.RUNNING)
        return _outcome(network, json.loads(answer.read_text(encoding="ascii")), stopped)


def _outcome(network: Network, answer: dict[str, Any], stopped: bool) -> Outcome:
    labels, cost = answer["labels"], float(answer["bound"])
    if labels is None and not stopped:
        return Outcome(bound=inf)
    found = None if labels is None else np.array(labels, np.int64)
    bound = network.bound(cost) if isfinite(cost) else -inf
    ended = Status.RUNNING if stopped else Status.CONVERGED
    return Outcome(labels=found, bound=bound, ended=ended, closed=not stopped)


def _run(folder: Path, seconds: float) -> bool:
    """Run the process on the folder's problem; whether it had to be stopped.

    Raises:
        GroundstateError: if it fails.
    """
    code = "import sys; from groundstate_exact.toulbar2_process import main; main(*sys.argv[1:])"
    command = [sys.executable, "-c", code, "problem.wcsp", "answer.json"]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            _, said = process.communicate(timeout=seconds if isfinite(seconds) else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                process.communicate(timeout=_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
            return True
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        last = said.decode(errors="replace").strip().splitlines()[-1:]
        raise GroundstateError(
            f"toulbar2 ended with status {process.returncode}{': ' if last else ''}{''.join(last)}"
        )
    return False
