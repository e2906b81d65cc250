"""How commands that solve show their progress and their results."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from groundstate.cli.console import err, out, say
from groundstate.pipeline import Event
from groundstate.report import Row, is_best, number


@contextmanager
def progress(seconds: float | None, quiet: bool) -> Generator[Callable[[Event], None], None, None]:
    """A line per solver that moves while it works; nothing where nobody looks."""
    if quiet or not err.is_terminal:
        yield lambda event: None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=err,
    )
    tasks: dict[str, TaskID] = {}

    def on_event(event: Event) -> None:
        if event.part not in tasks:
            tasks[event.part] = bar.add_task(event.part, total=seconds, note="")
        task = tasks[event.part]
        if event.record is not None:
            energy = float(event.record.energy.sum())
            note = f"step {event.record.step}  energy {number(energy)}"
            bar.update(task, completed=event.record.seconds, note=note)
        if event.what == "making":
            bar.update(task, note="being made", visible=False)
        elif event.what == "failed":
            bar.update(task, note="failed", total=1, completed=1)
        elif event.what == "solving":
            bar.reset(task, total=seconds, note="", visible=True)
        elif event.what == "solved":
            bar.update(task, total=1, completed=1)
            bar.stop_task(task)

    with bar:
        yield on_event


def print_results(rows: Sequence[Row]) -> None:
    """The table of `run` and `solve`: energy, bound, gap, status, seconds; metrics; what to do."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    beside = metrics if len(metrics) <= 2 else []
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("solver", no_wrap=True)
    for name in ("energy", "bound", "gap", "status", "seconds", *beside):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        energy = number(row.energy)
        table.add_row(
            row.solver,
            f"[bold]{energy}[/bold]" if is_best(row, rows) else energy,
            number(row.bound),
            number(row.gap),
            row.status,
            number(row.seconds),
            *(number(row.metrics.get(name)) for name in beside),
        )
    _print_wide(table)
    if len(metrics) > len(beside):
        _print_wide(_metrics_table(rows, metrics))
    for row in rows:
        if row.note:
            say(f"{row.solver}: {row.note}")


def _metrics_table(rows: Sequence[Row], metrics: Sequence[str]) -> Table:
    """Many metrics read better downwards."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("metric", no_wrap=True)
    for row in rows:
        table.add_column(row.solver, justify="right", no_wrap=True)
    for name in metrics:
        table.add_row(name, *(number(row.metrics.get(name)) for row in rows))
    return table


def _print_wide(table: Table) -> None:
    """A table whole, however narrow the terminal: cut-off figures are worse than wrapped lines."""
    wide = Console(width=max(out.width, 160), soft_wrap=True, emoji=False)
    wide.print(table)
