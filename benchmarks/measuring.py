"""What the benchmarks share: taking turns, medians, results that resume, tables, the machine."""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results"
Row = dict[str, Any]
"""One line of a table: what JSON can hold."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a method gives back.

    Attributes:
        x: the solution, flattened.
        iterations: how many it says it did; None where it says nothing.
        note: what else there is to tell, such as the solver that was picked.
    """

    x: np.ndarray
    iterations: int | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One method on one system.

    Attributes:
        seconds: median over the repeats, wall clock.
        processor: the same of the processor time of all threads, which a busy machine does not
            stretch much.
        repeats: how many.
        answer: the last one.
    """

    seconds: float
    processor: float
    repeats: int
    answer: Any


def take_turns(
    methods: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    threads: int = 1,
    patience: float = 60.0,
) -> dict[str, Timing]:
    """Every method, one after the other, again and again, so that a busy moment hits all alike.

    Args:
        methods: what to time; each is run once before, untimed.
        repeats: of each; at least 3 of a method whose warm-up took more than `patience`.
        threads: allowed to everybody.
        patience: seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    processor: dict[str, list[float]] = {name: [] for name in methods}
    answers: dict[str, Any] = {}
    wanted: dict[str, int] = {}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peers warn where they miss; the table says so
            for name, method in methods.items():
                began = time.perf_counter()
                answers[name] = method()
                slow = time.perf_counter() - began > patience
                wanted[name] = min(repeats, 3) if slow else repeats
            for turn in range(repeats):
                for name, method in methods.items():
                    if turn >= wanted[name]:
                        continue
                    began, used = time.perf_counter(), time.process_time()
                    answers[name] = method()
                    seconds[name].append(time.perf_counter() - began)
                    processor[name].append(time.process_time() - used)
    finally:
        torch.set_num_threads(before)
    return {
        name: Timing(
            seconds=statistics.median(taken),
            processor=statistics.median(processor[name]),
            repeats=len(taken),
            answer=answers[name],
        )
        for name, taken in seconds.items()
    }


def relative_residual(
    times: Callable[[np.ndarray], np.ndarray], right: np.ndarray, x: np.ndarray
) -> float:
    """True ‖b - Ax‖ / ‖b‖ of the whole system, in float64."""
    left = right.astype(np.float64) - times(x.astype(np.float64))
    return float(np.linalg.norm(left) / np.linalg.norm(right.astype(np.float64)))


def arguments_of(doc: str | None) -> argparse.ArgumentParser:
    """The settings that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller: a minute")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="PATH",
        help="print JSON instead of tables, or write it to a file beside them",
    )
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    return parser


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Rows of earlier runs of one benchmark, so that a run that was cut resumes.

    Attributes:
        name: of the benchmark.
        quick: whether it is the short one, which is kept apart.
    """

    name: str
    quick: bool

    @property
    def file(self) -> Path:
        return RESULTS / f"{self.name}{'-quick' if self.quick else ''}.json"

    def forget(self) -> None:
        self.file.unlink(missing_ok=True)

    def rows(self, key: str, make: Callable[[], list[Row]]) -> list[Row]:
        """What was measured under this key, or what is measured now."""
        known: dict[str, list[Row]] = {}
        if self.file.exists():
            known = json.loads(self.file.read_text())
        if key not in known:
            known[key] = make()
            RESULTS.mkdir(exist_ok=True)
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps(known, indent=1))
            part.replace(self.file)
        print(f"{self.name}, {key}: done", file=sys.stderr)
        return known[key]


def begin(name: str, doc: str | None) -> tuple[argparse.Namespace, Memory]:
    """Read the settings of a benchmark that has no others."""
    arguments = arguments_of(doc).parse_args()
    memory = Memory(name=name, quick=arguments.quick)
    if arguments.fresh:
        memory.forget()
    return arguments, memory


def machine(*packages: str) -> Row:
    """Where it ran, and with which versions."""
    found: Row = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "date": time.strftime("%Y-%m-%d"),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    for package in ("torch", "numpy", "scipy", "numba", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def milliseconds(seconds: float | None) -> str:
    """Three digits."""
    if seconds is None:
        return "-"
    value = 1000 * seconds
    return (
        f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
    )


def times(ratio: float | None) -> str:
    """A ratio, as in "6.2×"."""
    if ratio is None:
        return "-"
    return (
        f"{ratio:.0f}×" if ratio >= 99.5 else f"{ratio:.1f}×" if ratio >= 9.95 else f"{ratio:.2f}×"
    )


def publish(arguments: argparse.Namespace, found: Row, text: str) -> None:
    """The tables, the JSON, or both."""
    where = found["machine"]
    if arguments.json == "-":
        print(json.dumps(found, indent=1))
        return
    if arguments.json is not None:
        Path(arguments.json).write_text(json.dumps(found, indent=1))
    versions = ", ".join(
        f"{name} {value}"
        for name, value in where.items()
        if value and name not in ("processor", "cores", "date", "load")
    )
    print(f"{where['date']}, {where['processor']}, load {where['load']}; {versions}\n\n{text}")


def peak_of(code: str, *parameters: str) -> Row:
    """Run Python code in a process of its own; it prints JSON, its peak memory is added, in GiB."""
    process = subprocess.run(
        [sys.executable, "-c", code + _TELL, *parameters],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    if process.returncode:
        raise RuntimeError(f"the measured process failed:\n{process.stderr[-2000:]}")
    *_, last, peak = process.stdout.strip().splitlines()
    return {**json.loads(last), "peak_gib": float(peak)}


_TELL = """
import resource as _resource
print(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@contextmanager
def recycled_memory() -> Iterator[bool]:
    """Freed memory is used again instead of being given back, so that results cost no page faults.

    glibc gives blocks above 32 MiB back at once. Yields whether it could be told not to.
    """
    most, trim = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of mallopt(3)
    try:
        tell = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        yield False
        return
    told = bool(tell(most, 0) and tell(trim, -1))
    try:
        yield told
    finally:
        tell(most, 65536)
        tell(trim, 128 * 1024)
