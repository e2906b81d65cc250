"""What `solve` adds to a step, against a bare Python loop over the same solver.

The solver does almost nothing, so that all that is left is the loop: budget in steps and seconds,
status, trace with the best configuration, and the checks at the end. The time within the energy
itself, which the trace has to evaluate, is measured and taken off.

    python benchmarks/loop.py [--quick] [--json]
"""

import argparse
import json
import platform
import statistics
import time
from dataclasses import dataclass, field

import torch
from torch import Tensor

from groundstate.energy import Energy, Views
from groundstate.solver import Deadline, State
from groundstate.solving import solve
from groundstate.space import Real

FLOOR = 60.0
"""Microseconds a step that must not be exceeded."""


@dataclass(kw_only=True)
class TimedEnergy:
    """The sum of squares, and the seconds spent on it."""

    space: Real = field(default_factory=lambda: Real(event_shape=(8,), dtype=torch.float64))
    seconds: float = 0.0

    @property
    def views(self) -> Views:
        return {}

    def __call__(self, x: Tensor, /) -> Tensor:
        began = time.perf_counter()
        value = (x * x).sum(-1)
        self.seconds += time.perf_counter() - began
        return value


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """A solver whose step makes a state and does nothing else."""

    running: Tensor = field(default_factory=lambda: torch.tensor(0))

    def init(self, energy: Energy, x0: Tensor | None, rng: torch.Generator) -> State:
        return State(x=torch.ones(8, dtype=torch.float64))

    def step(self, energy: Energy, state: State, deadline: Deadline) -> State:
        return State(x=state.x)

    def status(self, state: State) -> Tensor:
        return self.running


def bare(steps: int) -> float:
    """Seconds of the loop that anybody would write."""
    energy, solver, deadline = TimedEnergy(), Nothing(), Deadline()
    state = solver.init(energy, None, torch.Generator())
    began = time.perf_counter()
    for _ in range(steps):
        state = solver.step(energy, state, deadline)
    return time.perf_counter() - began


def ours(steps: int) -> float:
    """Seconds of `solve`, without those within the energy."""
    energy = TimedEnergy()
    began = time.perf_counter()
    solution = solve(energy, Nothing(), steps=steps, seconds=3600.0)
    seconds = time.perf_counter() - began
    assert solution.steps == steps
    return seconds - energy.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a line")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps, repeats = 5000, 5 if arguments.quick else 21
    for warm in (ours, bare):
        warm(steps)
    added = [(ours(steps) - bare(steps)) / steps * 1e6 for _ in range(repeats)]
    found = {
        "microseconds_per_step": round(statistics.median(added), 2),
        "fastest": round(min(added), 2),
        "slowest": round(max(added), 2),
        "floor": FLOOR,
        "met": statistics.median(added) <= FLOOR,
        "steps": steps,
        "repeats": repeats,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    if arguments.json:
        print(json.dumps(found, indent=1))
    else:
        print(
            f"solve adds {found['microseconds_per_step']} µs a step, the median of {repeats} "
            f"({found['fastest']} to {found['slowest']}); at most {FLOOR:.0f} are allowed"
        )


if __name__ == "__main__":
    main()
