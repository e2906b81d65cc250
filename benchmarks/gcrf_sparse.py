"""Sparse Gaussian CRFs of label scores beside scipy's `cg` on the assembled system.

Contrast grids of a real photo at the sizes of the theses, 41 x 41 and 109 x 85 with 21 labels, 4
neighbours, λ = 1.75 |λ_min| (spec §3.5, §11.2, §12 C3). Everybody solves to ‖b - Ax‖ / ‖b‖ ≤ 1e-6
from 0, on one thread; ours through `solve`, with every check of the core. scipy gets the matrix
assembled, in CSR with 32-bit indices, and its assembly is not timed.

    python benchmarks/gcrf_sparse.py [--quick] [--json [PATH]] [--fresh]
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gcrf_systems import Kind, LabelSystem, label_system, photo
from measuring import (
    Answer,
    Row,
    begin,
    machine,
    milliseconds,
    publish,
    relative_residual,
    table,
    take_turns,
    times,
)
from scipy.sparse.linalg import cg

import groundstate as gs
from groundstate.solving import solve

TOLERANCE = 1e-6
SIZES = ((41, 41), (85, 109))
LABELS = 21
FLOOR, GOAL, GENERAL_GOAL = 6.0, 15.0, 2.0
OURS: dict[str, dict[str, Any]] = {
    "cg": {"tolerance": TOLERANCE, "preconditioner": "none"},
    "potts-cg": {"tolerance": TOLERANCE},
    "potts-split": {"tolerance": TOLERANCE},
    "auto-quadratic": {"tolerance": TOLERANCE},
}


def ours(system: LabelSystem, solver: Any) -> Answer:
    """One of our solvers, through the core's loop."""
    solution = solve(system.energy, solver)
    iterations = solution.stats.get("iterations")
    return Answer(
        x=solution.x.reshape(-1).numpy(),
        iterations=None if iterations is None else int(iterations),
        note=str(solution.stats.get("solver", "")),
    )


def scipys(system: LabelSystem) -> Answer:
    """Scipy's `cg`, plain: the diagonal of A is constant."""
    count = [0]

    def tick(_: np.ndarray) -> None:
        count[0] += 1

    x, _ = cg(system.matrix, system.right, rtol=TOLERANCE, maxiter=10_000, callback=tick)
    return Answer(x=x, iterations=count[0])


def measure(size: tuple[int, int], kind: Kind, dtype: torch.dtype, repeats: int) -> list[Row]:
    """Ours and scipy, by turns, on one system."""
    image = photo("cat", *size)
    system = label_system("cat", image, labels=LABELS, kind=kind, factor=1.75, dtype=dtype)
    registry = gs.load()
    methods: dict[str, Callable[[], Answer]] = {"scipy cg": lambda: scipys(system)}
    for name, settings in OURS.items():
        if kind == "general" and name.startswith("potts"):
            continue
        solver = registry.build(f"solver/{name}", **settings)
        methods[name] = lambda solver=solver: ours(system, solver)
    found = take_turns(methods, repeats)
    double = system.matrix.astype(np.float64)
    peer = found["scipy cg"]
    rows: list[Row] = []
    for name, timing in found.items():
        answer = timing.answer
        residual = relative_residual(lambda x: double @ x, system.right, answer.x)
        rows.append(
            {
                "size": f"{size[1]}×{size[0]}×{LABELS}",
                "kind": kind,
                "dtype": str(dtype).removeprefix("torch."),
                "method": name,
                "picked": answer.note,
                "seconds": timing.seconds,
                "processor": timing.processor,
                "repeats": timing.repeats,
                "iterations": answer.iterations,
                "residual": residual,
                "ok": residual <= TOLERANCE * 1.01,
                "times faster": peer.seconds / timing.seconds,
                "by processor time": peer.processor / timing.processor,
            }
        )
    return rows


def verdicts(rows: list[Row]) -> list[Row]:
    """The best of ours that is within the tolerance, against floor and goal."""
    found: list[Row] = []
    for key in dict.fromkeys((row["size"], row["kind"], row["dtype"]) for row in rows):
        group = [row for row in rows if (row["size"], row["kind"], row["dtype"]) == key]
        mine = [row for row in group if row["method"] != "scipy cg" and row["ok"]]
        best = max(mine, key=lambda row: row["times faster"])
        auto = next(row for row in group if row["method"] == "auto-quadratic")
        general = key[1] == "general"
        ratio = best["times faster"]
        found.append(
            dict(zip(("size", "kind", "dtype"), key, strict=True))
            | {
                "best": best["method"],
                "times faster": ratio,
                "auto": auto["times faster"],
                "floor met": None if general else ratio >= FLOOR,
                "goal met": ratio >= (GENERAL_GOAL if general else GOAL),
            }
        )
    return found


def main() -> None:
    arguments, memory = begin("gcrf_sparse", __doc__)
    repeats = 5 if arguments.quick else 15
    types = (torch.float32,) if arguments.quick else (torch.float64, torch.float32)
    rows: list[Row] = []
    for kind in ("Potts", "general"):
        for size in SIZES[:1] if arguments.quick else SIZES:
            for dtype in types:
                rows += memory.rows(
                    f"{kind} {size} {dtype}",
                    lambda kind=kind, size=size, dtype=dtype: measure(size, kind, dtype, repeats),
                )
    lines = [
        (
            row["kind"],
            row["size"],
            row["dtype"],
            row["method"] + (f" ({row['picked']})" if row["picked"] else ""),
            milliseconds(row["seconds"]),
            "-" if row["iterations"] is None else row["iterations"],
            f"{row['residual']:.1e}",
            times(row["times faster"]),
            times(row["by processor time"]),
        )
        for row in rows
    ]
    headers = ("terms", "system", "type", "method", "ms", "iterations", "true residual", "faster")
    headers += ("by processor time",)
    judged = verdicts(rows)
    text = (
        table(headers, lines) + "\n\nThe best of ours; Potts: floor 6×, goal 15×; general: 2×.\n\n"
    )
    text += table(
        ("terms", "system", "type", "best", "faster", "auto", "floor", "goal"),
        [
            (
                each["kind"],
                each["size"],
                each["dtype"],
                each["best"],
                times(each["times faster"]),
                times(each["auto"]),
                {None: "-", True: "met", False: "missed"}[each["floor met"]],
                "met" if each["goal met"] else "missed",
            )
            for each in judged
        ],
    )
    publish(arguments, {"machine": machine(), "rows": rows, "verdicts": judged}, text)


if __name__ == "__main__":
    main()
