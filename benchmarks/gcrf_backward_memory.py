"""What a gradient through conjugate gradients keeps in memory: implicit beside unrolled.

One system from a real photo (4-neighbour grid, 128 x 128, float64, 50 patches pinned), learned edge
weights and values. The implicit gradient solves once more with the same matrix; the unrolled one
keeps every iteration, ours as well as a textbook loop of torch operations. All do the same number
of iterations: the implicit one stops at the residual that they reach.

    OMP_WAIT_POLICY=passive python benchmarks/gcrf_backward_memory.py [--quick] [--json [PATH]]

"kept" is what autograd holds between forward and backward pass, counted tensor by tensor; "peak" is
the growth of the resident memory of a process that does nothing else. The error is that of the
gradient in the edge weights against the one through sparse factors.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from measuring import Row, begin, machine, milliseconds, peak_of, publish, table, take_turns, times
from photo_systems import photo_system
from torch import Tensor

from groundstate.energy import view
from groundstate.solver import Deadline
from groundstate.solving import solve
from groundstate.views import Quadratic
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.grid import GridGcrf
from groundstate_gcrf.sparse_direct import sparse_direct

EVERY = 10
"""Iterations between two looks at the true residual, and in a step."""
Method = Literal["implicit", "unrolled", "textbook loop"]
METHODS: tuple[Method, ...] = ("implicit", "unrolled", "textbook loop")


def learned(side: int) -> GridGcrf:
    """The energy with leaves that gradients reach."""
    energy = photo_system("coffee", right_hand_sides=1, side=side).energy
    fresh = {name: getattr(energy, name).clone() for name in ("right", "down", "values")}
    return replace(energy, **{name: each.requires_grad_() for name, each in fresh.items()})


def reached(energy: GridGcrf, iterations: int) -> float:
    """The lowest residual within that many iterations."""
    solver = ConjugateGradients(tolerance=0.0, check_every=EVERY)
    with torch.no_grad():
        state = solver.init(energy, None, torch.Generator())
        found: list[float] = []
        for _ in range(iterations // EVERY):
            state = solver.step(energy, state, Deadline())
            assert state.residual is not None
            found.append(float(state.residual.max()))
    return min(found)


def textbook(energy: GridGcrf, iterations: int) -> Tensor:
    """Preconditioned conjugate gradients as everybody writes them."""
    quadratic = view(energy, Quadratic)
    inverse = 1 / quadratic.diagonal
    x, left = torch.zeros_like(quadratic.linear), quadratic.linear
    scaled = inverse * left
    direction, product = scaled, (left * scaled).sum()
    for _ in range(iterations):
        image = quadratic.matvec(direction)
        length = product / (direction * image).sum()
        x, left = x + length * direction, left - length * image
        scaled = inverse * left
        before, product = product, (left * scaled).sum()
        direction = scaled + (product / before) * direction
    return x


def forward(method: Method, energy: GridGcrf, iterations: int, tolerance: float) -> Tensor:
    if method == "textbook loop":
        return textbook(energy, iterations)
    solver = ConjugateGradients(
        tolerance=(1 + 1e-9) * tolerance if method == "implicit" else 0.0, check_every=EVERY
    )
    steps = iterations // EVERY
    # the backward pass may need another few: its right-hand side is another
    steps = 10 * steps if method == "implicit" else steps
    return solve(energy, solver, steps=steps, gradient=method).x


def loss(x: Tensor) -> Tensor:
    return x.square().mean()


def slope(energy: GridGcrf, x: Tensor) -> Tensor:
    return torch.autograd.grad(loss(x), (energy.right, energy.down, energy.values))[0]


def kept(run: Callable[[], Tensor]) -> int:
    """Bytes that autograd holds on to, each storage once."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        x = run()
    del x
    return sum(seen.values())


def resident(line: str) -> int:
    """Bytes, by a line of what Linux tells of this process: "VmRSS" now, "VmHWM" at most."""
    for each in Path("/proc/self/status").read_text().splitlines():
        if each.startswith(line):
            return 1024 * int(each.split()[1])
    raise RuntimeError(f"/proc/self/status has no {line}: memory is measured on Linux")


