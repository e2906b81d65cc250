"""Pictures for people: energies over time, and arrays as PNG. Needs the extra `report`."""

import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from groundstate.errors import GroundstateError
from groundstate.solution import Record

INSTALL = "pip install 'groundstate[report]'"


class MissingExtraError(GroundstateError):
    """An optional library is not installed; the message has the line that installs it."""


def check_installed() -> None:
    """Look, before work starts, that a report can be drawn.

    Raises:
        MissingExtraError: if matplotlib or Pillow is not installed.
    """
    missing = [name for name in ("matplotlib", "PIL") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f"a report needs {' and '.join(missing)}: `{INSTALL}`")


def picture_png(picture: UInt8[Tensor, "height width 3"]) -> bytes:
    """A picture as the bytes of a PNG file.

    Raises:
        MissingExtraError: if Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError(f"writing pictures needs Pillow: `{INSTALL}`") from error
    buffer = io.BytesIO()
    Image.fromarray(picture.cpu().numpy()).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def energy_svg(traces: Mapping[str, Sequence[Record]]) -> str:
    """Energy (solid) and bound (dashed) of each solver over seconds, as an SVG picture.

    The time axis is logarithmic, for solvers differ by orders of magnitude. Several problems in
    one batch are summed.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    figure, axes = _figure()
    for index, (name, trace) in enumerate(traces.items()):
        seconds = [max(record.seconds, 1e-4) for record in trace]
        energies = [_total(record.energy) for record in trace]
        style = {"color": f"C{index % 10}", "drawstyle": "steps-post"}
        axes.plot(seconds, energies, label=name, marker="o", markersize=3, **style)
        known = [r for r in trace if r.bound is not None]
        bounds = [_total(r.bound) for r in known if r.bound is not None]
        axes.plot([max(r.seconds, 1e-4) for r in known], bounds, "--", linewidth=1, **style)
    axes.set_xscale("log")
    axes.set_xlabel("seconds")
    axes.set_ylabel("energy (solid) and lower bound (dashed), nats")
    _focus(axes, [record for trace in traces.values() for record in trace])
    return _svg(figure, axes)


def curves_svg(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Loss over steps, a line per name, as an SVG picture.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    figure, axes = _figure()
    for name, points in curves.items():
        axes.plot([x for x, _ in points], [y for _, y in points], label=name)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    return _svg(figure, axes)


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(f"plots need matplotlib: `{INSTALL}`") from error
    figure: Any = Figure(figsize=(8, 4.5), layout="constrained")
    return figure, figure.add_subplot()


def _svg(figure: Any, axes: Any) -> str:
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize="small")
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def _total(values: Tensor) -> float:
    return float(torch.as_tensor(values).double().sum())


def _focus(axes: Any, records: Sequence[Record]) -> None:
    """Show where solvers differ: a random start would squeeze all that matters into a line."""
    energies = [e for e in (_total(record.energy) for record in records) if abs(e) < float("inf")]
    if not energies:
        return
    best = min(energies)
    finals = sorted(energies)[: max(4, 3 * len(energies) // 4)]
    worst = max(finals)
    bounds = [_total(r.bound) for r in records if r.bound is not None]
    floor = min([best, *[b for b in bounds if best - b < 4 * (worst - best) + 1e-9]])
    margin = 0.05 * max(worst - floor, 1e-9 * (1 + abs(best)))
    axes.set_ylim(floor - margin, worst + margin)
