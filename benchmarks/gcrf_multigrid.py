"""Conjugate gradients with the multigrid preconditioner beside scipy's `cg` and pyamg.

The same systems for all (real photos, 4-neighbour grid, 512 x 512, weights from 1e-3 to 1,
float64), the same true relative residual, one thread. Ours is timed through `solve`, with every
check of the core; making the hierarchy is part of every time, and stands beside it.

    pip install -c constraints.txt -r benchmarks/requirements.txt
    OMP_WAIT_POLICY=passive python benchmarks/gcrf_multigrid.py [--quick] [--json [FILE]] [--fresh]

scipy has the same matrix in CSR and a Jacobi preconditioner. pyamg solves by its own preconditioned
conjugate gradients, with Ruge-Stueben, smoothed-aggregation and root-node hierarchies as they come.
A time counts as an answer only where the residual, recomputed here for everybody, is within the
tolerance.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import argparse
import importlib
import importlib.util
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from photo_systems import PHOTOS, PhotoSystem, photo_system
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg
from threadpoolctl import threadpool_limits

from groundstate.solving import solve
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.preconditioners.hierarchy import multigrid

TOLERANCE = 1e-8
LIMIT = 50_000
SIDE = 512
RESULTS = Path(__file__).parent / "results"
PEERS = ("scipy", "pyamg")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a method did.

    Attributes:
        x: the solution.
        iterations: of conjugate gradients.
        setup: seconds of making the preconditioner; None where that is not told apart.
    """

    x: np.ndarray
    iterations: int
    setup: float | None


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One method on one system.

    Attributes:
        photo: the guide.
        method: whose, and with which preconditioner.
        seconds: median over the repeats, set-up included.
        processor_seconds: the same of the processor time, which a busy machine stretches less.
        setup_seconds: median of the set-up alone; None where there is none to speak of.
        repeats: how many.
        iterations: of conjugate gradients.
        residual: true, relative.
        ok: whether it is within the tolerance.
    """

    photo: str
    method: str
    seconds: float
    processor_seconds: float
    setup_seconds: float | None
    repeats: int
    iterations: int
    residual: float
    ok: bool


def ours(system: PhotoSystem) -> Answer:
    """`solver/cg` through the core's loop, which makes the hierarchy itself."""
    solver = ConjugateGradients(tolerance=TOLERANCE, preconditioner="multigrid")
    solution = solve(system.energy, solver)
    x = solution.x.reshape(-1).numpy()
    return Answer(x=x, iterations=int(solution.stats["iterations"]), setup=None)


def our_setup(system: PhotoSystem) -> float:
    """Seconds of the hierarchy alone."""
    began = time.perf_counter()
    with torch.no_grad():
        multigrid(system.energy)
    return time.perf_counter() - began


def ours_plain(system: PhotoSystem) -> Answer:
    """`solver/cg` as it comes, with Jacobi."""
    solution = solve(system.energy, ConjugateGradients(tolerance=TOLERANCE))
    x = solution.x.reshape(-1).numpy()
    return Answer(x=x, iterations=int(solution.stats["iterations"]), setup=None)


def scipys(system: PhotoSystem) -> Answer:
    """What scipy's `cg` does with a Jacobi preconditioner."""
    inverse = 1 / np.asarray(system.matrix.diagonal(), dtype=np.float64)
    operator = cast(Any, LinearOperator)  # its types do not know `matvec=`
    count = [0]

    def tick(_: np.ndarray) -> None:
        count[0] += 1

    x, _ = cg(
        system.matrix,
        system.right[0],
        rtol=TOLERANCE,
        maxiter=LIMIT,
        M=operator(system.matrix.shape, matvec=lambda r: inverse * r, dtype=inverse.dtype),
        callback=tick,
    )
    return Answer(x=x, iterations=count[0], setup=None)


def pyamgs(system: PhotoSystem, method: str) -> Answer:
    """What pyamg does, by its own preconditioned conjugate gradients."""
    # a peer, installed by `make bench` only: type checkers need not find it
    pyamg: Any = importlib.import_module("pyamg")
    matrix = csr_matrix(system.matrix)
    began = time.perf_counter()
    hierarchy = getattr(pyamg, method)(matrix)
    setup = time.perf_counter() - began
    residuals: list[float] = []
    x = hierarchy.solve(
        system.right[0], tol=TOLERANCE, maxiter=LIMIT, accel="cg", residuals=residuals
    )
    return Answer(x=x, iterations=len(residuals) - 1, setup=setup)


METHODS: dict[str, Callable[[PhotoSystem], Answer]] = {
    "groundstate, multigrid": ours,
    "scipy, jacobi": scipys,
    "pyamg, Ruge-Stueben": lambda system: pyamgs(system, "ruge_stuben_solver"),
    "pyamg, smoothed aggregation": lambda system: pyamgs(system, "smoothed_aggregation_solver"),
    "pyamg, root node": lambda system: pyamgs(system, "rootnode_solver"),
    "groundstate, jacobi": ours_plain,
}
QUICK = ("groundstate, multigrid", "scipy, jacobi", "pyamg, Ruge-Stueben")


