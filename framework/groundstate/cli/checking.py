"""`groundstate check`: the conformance laws, from the command line."""

import json

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from groundstate.cli.console import err, out, say
from groundstate.cli.listing import open_registry
from groundstate.testing.conformance import Report, Result, check

FAILED = 1


def check_command(plugin: str, *, as_json: bool, verbose: bool, registry: str | None) -> int:
    """Run every law of a plugin's components; tell what failed, and how much was tried."""
    opened = open_registry(registry)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=err,
        transient=True,
        disable=as_json or not err.is_terminal,
    ) as bar:
        task = bar.add_task(plugin, total=None)

        def show(done: int, total: int, result: Result) -> None:
            bar.update(task, completed=done, total=total, description=result.id)

        report = check(plugin, registry=opened, progress=show)
    if as_json:
        print(json.dumps(report.to_dict(), indent=1))
    else:
        _print_report(report, verbose)
    return 0 if report.ok else FAILED


def _print_report(report: Report, verbose: bool) -> None:
    for result in report.results:
        if result.outcome == "failed":
            out.print(f"FAILED {result.id}\n  {result.reason}", markup=False, highlight=False)
        elif verbose:
            reason = f"  ({result.reason})" if result.reason else ""
            out.print(f"{result.outcome}  {result.id}{reason}", markup=False, highlight=False)
    checks = sum(result.checks for result in report.results)
    out.print(
        f"{report.plugin}: {len(report.components)} components, {report.run} laws run "
        f"({checks} checks), {report.count('skipped')} skipped, "
        f"{report.count('expected failure')} expected failures, {report.count('failed')} failed "
        f"in {report.seconds:.1f} s",
        highlight=False,
    )
    out.print(
        f"claims imply {report.implied} laws, {report.implied_run} of them ran", highlight=False
    )
    if not report.ok and not report.failures:
        say("fewer laws ran than the claims imply; --verbose tells why each was skipped")
