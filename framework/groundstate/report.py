"""The folder of a run: record, metrics, pictures and one self-contained page."""

import base64
import html
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from groundstate.files import json_text, write_text
from groundstate.pipeline import TRACEBACK, Result, Run
from groundstate.plots import energy_svg, picture_png
from groundstate.record import numbers, record
from groundstate.solution import Solution
from groundstate.solver import State
from groundstate.status import Status

RECORD = "record.json"
REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One solver's line in the table, for people. Several problems of a batch are summed.

    Attributes:
        solver: its key.
        energy: in nats.
        bound: lower bound, in nats.
        gap: energy minus bound, in nats.
        status: in words, counted where problems of a batch differ.
        seconds: wall-clock time.
        metrics: name and value.
        note: an error, or advice where there is something to do.
        problem: which energy it is, 0 for the run's; values of different ones are not compared.
    """

    solver: str
    energy: float | None
    bound: float | None
    gap: float | None
    status: str
    seconds: float | None
    metrics: Mapping[str, float]
    note: str
    problem: int = 0


def rows(run: Run) -> tuple[Row, ...]:
    """The table of a run."""
    return tuple(row(result, run.outputs) for result in run.results)


def row(result: Result, outputs: Mapping[str, object]) -> Row:
    """One result as a line of the table."""
    solution = result.solution
    if solution is None:
        return Row(
            solver=result.solver,
            energy=None,
            bound=None,
            gap=None,
            status="error",
            seconds=None,
            metrics={},
            note=result.error or "",
            problem=result.problem,
        )
    return Row(
        solver=result.solver,
        energy=float(solution.energy.sum()),
        bound=None if solution.bound is None else float(solution.bound.sum()),
        gap=None if solution.gap is None else float(solution.gap.sum()),
        status=_status(solution.status),
        seconds=solution.seconds,
        metrics=named_metrics(result, outputs),
        note=" ".join(filter(None, [result.error, _advice(solution)])),
        problem=result.problem,
    )


def is_best(row: Row, table: Sequence[Row]) -> bool:
    """Whether no solver of the same energy came lower."""
    same = [other.energy for other in table if other.problem == row.problem]
    finite = [energy for energy in same if energy is not None and math.isfinite(energy)]
    if row.energy is None or not finite:
        return False
    return row.energy <= min(finite) + 1e-9 * abs(row.energy)


def named_metrics(result: Result, outputs: Mapping[str, object]) -> dict[str, float]:
    """Metrics by name; those of a batch carry the dataset's `names` of its problems."""
    found: dict[str, float] = {}
    names = cast(Sequence[str], outputs.get("names", ()))
    for name, values in result.metrics.items():
        flat = values.flatten()
        if flat.numel() == 1:
            found[name] = float(flat)
            continue
        labels = names if len(names) == len(flat) else [str(i) for i in range(len(flat))]
        found |= {f"{name} ({label})": float(v) for label, v in zip(labels, flat, strict=True)}
    return found


def metrics(run: Run) -> dict[str, dict[str, Any]]:
    """What `metrics.json` holds: by solver, then by metric; lists where the batch has several."""
    return {
        result.solver: {name: numbers(values) for name, values in result.metrics.items()}
        for result in run.results
        if result.solution is not None
    }


def _statuses(status: Tensor) -> Counter[Status]:
    return Counter(Status(int(value)) for value in status.flatten())


def _status(status: Tensor) -> str:
    counted = _statuses(status)
    if len(counted) == 1:
        return next(iter(counted)).label
    return ", ".join(f"{many} {value.label}" for value, many in sorted(counted.items()))


def _advice(solution: Solution[State]) -> str:
    fine = (Status.CONVERGED, Status.OPTIMAL)
    return " ".join(v.advice for v in sorted(_statuses(solution.status)) if v not in fine)


def write_report(run: Run, folder: Path) -> None:
    """Write everything of a run into a folder that exists.

    Raises:
        MissingExtraError: if the libraries for pictures are not installed.
    """
    write_text(folder / RECORD, json_text(record(run)))
    write_text(folder / "metrics.json", json_text(metrics(run)))
    sections = [_drawn(run, "Input", None)]
    for result in run.results:
        if result.solution is not None:
            sections.append(_drawn(run, result.solver, result.solution.x))
    (folder / "pictures").mkdir()
    for section in sections:
        for title, png in section.pictures.items():
            name = _file_name(f"{section.heading} {title}")
            (folder / "pictures" / f"{name}.png").write_bytes(png)
    svg = energy_svg({r.solver: r.solution.trace for r in run.results if r.solution is not None})
    write_text(folder / "pictures" / "energies.svg", svg)
    write_text(folder / REPORT, _page(run, sections, svg))