def median(values: list[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return statistics.median(known) if known else None


def true_residual(system: PhotoSystem, x: np.ndarray) -> float:
    left = system.right[0] - system.matrix @ x
    return float(np.linalg.norm(left) / np.linalg.norm(system.right[0]))


def measure(photo: str, side: int, repeats: int, names: tuple[str, ...]) -> list[Measurement]:
    """Every method, taking turns, so that a busy moment hits all alike."""
    torch.set_num_threads(1)
    system = photo_system(photo, right_hand_sides=1, side=side)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in names}
    setups: dict[str, list[float | None]] = {name: [] for name in names}
    answers: dict[str, Answer] = {}
    with threadpool_limits(1):
        for _ in range(repeats):
            for name in names:
                began, used = time.perf_counter(), time.process_time()
                answers[name] = METHODS[name](system)
                seconds[name].append(time.perf_counter() - began)
                processor[name].append(time.process_time() - used)
                mine = name == "groundstate, multigrid"
                setups[name].append(our_setup(system) if mine else answers[name].setup)
    residuals = {name: true_residual(system, answer.x) for name, answer in answers.items()}
    return [
        Measurement(
            photo=photo,
            method=name,
            seconds=statistics.median(seconds[name]),
            processor_seconds=statistics.median(processor[name]),
            setup_seconds=median(setups[name]),
            repeats=repeats,
            iterations=answer.iterations,
            residual=residuals[name],
            ok=residuals[name] <= TOLERANCE,
        )
        for name, answer in answers.items()
    ]


def remembered(photo: str, quick: bool) -> list[Measurement]:
    """Measurements of one photo, from an earlier run where there are any."""
    file = RESULTS / f"gcrf-multigrid-{photo}{'-quick' if quick else ''}.json"
    if file.exists():
        return [Measurement(**each) for each in json.loads(file.read_text())]
    measured = measure(photo, SIDE, 3 if quick else 7, QUICK if quick else tuple(METHODS))
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps([asdict(each) for each in measured]))
    return measured


def ratios(measured: list[Measurement]) -> list[dict[str, object]]:
    """The time of each peer's best over ours, per photo; above 1 ours is faster."""
    rows: list[dict[str, object]] = []
    for photo in dict.fromkeys(each.photo for each in measured):
        group = [each for each in measured if each.photo == photo]
        (mine,) = (each for each in group if each.method == "groundstate, multigrid")
        row: dict[str, object] = {"photo": photo, "ours within tolerance": mine.ok}
        for peer in PEERS:
            fitting = [each for each in group if each.method.startswith(peer) and each.ok]
            best = min(fitting, key=lambda each: each.seconds, default=None)
            row[peer] = None if best is None else best.seconds / mine.seconds
            row[f"{peer}, processor time"] = (
                None if best is None else best.processor_seconds / mine.processor_seconds
            )
        rows.append(row)
    return rows


def show(measured: list[Measurement], rows: list[dict[str, object]]) -> None:
    print("| photo | method | s | of it set-up | processor s | iterations | true residual |")
    print("|---|---|---|---|---|---|---|")
    for m in measured:
        setup = "" if m.setup_seconds is None else f"{m.setup_seconds:.3f}"
        miss = "" if m.ok else " (misses)"
        print(
            f"| {m.photo} | {m.method} | {m.seconds:.3f} | {setup} | {m.processor_seconds:.3f} "
            f"| {m.iterations} | {m.residual:.1e}{miss} |"
        )
    print("\nHow many times faster ours is than each peer's best that is within the tolerance:\n")
    print("| photo | than scipy | than pyamg |")
    print("|---|---|---|")
    for row in rows:
        cells = ("none fits" if row[peer] is None else f"{row[peer]:.1f}" for peer in PEERS)
        print(f"| {row['photo']} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one photo, fewer methods: a minute")
    parser.add_argument("--json", nargs="?", const="-", help="write JSON, to a file or the output")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--photos", nargs="+", choices=PHOTOS, default=PHOTOS)
    arguments = parser.parse_args()
    if importlib.util.find_spec("pyamg") is None:
        parser.error("the peers are not installed: `pip install -r benchmarks/requirements.txt`")
    if arguments.fresh:
        for file in RESULTS.glob("gcrf-multigrid-*.json"):
            file.unlink()
    measure("coffee", 64, 1, tuple(METHODS))  # warm up
    measured: list[Measurement] = []
    for photo in ("coffee",) if arguments.quick else arguments.photos:
        measured += remembered(photo, arguments.quick)
        print(f"{photo}: done", file=sys.stderr)
    rows = ratios(measured)
    machine = {"processor": platform.processor() or platform.machine()}
    machine |= {"python": platform.python_version(), "torch": torch.__version__}
    found = [asdict(each) for each in measured]
    text = json.dumps({"machine": machine, "measurements": found, "ratios": rows}, indent=1)
    if arguments.json == "-":
        print(text)
        return
    if arguments.json is not None:
        Path(arguments.json).write_text(text)
    show(measured, rows)


if __name__ == "__main__":
    main()
