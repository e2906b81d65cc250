"""Conjugate gradients beside scipy's `cg` and linear_operator's `linear_cg`.

The same systems for all (real photos, 4-neighbour grid, 512 x 512, float64), the same relative
tolerance, the same number of threads. Ours is timed through `solve`, with every check of the core.
Peers get the same matrix in CSR, and are timed without and with the same Jacobi preconditioner.

    pip install --no-deps -r benchmarks/requirements.txt
    OMP_WAIT_POLICY=passive python benchmarks/cg.py [--quick] [--json] [--fresh]

Peers stop by the residual of their recurrence (linear_cg: averaged over the columns), so the true
one, recomputed here for everybody, stands beside each time. A time counts as an answer only where
that is within the tolerance.
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
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from photo_systems import PHOTOS, PhotoSystem, photo_system
from scipy.sparse.linalg import LinearOperator, cg
from threadpoolctl import threadpool_limits

from groundstate.solving import solve
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.preconditioners.making import Name

TOLERANCE = 1e-8
LIMIT = 50_000
PATIENCE = 1.1
"""linear_cg never ends where its residual stalls: it gets this many times our iterations."""
Answer = tuple[np.ndarray, list[int]]
"""Solutions `[right-hand sides, pixels]`, and iterations of each."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One method on one system.

    Attributes:
        photo: the guide.
        right_hand_sides: how many share the matrix.
        threads: allowed to everybody.
        method: whose, and with which preconditioner.
        seconds: median over the repeats.
        processor_seconds: the same of the processor time of all threads: what a busy machine does
            not stretch.
        repeats: how many.
        iterations: of each column; a single number where columns advance together.
        residuals: true relative residual of each column.
        ok: whether all of them are within the tolerance.
    """

    photo: str
    right_hand_sides: int
    threads: int
    method: str
    seconds: float
    processor_seconds: float
    repeats: int
    iterations: list[int]
    residuals: list[float]
    ok: bool


def ours(system: PhotoSystem, preconditioner: Name) -> Answer:
    """`solver/cg` through the core's loop."""
    solver = ConjugateGradients(tolerance=TOLERANCE, preconditioner=preconditioner)
    solution = solve(system.energy, solver)
    iterations = solution.state.recurrence.iterations
    return solution.x.reshape(system.right.shape).numpy(), iterations.flatten().tolist()


def scipys(system: PhotoSystem, jacobi: bool) -> Answer:
    """What scipy's `cg` does, one right-hand side after the other."""
    inverse = 1 / np.asarray(system.matrix.diagonal(), dtype=np.float64)
    shape = system.matrix.shape
    operator = cast(Any, LinearOperator)  # its types do not know `matvec=`
    preconditioner = operator(shape, matvec=lambda r: inverse * r, dtype=inverse.dtype)
    solutions: list[np.ndarray] = []
    iterations: list[int] = []
    for right in system.right:
        count = [0]

        def tick(_: np.ndarray, count: list[int] = count) -> None:
            count[0] += 1

        x, _ = cg(
            system.matrix,
            right,
            rtol=TOLERANCE,
            maxiter=LIMIT,
            M=preconditioner if jacobi else None,
            callback=tick,
        )
        solutions.append(x)
        iterations.append(count[0])
    return np.stack(solutions), iterations


def linear_operators(system: PhotoSystem, jacobi: bool, eps: float, limit: int) -> Answer:
    """What linear_operator's `linear_cg` does, all columns at once, with torch's CSR product."""
    matrix = system.matrix
    torch_matrix = torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr),
        torch.from_numpy(matrix.indices),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
    )
    inverse = torch.from_numpy(1 / np.asarray(matrix.diagonal(), dtype=np.float64))[:, None]
    calls = [0]

    def times(vectors: torch.Tensor) -> torch.Tensor:
        calls[0] += 1
        return torch_matrix @ vectors

    # a peer, installed by `make bench` only: type checkers need not find it
    peer: Any = importlib.import_module("linear_operator.utils")
    x = peer.linear_cg(
        times,
        torch.from_numpy(system.right.T.copy()),
        tolerance=TOLERANCE,
        eps=eps,
        stop_updating_after=TOLERANCE / 10,
        max_iter=limit,
        max_tridiag_iter=0,
        preconditioner=(lambda r: inverse * r) if jacobi else None,
    )
    return x.T.numpy(), [calls[0] - 1]


METHODS: dict[str, Callable[[PhotoSystem, int], Answer]] = {
    "groundstate, jacobi": lambda system, _: ours(system, "jacobi"),
    "groundstate, plain": lambda system, _: ours(system, "none"),
    "scipy, jacobi": lambda system, _: scipys(system, True),
    "scipy, plain": lambda system, _: scipys(system, False),
    "linear_cg, jacobi": lambda system, limit: linear_operators(system, True, 1e-10, limit),
    "linear_cg, jacobi, eps=1e-30": lambda system, limit: linear_operators(
        system, True, 1e-30, limit
    ),
}
"""Each takes the system and the iterations that linear_cg may do."""
QUICK = ("groundstate, jacobi", "scipy, jacobi", "linear_cg, jacobi, eps=1e-30")


def residuals(system: PhotoSystem, x: np.ndarray) -> list[float]:
    """True relative residual of each column."""
    left = system.right - (system.matrix @ x.T).T
    found = np.linalg.norm(left, axis=1) / np.linalg.norm(system.right, axis=1)
    return [float(each) for each in found]