@dataclass(frozen=True, kw_only=True)
class _Section:
    heading: str
    pictures: Mapping[str, bytes]
    note: str = ""


def _drawn(run: Run, heading: str, x: Tensor | None) -> _Section:
    if run.dataset is None:
        return _Section(heading=heading, pictures={})
    try:
        drawn = run.dataset.pictures(run.outputs, x)
        pictures = {title: picture_png(picture) for title, picture in drawn.items()}
    except Exception as error:
        # hours of solving are not thrown away because a picture cannot be drawn
        if os.environ.get(TRACEBACK):
            raise
        note = f"{heading}: no pictures, {type(error).__name__}: {error}"
        return _Section(heading=heading, pictures={}, note=note)
    return _Section(heading=heading, pictures=pictures)


def _file_name(text: str) -> str:
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return "-".join(words)


def number(value: float | None) -> str:
    """A number for people: enough digits to tell solvers apart, no more."""
    if value is None:
        return "-"
    if math.isinf(value) or math.isnan(value):
        return str(value)
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.2f}"


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem;
       color: #1c2024; background: #fff }
h1 { margin-bottom: 0 } .summary { color: #60646c; margin-top: .2rem }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid #e0e1e6;
         font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
td.best { font-weight: 600 } .note { color: #ab6400; text-align: left }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem }
figure { margin: 0 } figure img { width: 100%; border-radius: 4px; image-rendering: auto }
figcaption { color: #60646c; font-size: 13px } svg { max-width: 100%; height: auto }
pre { background: #f4f4f6; padding: 1rem; overflow-x: auto; font-size: 12px }
"""


def _page(run: Run, sections: Sequence[_Section], svg: str) -> str:
    title = html.escape(run.pipeline.name)
    notes = ["Stopped by hand: what there was until then."] * run.interrupted
    notes += [section.note for section in sections if section.note]
    told = "".join(f"<p class=note>{html.escape(note)}</p>" for note in notes)
    head, *solved = sections
    body = [
        f"<h1>{title}</h1><p class=summary>{html.escape(run.pipeline.summary)}</p>{told}",
        _figures([(title, png) for title, png in head.pictures.items()]),
        "<h2>Results</h2>",
        _figures([(f"{s.heading}: {t}", png) for s in solved for t, png in s.pictures.items()]),
        _table(run),
        "<h2>Energy over time</h2>",
        svg,
        "<details><summary>Record: settings, versions, machine</summary>",
        f"<pre>{html.escape(json_text(record(run)))}</pre></details>",
    ]
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<body>{''.join(body)}</body></html>\n"
    )


def _figures(pictures: Sequence[tuple[str, bytes]]) -> str:
    if not pictures:
        return ""
    figures = [
        f"<figure><img alt='{html.escape(title, quote=True)}' "
        f"src='data:image/png;base64,{base64.b64encode(png).decode()}'>"
        f"<figcaption>{html.escape(title)}</figcaption></figure>"
        for title, png in pictures
    ]
    return f"<div class=grid>{''.join(figures)}</div>"


def _table(run: Run) -> str:
    table = rows(run)
    measured = list(dict.fromkeys(name for each in table for name in each.metrics))
    heads = ["solver", "energy", "bound", "gap", "status", "seconds", *measured]
    lines = [f"<tr>{''.join(f'<th>{html.escape(head)}</th>' for head in heads)}</tr>"]
    for each in table:
        lines.append(f"<tr>{''.join(_cells(each, measured, is_best(each, table)))}</tr>")
    text = "The energy and bound of each row were recomputed and checked by the core."
    notes = [f"{each.solver}: {each.note}" for each in table if each.note]
    told = "".join(f"<br><span class=note>{html.escape(note)}</span>" for note in notes)
    return f"<table>{''.join(lines)}</table><p class=summary>{text}{told}</p>"


def _cells(each: Row, measured: Sequence[str], best: bool) -> Iterator[str]:
    yield f"<td>{html.escape(each.solver)}</td>"
    yield f"<td{' class=best' if best else ''}>{number(each.energy)}</td>"
    for value in (each.bound, each.gap):
        yield f"<td>{number(value)}</td>"
    yield f"<td>{each.status}</td>"
    for value in (each.seconds, *(each.metrics.get(name) for name in measured)):
        yield f"<td>{number(value)}</td>"
