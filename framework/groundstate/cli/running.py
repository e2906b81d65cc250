"""`groundstate run` and `groundstate solve`."""

import json
import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, cast

import torch

from groundstate.adapter import Adapter
from groundstate.cli.console import print_results, progress, say
from groundstate.cli.listing import open_registry
from groundstate.component import Registered
from groundstate.data import Reader
from groundstate.energy import Energy
from groundstate.errors import (
    ConfigurationError,
    ConfigurationFault,
    GroundstateError,
    RegistryError,
    nearest,
)
from groundstate.files import atomic_folder, write_text
from groundstate.pipeline import STEPS, Result, Run, attempt, run
from groundstate.record import Repeat, differences, read_record, solution_row
from groundstate.registry import Registry
from groundstate.report import RECORD, REPORT, metrics, row, rows, write_report
from groundstate.solver import Solver

INTERRUPTED = 130
FAILED = 1


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What `groundstate run` was asked for.

    Attributes:
        pipeline: its name; None with `record`.
        values: settings to replace.
        seconds: the most time for each solver.
        folder: where the report goes; None is `runs/PIPELINE`.
        as_json: whether to print JSON.
        record: a record to repeat.
        registry: registry file.
    """

    pipeline: str | None
    values: Mapping[str, Any]
    seconds: float | None
    folder: Path | None
    as_json: bool
    record: Path | None
    registry: str | None


@contextmanager
def terminate_like_interrupt() -> Generator[None, None, None]:
    """A polite request to end keeps the best so far, as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run_command(options: RunOptions) -> int:
    """Run a pipeline, write its folder, print its table."""
    registry = open_registry(options.registry)
    repeat = None if options.record is None else read_record(options.record, registry)
    if repeat is not None:
        pipeline, registry = repeat.pipeline, repeat.registry
        torch.set_num_threads(repeat.threads)
    else:
        if options.pipeline is None:
            fault = ConfigurationFault(
                file=None,
                line=None,
                path="",
                message="name a pipeline, or give `--record FILE`. There are: "
                f"{', '.join(sorted(registry.configuration.pipelines)) or 'none'}.",
            )
            raise ConfigurationError([fault])
        pipeline = registry.configuration.find(options.pipeline)
    pipeline = pipeline.with_values(options.values)
    folder = options.folder or Path("runs") / pipeline.name
    steps = None if repeat is None else repeat.steps
    with (
        terminate_like_interrupt(),
        atomic_folder(folder, mark=RECORD) as draft,
        progress(options.seconds, options.as_json) as on_event,
    ):
        done = run(pipeline, registry, seconds=options.seconds, steps=steps, on_event=on_event)
        write_report(done, draft)
    report = folder / REPORT
    print_run(done, report, options.as_json)
    return _exit_code(done, repeat)


def print_run(done: Run, report: Path, as_json: bool) -> None:
    """Tell how a run went."""
    if as_json:
        solutions = [solution_row(result) for result in done.results]
        data = {"solutions": solutions, "metrics": metrics(done), "report": str(report)}
        print(json.dumps(data, indent=1, default=str))
        return
    table = rows(done)
    print_results(table)
    say(f"report: {report}")


def _exit_code(done: Run, repeat: Repeat | None) -> int:
    if repeat is not None:
        different = differences(repeat, done.results)
        for solver in different:
            say(f"{solver}: its configuration is not the recorded one (another machine?)")
        if different:
            return FAILED
        say("repeated: every configuration is the recorded one, bit for bit")
    if done.interrupted:
        say("stopped by hand; the report has what there was until then")
        return INTERRUPTED
    return FAILED if done.failed else 0


@dataclass(frozen=True, kw_only=True)
class SolveOptions:
    """What `groundstate solve` was asked for.

    Attributes:
        file: the problem.
        solvers: keys or bare names; empty for every one that fits.
        seconds: the most time for each.
        seed: of their randomness.
        as_json: whether to print JSON.
        output: where the best configuration goes.
        registry: registry file.
    """

    file: Path
    solvers: Sequence[str]
    seconds: float | None
    seed: int
    as_json: bool
    output: Path | None
    registry: str | None