def measure(
    system: PhotoSystem, threads: int, repeats: int, names: Iterable[str]
) -> list[Measurement]:
    """Every method, taking turns, so that a busy moment hits all alike."""
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    processor: dict[str, list[float]] = {name: [] for name in seconds}
    answers: dict[str, Answer] = {}
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # linear_cg warns where it misses; the table says so
        for _ in range(repeats):
            for name in seconds:
                most = max((max(i) for n, (_, i) in answers.items() if n[0] == "g"), default=LIMIT)
                began, used = time.perf_counter(), time.process_time()
                answers[name] = METHODS[name](system, int(PATIENCE * most))
                seconds[name].append(time.perf_counter() - began)
                processor[name].append(time.process_time() - used)
    measured: list[Measurement] = []
    for name, (x, iterations) in answers.items():
        true = residuals(system, x)
        measured.append(
            Measurement(
                photo=system.photo,
                right_hand_sides=len(system.right),
                threads=threads,
                method=name,
                seconds=statistics.median(seconds[name]),
                processor_seconds=statistics.median(processor[name]),
                repeats=repeats,
                iterations=iterations,
                residuals=true,
                ok=max(true) <= TOLERANCE,
            )
        )
    return measured


def fastest(group: list[Measurement], name: str) -> Measurement | None:
    """The fastest of one library that is within the tolerance."""
    fitting = [each for each in group if each.method.startswith(name) and each.ok]
    return min(fitting, key=lambda each: each.seconds, default=None)


def ratios(measured: list[Measurement]) -> list[dict[str, object]]:
    """Our best time over each peer's best, for every system; below 1 is faster."""
    rows: list[dict[str, object]] = []
    for key in dict.fromkeys((m.photo, m.right_hand_sides, m.threads) for m in measured):
        group = [m for m in measured if (m.photo, m.right_hand_sides, m.threads) == key]
        mine = fastest(group, "groundstate")
        row: dict[str, object] = dict(
            zip(("photo", "right_hand_sides", "threads"), key, strict=True)
        )
        for peer in ("scipy", "linear_cg"):
            # a peer that never got there is compared by its fastest attempt
            attempts = [m for m in group if m.method.startswith(peer)]
            best = fastest(group, peer) or min(attempts, key=lambda each: each.seconds)
            row[f"of {peer}"] = None if mine is None else mine.seconds / best.seconds
            row[f"{peer} within tolerance"] = best.ok
        rows.append(row)
    return rows


def show(measured: list[Measurement], rows: list[dict[str, object]]) -> None:
    print("| photo | rhs | threads | method | s | processor s | iterations | worst true residual |")
    print("|---|---|---|---|---|---|---|---|")
    for m in measured:
        low, high = min(m.iterations), max(m.iterations)
        iterations = str(high) if low == high else f"{low}-{high}"
        miss = "" if m.ok else " (misses)"
        print(
            f"| {m.photo} | {m.right_hand_sides} | {m.threads} | {m.method} | {m.seconds:.2f} "
            f"| {m.processor_seconds:.2f} "
            f"| {iterations} | {max(m.residuals):.2e}{miss} |"
        )
    print("\nOur time as a share of the peer's best:\n")
    print("| photo | rhs | threads | of scipy | of linear_cg |")
    print("|---|---|---|---|---|")
    for row in rows:
        note = "" if row["linear_cg within tolerance"] else " (which misses the tolerance)"
        print(
            f"| {row['photo']} | {row['right_hand_sides']} | {row['threads']} "
            f"| {row['of scipy']:.2f} | {row['of linear_cg']:.2f}{note} |"
        )


def remembered(photo: str, count: int, threads: int, quick: bool) -> list[Measurement]:
    """Measurements of one system, from an earlier run where there are any."""
    name = f"cg-{photo}-{count}-{threads}{'-quick' if quick else ''}.json"
    file = Path(__file__).parent / "results" / name
    if file.exists():
        return [Measurement(**each) for each in json.loads(file.read_text())]
    repeats = 1 if quick else (5 if count == 1 else 3)
    system = photo_system(photo, right_hand_sides=count)
    measured = measure(system, threads, repeats, QUICK if quick else METHODS)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps([asdict(each) for each in measured]))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one photo, fewer methods: a minute")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--photos", nargs="+", choices=PHOTOS, default=PHOTOS)
    parser.add_argument("--right-hand-sides", nargs="+", type=int, default=(1, 8))
    parser.add_argument("--threads", nargs="+", type=int)
    arguments = parser.parse_args()
    if importlib.util.find_spec("linear_operator") is None:
        parser.error("the peers are not installed: `pip install -r benchmarks/requirements.txt`")
    if arguments.fresh:
        for file in (Path(__file__).parent / "results").glob("cg-*.json"):
            file.unlink()
    photos = ("coffee",) if arguments.quick else arguments.photos
    threads = arguments.threads or ((1,) if arguments.quick else (1, 2))
    measure(photo_system("coffee", right_hand_sides=1, side=64), 1, 1, METHODS)  # warm up
    measured: list[Measurement] = []
    for photo in photos:
        for count, allowed in product(arguments.right_hand_sides, threads):
            measured += remembered(photo, count, allowed, arguments.quick)
            print(f"{photo}, {count}, {allowed}: done", file=sys.stderr)
    rows = ratios(measured)
    if arguments.json:
        machine = {"processor": platform.processor() or platform.machine()}
        machine |= {"python": platform.python_version(), "torch": torch.__version__}
        found = [asdict(each) for each in measured]
        print(json.dumps({"machine": machine, "measurements": found, "ratios": rows}, indent=1))
    else:
        show(measured, rows)


if __name__ == "__main__":
    main()
