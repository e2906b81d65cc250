"""`groundstate solve`: a problem file, and every solver that fits it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch

from groundstate.adapter import Adapted, Adapter
from groundstate.cli.listing import open_registry
from groundstate.cli.running import (
    FAILED,
    INTERRUPTED,
    fitting,
    of_kind,
    terminate_like_interrupt,
    usage,
)
from groundstate.cli.showing import print_results, progress
from groundstate.data import Reader
from groundstate.energy import Energy
from groundstate.errors import (
    ConfigurationError,
    ConfigurationFault,
    Fault,
    GroundstateError,
    PluginError,
    RegistryError,
)
from groundstate.files import check_writable, json_text, write_text
from groundstate.pipeline import STEPS, Result, attempt
from groundstate.plots import check_installed, energy_svg
from groundstate.record import solution_row
from groundstate.registry import Registry
from groundstate.report import named_metrics, row
from groundstate.solver import Solver


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
        plot: where the curves of energy and bound go, as SVG.
        reference: an energy to hold the results against, such as a known optimum, in nats.
        evidence: a file of labels that are given; None for none.
        registry: registry file.
    """

    file: Path
    solvers: Sequence[str]
    seconds: float | None
    seed: int
    as_json: bool
    output: Path | None
    plot: Path | None
    reference: float | None
    evidence: Path | None
    registry: str | None


def solve_command(options: SolveOptions) -> int:
    """Minimise a problem file with one or more solvers."""
    if options.output is not None:
        check_writable(options.output)
    if options.plot is not None:
        check_installed()
        check_writable(options.plot)
    registry = open_registry(options.registry)
    adapted = conditioned(read_problem(options.file, registry), options.evidence, registry)
    energy = adapted.energy
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
        write_best(results, adapted, options.output)
    if options.plot is not None:
        write_curves(results, options.plot)
    _print_results(scored(results, options.reference), options)
    if any(result.interrupted for result in results):
        return INTERRUPTED
    failed = [result.failed for result in results]
    # of all solvers some may well not take the problem; one asked for by name should
    return FAILED if (any(failed) if options.solvers else all(failed)) else 0


def read_problem(path: Path, registry: Registry) -> Energy:
    """The energy in a file, by the reader that takes its ending.

    Raises:
        ConfigurationError: there is no such file, or no reader for it.
        PluginError: no reader takes it, and one that might is broken.
        FormatError: the file is malformed.
    """
    if not path.is_file():
        raise _fault(path, "there is no such file.")
    suffixes: list[str] = []
    broken: list[Fault] = []
    for record in registry.components("reader"):
        try:
            reader = cast(Reader, registry.build(record.qualified))
        except PluginError as error:
            broken += error.faults
            continue
        if path.name.endswith(reader.suffixes):
            return reader.read(path)
        suffixes += reader.suffixes
    if broken:
        raise PluginError(broken)
    known = ", ".join(sorted(set(suffixes))) or "no format at all; install groundstate-mrf"
    raise _fault(path, f"no reader takes a file of this name; there are readers for {known}.")


def conditioned(energy: Energy, evidence: Path | None, registry: Registry) -> Adapted:
    """The problem of the variables that are not given, or the problem itself.

    Raises:
        ConfigurationError: the file does not exist, or does not fit the problem.
        FormatError: it is malformed.
    """
    if evidence is None:
        return Adapted(energy=energy, decode=lambda x: x, bound_transfers=True)
    if not evidence.is_file():
        raise _fault(evidence, "there is no such file.")
    for record in registry.components("adapter"):
        try:
            takes = "evidence" in registry.loaded(record.qualified).component.claims
        except PluginError:
            continue
        if takes:
            adapter = cast(Adapter, registry.build(record.qualified, file=str(evidence)))
            return adapter.adapt(energy)
    raise _fault(evidence, "no installed adapter takes evidence; install groundstate-mrf.")


def _fault(path: Path, message: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationFault(file=path, line=None, path="", message=message)])


def chosen_solvers(names: Sequence[str], energy: Energy, registry: Registry) -> list[str]:
    """Keys of the solvers asked for, or of all that fit the energy's views.

    Raises:
        RegistryError: an unknown name, or nothing that fits.
        ConfigurationError: a solver that does not fit; it says what does.
    """
    given = {kind.__name__ for kind in energy.views}
    if not names:
        found = fitting(registry, "solver", energy, undemanding=True)
        if not found:
            raise RegistryError(f"No solver fits the views {', '.join(sorted(given)) or 'none'}.")
        return found
    keys = [name if "/" in name else f"solver/{name}" for name in names]
    for key in keys:
        missing = set(of_kind(registry, "solver", key).component.needs) - given
        if missing:
            raise usage(
                f"{key!r} needs the view {', '.join(sorted(missing))}, and the problem gives "
                f"{', '.join(sorted(given))}. These solvers fit: "
                f"{', '.join(fitting(registry, 'solver', energy, undemanding=True)) or 'none'}."
            )
    return keys


def write_best(results: Sequence[Result], adapted: Adapted, path: Path) -> None:
    """The labels of lowest energy, in the `MPE` solution format of the UAI competitions."""
    found = [r.solution for r in results if r.solution is not None]
    if not found:
        raise GroundstateError(f"no solver has a configuration to write to {path}")
    if found[0].energy.dim():
        raise GroundstateError(
            f"{path} can hold the labels of one problem, but the file has {found[0].energy.numel()}"
        )
    best = min(found, key=lambda solution: float(solution.energy))
    labels = [str(int(label)) for label in adapted.decode(best.x).flatten()]
    write_text(path, f"MPE\n{len(labels)} {' '.join(labels)}\n")


def write_curves(results: Sequence[Result], path: Path) -> None:
    """Energy and bound of each solver over seconds, as SVG."""
    traces = {r.solver: r.solution.trace for r in results if r.solution is not None}
    if not traces:
        raise GroundstateError(f"no solver has a course to draw in {path}")
    write_text(path, energy_svg(traces))


def scored(results: Sequence[Result], reference: float | None) -> list[Result]:
    """The results, told how far above a reference they ended, and their rank, as at UAI.

    `above` is (E - E*) / |E*|, or E - E* where E* = 0: 0 is the reference, below 0 is better. Equal
    energies share a `rank`.
    """
    if reference is None:
        return list(results)
    ends = {r.solver: float(r.solution.energy.sum()) for r in results if r.solution is not None}
    unit = abs(reference) or 1.0
    ranks = {
        name: 1 + sum(other < energy - 1e-9 * unit for other in ends.values())
        for name, energy in ends.items()
    }
    return [
        replace(
            result,
            metrics={
                "above": torch.tensor((ends[result.solver] - reference) / unit),
                "rank": torch.tensor(float(ranks[result.solver])),
            },
        )
        if result.solver in ends
        else result
        for result in results
    ]


def _print_results(results: Sequence[Result], options: SolveOptions) -> None:
    if options.as_json:
        solutions = [solution_row(result) for result in results]
        measured = {result.solver: named_metrics(result, {}) for result in results}
        report = None if options.output is None else str(options.output)
        metrics = measured if options.reference is not None else {}
        data: dict[str, Any] = {"solutions": solutions, "metrics": metrics, "report": report}
        print(json_text(data))
        return
    print_results([row(result, {}) for result in results])
