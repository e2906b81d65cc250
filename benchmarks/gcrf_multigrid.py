"""Conjugate gradients with the multigrid preconditioner beside scipy's `cg` and pyamg.

The same systems for all (real photos, 4-neighbour grid, 512 x 512, weights from 1e-3 to 1,
float64), the same true relative residual, one thread. Ours is timed through `solve`, with every
check of the core. Making the hierarchy is part of every time, and stands beside it.

    pip install -c constraints.txt -r benchmarks/requirements.txt
    OMP_WAIT_POLICY=passive python benchmarks/gcrf_multigrid.py [--quick] [--json [PATH]] [--fresh]

scipy has the same matrix in CSR and a Jacobi preconditioner. pyamg solves by its own preconditioned
conjugate gradients, with its hierarchies as they come. A time counts as an answer only where the
residual, recomputed here for everybody, is within the tolerance.
"""

# pyright: basic, reportMissingTypeStubs=false, reportMissingImports=false
# (the peers have no types, and may be absent)

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
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
from photo_systems import PHOTOS, PhotoSystem, photo_system
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from groundstate.solving import solve
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.preconditioners.hierarchy import multigrid
from groundstate_gcrf.preconditioners.making import Name

TOLERANCE, LIMIT, SIDE = 1e-8, 50_000, 512
OURS = "groundstate, multigrid"
PEERS = ("scipy", "pyamg")


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to solve a system.

    Attributes:
        run: all of it.
        setup: the part before the first iteration, once more; None where there is hardly any.
    """

    run: Callable[[], Answer]
    setup: Callable[[], Any] | None = None


def ours(system: PhotoSystem, preconditioner: Name) -> Callable[[], Answer]:
    """`solver/cg` through the core's loop, which makes the hierarchy itself."""

    def run() -> Answer:
        solver = ConjugateGradients(tolerance=TOLERANCE, preconditioner=preconditioner)
        solution = solve(system.energy, solver)
        x = solution.x.reshape(-1).numpy()
        return Answer(x=x, iterations=int(solution.stats["iterations"]))

    return run


@torch.no_grad()
def our_setup(system: PhotoSystem) -> None:
    multigrid(system.energy)


def scipys(system: PhotoSystem) -> Callable[[], Answer]:
    """The `cg` of scipy, with the diagonal."""
    inverse = 1 / np.asarray(system.matrix.diagonal(), dtype=np.float64)
    operator: Any = LinearOperator
    jacobi = operator(system.matrix.shape, matvec=lambda r: inverse * r, dtype=inverse.dtype)

    def run() -> Answer:
        count = [0]

        def tick(_: np.ndarray) -> None:
            count[0] += 1

        right = system.right[0]
        x, _ = cg(system.matrix, right, rtol=TOLERANCE, maxiter=LIMIT, M=jacobi, callback=tick)
        return Answer(x=x, iterations=count[0])

    return run


def pyamgs(system: PhotoSystem, make: Callable[[Any], Any]) -> Method:
    """One of pyamg's hierarchies, before its own conjugate gradients."""
    matrix = csr_matrix(system.matrix)

    def run() -> Answer:
        residuals: list[float] = []
        x = make(matrix).solve(
            system.right[0], tol=TOLERANCE, maxiter=LIMIT, accel="cg", residuals=residuals
        )
        return Answer(x=x, iterations=len(residuals) - 1)

    return Method(run=run, setup=lambda: make(matrix))


def methods_of(system: PhotoSystem, quick: bool) -> dict[str, Method]:
    """Ours, and every peer's."""
    import pyamg

    found = {
        OURS: Method(run=ours(system, "multigrid"), setup=lambda: our_setup(system)),
        "scipy, jacobi": Method(run=scipys(system)),
        "pyamg, Ruge-Stueben": pyamgs(system, pyamg.ruge_stuben_solver),
    }
    if quick:
        return found
    return found | {
        "pyamg, smoothed aggregation": pyamgs(system, pyamg.smoothed_aggregation_solver),
        "pyamg, root node": pyamgs(system, pyamg.rootnode_solver),
        "groundstate, jacobi": Method(run=ours(system, "jacobi")),
    }


def measure(photo: str, quick: bool) -> list[Row]:
    """All methods on the system of one photo."""
    system = photo_system(photo, right_hand_sides=1, side=SIDE)
    methods = methods_of(system, quick)
    runs: dict[str, Callable[[], Any]] = {name: each.run for name, each in methods.items()}
    setups = {f"{n}: set-up": m.setup for n, m in methods.items() if m.setup is not None}
    timed = take_turns(runs | setups, 3 if quick else 5)
    rows: list[Row] = []
    for name in methods:
        answer, setup = timed[name].answer, timed.get(f"{name}: set-up")
        residual = relative_residual(lambda x: system.matrix @ x, system.right[0], answer.x)
        rows.append(
            {
                "photo": photo,
                "method": name,
                "seconds": timed[name].seconds,
                "setup_seconds": None if setup is None else setup.seconds,
                "repeats": timed[name].repeats,
                "iterations": answer.iterations,
                "residual": residual,
                "ok": residual <= TOLERANCE,
            }
        )
    return rows


def ratios_of(rows: list[Row]) -> list[Row]:
    """The time of each peer's best over ours, per photo; above 1 ours is faster."""
    found: list[Row] = []
    for photo in dict.fromkeys(row["photo"] for row in rows):
        group = [row for row in rows if row["photo"] == photo]
        (mine,) = (row for row in group if row["method"] == OURS)
        ratios: Row = {"photo": photo, "ours within tolerance": mine["ok"]}
        for peer in PEERS:
            fitting = [r["seconds"] for r in group if r["method"].startswith(peer) and r["ok"]]
            ratios[peer] = min(fitting) / mine["seconds"] if fitting else None
        found.append(ratios)
    return found


def text_of(rows: list[Row], ratios: list[Row]) -> str:
    lines = [
        (
            row["photo"],
            row["method"],
            milliseconds(row["seconds"]),
            milliseconds(row["setup_seconds"]),
            row["iterations"],
            f"{row['residual']:.1e}{'' if row['ok'] else ' (misses)'}",
        )
        for row in rows
    ]
    headers = ("photo", "method", "ms", "of it set-up", "iterations", "true residual")
    compared = [(each["photo"], *(times(each[peer]) for peer in PEERS)) for each in ratios]
    return "\n\n".join(
        (
            table(headers, lines),
            "How many times faster ours is than each peer's best that is within the tolerance:",
            table(("photo", "scipy", "pyamg"), compared),
        )
    )


def main() -> None:
    arguments, memory = begin("gcrf_multigrid", __doc__)
    rows: list[Row] = []
    for photo in ("coffee",) if arguments.quick else PHOTOS:
        rows += memory.rows(photo, lambda photo=photo: measure(photo, arguments.quick))
    ratios = ratios_of(rows)
    found = {"machine": machine("pyamg"), "measurements": rows, "ratios": ratios}
    publish(arguments, found, text_of(rows, ratios))


if __name__ == "__main__":
    main()