def solve_command(options: SolveOptions) -> int:
    """Minimise a problem file with one or more solvers."""
    registry = open_registry(options.registry)
    energy = read_problem(options.file, registry)
    chosen = chosen_solvers(options.solvers, energy, registry)
    results: list[Result] = []
    with terminate_like_interrupt(), progress(options.seconds, options.as_json) as on_event:
        for key in chosen:

            def build(key: str = key) -> tuple[Solver[Any], Adapter | None]:
                return cast(Solver[Any], registry.build(key)), None

            results.append(
                attempt(
                    key,
                    energy,
                    build,
                    steps=STEPS,
                    seconds=options.seconds,
                    seed=options.seed,
                    on_event=on_event,
                )
            )
            if results[-1].interrupted:
                break
    if options.output is not None:
        write_best(results, options.output)
    _print_results(results, options)
    if any(result.interrupted for result in results):
        return INTERRUPTED
    return FAILED if all(result.solution is None for result in results) else 0


def read_problem(path: Path, registry: Registry) -> Energy:
    """The energy in a file, by the reader that takes its ending.

    Raises:
        ConfigurationError: there is no such file, or no reader for it.
        FormatError: the file is malformed.
    """
    if not path.is_file():
        raise _fault(path, "there is no such file.")
    suffixes: list[str] = []
    for record in registry.components("reader"):
        reader = cast(Reader, registry.build(record.qualified))
        if path.name.endswith(reader.suffixes):
            return reader.read(path)
        suffixes += reader.suffixes
    known = ", ".join(sorted(set(suffixes))) or "no format at all; install groundstate-mrf"
    raise _fault(path, f"no reader takes a file of this name; there are readers for {known}.")


def _fault(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationFault(file=path, line=None, path="", message=message)])


def chosen_solvers(names: Sequence[str], energy: Energy, registry: Registry) -> list[str]:
    """Keys of the solvers asked for, or of all that fit the energy's views.

    Raises:
        RegistryError: an unknown name.
        ConfigurationError: a solver that does not fit; it says what does.
    """
    given = {kind.__name__ for kind in energy.views}
    fitting = [r for r in registry.matching(given, "solver") if r.component.needs]
    if not names:
        if not fitting:
            raise RegistryError(f"No solver fits the views {', '.join(sorted(given)) or 'none'}.")
        return [registry.spelling(record) for record in fitting]
    keys = [name if "/" in name else f"solver/{name}" for name in names]
    for key in keys:
        missing = set(_solver(registry, key).component.needs) - given
        if missing:
            fit = ", ".join(registry.spelling(record) for record in fitting) or "none"
            message = (
                f"{key!r} needs the view {', '.join(sorted(missing))}, and the problem gives "
                f"{', '.join(sorted(given))}. These solvers fit: {fit}."
            )
            raise ConfigurationError(
                [ConfigurationFault(file=None, line=None, path="", message=message)]
            )
    return keys


def _solver(registry: Registry, key: str) -> Registered:
    record = registry[key]
    if record.component.kind != "solver":
        hint = nearest(key, [registry.spelling(r) for r in registry.components("solver")])
        raise RegistryError(f"{key!r} is no solver.{hint}")
    return record


def write_best(results: Sequence[Result], path: Path) -> None:
    """The labels of lowest energy, in the `MPE` solution format of the UAI competitions."""
    found = [r.solution for r in results if r.solution is not None]
    if not found:
        raise GroundstateError(f"no solver has a configuration to write to {path}")
    best = min(found, key=lambda solution: float(solution.energy.sum()))
    labels = [str(int(label)) for label in best.x.flatten()]
    write_text(path, f"MPE\n{len(labels)} {' '.join(labels)}\n")


def _print_results(results: Sequence[Result], options: SolveOptions) -> None:
    if options.as_json:
        solutions = [solution_row(result) for result in results]
        report = None if options.output is None else str(options.output)
        data: dict[str, Any] = {"solutions": solutions, "metrics": {}, "report": report}
        print(json.dumps(data, indent=1, default=str))
        return
    print_results([row(result, {}) for result in results])