def alone(method: Method, side: int, iterations: int, tolerance: float) -> None:
    """One forward and backward pass; for a process that measures its memory."""
    torch.set_num_threads(1)
    small = learned(16)  # compiles and loads what there is to load
    slope(small, forward(method, small, EVERY, 1e-1))
    energy = learned(side)
    before = resident("VmRSS")
    # from here on the peak counts anew; that of getrusage would begin at the parent's
    Path("/proc/self/clear_refs").write_text("5")
    slope(energy, forward(method, energy, iterations, tolerance))
    print(json.dumps({"growth": resident("VmHWM") - before}))


ALONE = """
import sys
from gcrf_backward_memory import alone
alone(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
"""


def measure(side: int, iterations: int, repeats: int) -> list[Row]:
    """All methods at one number of iterations."""
    energy = learned(side)
    tolerance = reached(energy, iterations)
    exact = slope(energy, solve(energy, sparse_direct(), gradient="implicit").x)
    held: dict[str, Tensor] = {}

    def ahead(method: Method) -> Callable[[], Tensor]:
        return lambda: (
            held.__setitem__(method, forward(method, energy, iterations, tolerance)) or held[method]
        )

    def back(method: Method) -> Callable[[], Tensor]:
        # the graph is kept, so that the backward pass can be timed by itself
        leaves = (energy.right, energy.down, energy.values)
        return lambda: torch.autograd.grad(loss(held[method]), leaves, retain_graph=True)[0]

    forwards = take_turns({name: ahead(name) for name in METHODS}, repeats)
    backwards = take_turns({name: back(name) for name in METHODS}, repeats)
    held.clear()
    rows: list[Row] = []
    for name in METHODS:
        found = backwards[name].answer
        memory = peak_of(ALONE, name, str(side), str(iterations), repr(tolerance))
        rows.append(
            {
                "method": name,
                "side": side,
                "iterations": iterations,
                "residual": tolerance,
                "forward_seconds": forwards[name].seconds,
                "backward_seconds": backwards[name].seconds,
                "repeats": repeats,
                "kept_bytes": kept(ahead(name)),
                "peak_bytes": memory["growth"],
                "gradient_error": float((found - exact).norm() / exact.norm()),
            }
        )
    return rows


def ratios(rows: list[Row]) -> list[Row]:
    """Unrolled over implicit at each number of iterations."""
    found: list[Row] = []
    for count in dict.fromkeys(row["iterations"] for row in rows):
        by = {row["method"]: row for row in rows if row["iterations"] == count}
        ratio: Row = {"iterations": count}
        for name in METHODS[1:]:
            whole = [
                by[each]["forward_seconds"] + by[each]["backward_seconds"]
                for each in (name, "implicit")
            ]
            ratio[f"{name}: kept"] = by[name]["kept_bytes"] / by["implicit"]["kept_bytes"]
            ratio[f"{name}: seconds"] = whole[0] / whole[1]
        found.append(ratio)
    return found


def main() -> None:
    arguments, memory = begin("gcrf-backward-memory", __doc__)
    side = 64 if arguments.quick else 128
    counts = (10, 100) if arguments.quick else (10, 30, 100, 300, 1000)
    repeats = 3 if arguments.quick else 5
    rows: list[Row] = []
    for count in counts:
        rows += memory.rows(f"{side}, {count}", lambda n=count: measure(side, n, repeats))
    lines = [
        (
            row["iterations"],
            row["method"],
            f"{row['kept_bytes'] / 2**20:.1f}",
            f"{row['peak_bytes'] / 2**20:.0f}",
            milliseconds(row["forward_seconds"]),
            milliseconds(row["backward_seconds"]),
            f"{row['residual']:.1e}",
            f"{row['gradient_error']:.1e}",
        )
        for row in rows
    ]
    head = ("iterations", "gradient", "kept MiB", "peak MiB", "forward ms", "backward ms")
    text = table((*head, "residual", "error of the gradient"), lines)
    compared = ratios(rows)
    shown = [[each["iterations"], *map(times, list(each.values())[1:])] for each in compared]
    text += "\n\nOver implicit:\n\n" + table(list(compared[0]), shown)
    publish(arguments, {"machine": machine(), "rows": rows, "ratios": compared}, text)


if __name__ == "__main__":
    sys.exit(main())
