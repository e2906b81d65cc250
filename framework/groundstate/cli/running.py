"""`groundstate run`."""

import signal
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from groundstate.cli.console import say
from groundstate.cli.listing import open_registry
from groundstate.cli.showing import print_results, progress
from groundstate.component import Registered
from groundstate.configuration import Pipeline
from groundstate.energy import Energy
from groundstate.errors import (
    ConfigurationError,
    ConfigurationFault,
    PluginError,
    RegistryError,
    nearest,
)
from groundstate.files import atomic_folder, json_text
from groundstate.interrupts import deferred
from groundstate.pipeline import Run, run
from groundstate.plots import check_installed
from groundstate.record import (
    Repeat,
    differences,
    read_record,
    recorded_registry,
    solution_row,
)
from groundstate.registry import Registry
from groundstate.report import RECORD, REPORT, metrics, rows, write_report

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
    """A polite request to end keeps the best so far, as Ctrl-C does.

    What passes through here had nothing to keep.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        say("stopped before there was anything to keep")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def run_command(options: RunOptions) -> int:
    """Run a pipeline, write its folder, print its table."""
    check_installed()
    repeat = None if options.record is None else _repeat(options, options.record)
    if repeat is not None:
        pipeline, registry = repeat.pipeline, repeat.registry
        torch.set_num_threads(repeat.threads)
    else:
        registry = open_registry(options.registry)
        pipeline = _pipeline(options, registry)
    name = pipeline.name if repeat is None else f"{pipeline.name}-repeat"
    folder = options.folder or Path("runs") / name
    steps, cuts = (None, None) if repeat is None else (repeat.steps, repeat.cuts)
    with (
        terminate_like_interrupt(),
        ExitStack() as shield,
        atomic_folder(folder, mark=RECORD) as draft,
        progress(options.seconds, options.as_json) as on_event,
    ):
        done = run(
            pipeline,
            registry,
            seconds=options.seconds,
            steps=steps,
            cuts=cuts,
            on_event=on_event,
        )
        # nothing is left to stop; an interrupt now would only cost the report
        shield.enter_context(deferred(forget=True))
        write_report(done, draft)
    report = folder / REPORT
    print_run(done, report, options.as_json)
    return _exit_code(done, repeat)


def _pipeline(options: RunOptions, registry: Registry) -> Pipeline:
    if options.pipeline is None:
        names = ", ".join(sorted(registry.configuration.pipelines)) or "none"
        raise usage(f"name a pipeline, or give `--record FILE`. There are: {names}.")
    return registry.configuration.find(options.pipeline).with_values(options.values)


def _repeat(options: RunOptions, path: Path) -> Repeat:
    changes = {
        "a pipeline": options.pipeline is not None,
        "--set": bool(options.values),
        "--seconds": options.seconds is not None,
    }
    given = [name for name, there in changes.items() if there]
    if given:
        raise usage(
            f"`--record` repeats a run as it was, so it cannot go with {', '.join(given)}. To "
            "change something, run the pipeline by its name."
        )
    return read_record(path, open_registry(options.registry or recorded_registry(path)))


def usage(message: str) -> ConfigurationError:
    """What was wrong on the command line."""
    return ConfigurationError([ConfigurationFault(file=None, line=None, path="", message=message)])


def print_run(done: Run, report: Path, as_json: bool) -> None:
    """Tell how a run went."""
    if as_json:
        solutions = [solution_row(result) for result in done.results]
        data = {"solutions": solutions, "metrics": metrics(done), "report": str(report)}
        print(json_text(data))
        return
    table = rows(done)
    print_results(table)
    say(f"report: {report}")


def _exit_code(done: Run, repeat: Repeat | None) -> int:
    if done.interrupted:
        say("stopped by hand; the report has what there was until then")
        return INTERRUPTED
    if repeat is not None:
        different = differences(repeat, done.results)
        for solver in different:
            say(f"{solver}: its configuration is not the recorded one (another machine?)")
        if different:
            return FAILED
        say("repeated: every configuration is the recorded one, bit for bit")
    return FAILED if done.failed else 0


def fitting(
    registry: Registry, kind: str, energy: Energy, *, undemanding: bool = False
) -> list[str]:
    """Keys of the components of a kind that say they need no more views than the energy gives.

    Local modules are executed to find out; what is broken is left out.

    Args:
        registry: where to look.
        kind: solver or generator.
        energy: what they must fit.
        undemanding: whether those count that need no view at all, such as brute force.
    """
    given = {each.__name__ for each in energy.views}
    found: list[str] = []
    for record in registry.components(kind):
        try:
            needs = registry.loaded(record.qualified).component.needs
        except PluginError:
            continue
        if (needs or undemanding) and given >= set(needs):
            found.append(registry.spelling(record))
    return found


def of_kind(registry: Registry, kind: str, key: str) -> Registered:
    """The full record of a component that must be of a kind.

    Raises:
        RegistryError: it does not exist, or is something else.
    """
    record = registry.loaded(key)
    if record.component.kind != kind:
        hint = nearest(key, [registry.spelling(r) for r in registry.components(kind)])
        raise RegistryError(f"{key!r} is no {kind}.{hint}")
    return record
