"""Labellings of low energy: our solvers beside PyMaxflow, gco and PGMax, on real inputs.

    OMP_WAIT_POLICY=passive python benchmarks/map.py [--quick] [--json [PATH]] [--fresh]

PGMax is left out unless it is there: `pip install --no-deps pgmax==0.6.1 equinox joblib` (with its
dependencies it brings TensorFlow, and in any case a package `tests`, which hides this project's).

Restricted Boltzmann machines of the PGMax benchmark: the portfolio for some seconds and max-product
for 200 steps, beside PGMax in the same run and the energies its authors published. Grids from
photos: the energy after 1, 10 and 60 s, the time to within 1 % of the best known, and the gap to
the best bound. Quality is (E - E*) / (E of the unary argmin - E*) with the best known E*. Scaling:
a sweep of a solver from 10³ to 10⁶ nodes, and a step with a cardinality factor of order 2 to 300.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from map_peers import on_grid, pgmax
from map_problems import GRIDS, Grid, Machine, machines, potts
from measuring import Row, begin, machine, publish, table

import groundstate as gs
from groundstate_mrf.factor_graph import cardinality, factor_graph

ON_GRIDS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "street": (
        ("alpha-expansion", {}),
        ("trws", {}),
        ("max-product", {}),
        ("auto-discrete", {}),
    ),
    "figure": (("graph-cut", {}), ("trws", {})),
    "stereo": (("alpha-expansion", {}), ("trws", {}), ("auto-discrete", {})),
}
MOMENTS = (1.0, 10.0, 60.0)


def boltzmann(one: Machine, seconds: float) -> Row:
    """The portfolio and max-product on one machine, beside PGMax."""
    registry, energy = gs.load(), one.energy
    row: Row = {"key": one.key, "least": one.least}
    published = [each["energy"] for name, each in one.peers.items() if name != "optimal"]
    row["published"] = min(published)
    row["PGMax published"] = min(
        each["energy"] for name, each in one.peers.items() if name.startswith("pgmax")
    )
    portfolio = gs.solve(
        energy, registry.build("solver/auto-discrete"), seconds=seconds, steps=10**6, throw=False
    )
    row["portfolio"] = _told(portfolio)
    product = registry.build("solver/max-product")
    peer = pgmax(one)
    ours, theirs = [], []
    for turn in range(4):
        began = time.perf_counter()
        solution = gs.solve(energy, product, steps=200, throw=False)
        middle = time.perf_counter()
        labels = None if peer is None else peer()
        if turn:  # the first compiles
            ours.append(middle - began)
            theirs.append(time.perf_counter() - middle)
        if labels is not None:
            row["PGMax energy"] = float(energy(torch.from_numpy(labels)))
    row["max-product"] = _told(solution) | {"seconds": statistics.median(ours)}
    if peer is not None:
        row["PGMax seconds"] = statistics.median(theirs)
    return row


def _told(solution: Any) -> Row:
    return {
        "energy": float(solution.energy),
        "bound": None if solution.bound is None else float(solution.bound),
        "status": gs.Status(int(solution.status)).label,
        "seconds": solution.seconds,
    }


def on_one_grid(name: str, method: str, settings: dict[str, Any], seconds: float) -> Row:
    """One solver, with its course."""
    grid = GRIDS[name]()
    energy = grid.energy
    solver = gs.load().build(f"solver/{method}", **settings)
    began = time.perf_counter()
    solution = gs.solve(energy, solver, seconds=seconds, steps=10**6, throw=False, record_every=4)
    taken = time.perf_counter() - began
    course = [(point.seconds, float(point.energy)) for point in solution.trace]
    course.append((taken, float(solution.energy)))
    return {
        "problem": grid.name,
        "method": method,
        "unary": grid.value(grid.unary.argmin(-1)),
        "checked": grid.value(solution.x.numpy().reshape(grid.unary.shape[:2])),
        "course": course,
        **_told(solution),
    }


def peers_on_grid(name: str, repeats: int) -> list[Row]:
    """The peers, and the fastest of ours, by turns."""
    grid = GRIDS[name]()
    energy, registry = grid.energy, gs.load()
    own = "graph-cut" if grid.unary.shape[-1] == 2 else "alpha-expansion"
    solver = registry.build(f"solver/{own}")
    methods: dict[str, Callable[[], np.ndarray]] = {
        **on_grid(grid),
        own: lambda: gs.solve(energy, solver, throw=False).x.numpy().reshape(grid.unary.shape[:2]),
    }
    taken: dict[str, list[float]] = {key: [] for key in methods}
    values: dict[str, float] = {}
    for turn in range(repeats + 1):
        for key, method in methods.items():
            began = time.perf_counter()
            labels = method()
            if turn:
                taken[key].append(time.perf_counter() - began)
            values[key] = grid.value(labels)
    return [
        {
            "problem": grid.name,
            "method": key,
            "energy": values[key],
            "seconds": statistics.median(taken[key]),
            "unary": grid.value(grid.unary.argmin(-1)),
        }
        for key in methods
    ]


def sweeps(method: str, sides: tuple[int, ...]) -> list[Row]:
    """Seconds of a step on Potts grids of 4 labels."""
    rows: list[Row] = []
    for side in sides:
        rng = np.random.default_rng(0)
        grid = Grid(name=f"{side}²", unary=rng.random((side, side, 4)), price=potts(4, 0.3))
        energy, solver = grid.energy, gs.load().build(f"solver/{method}")
        state = solver.init(energy, None, torch.Generator().manual_seed(0))
        state = solver.step(energy, state, gs.Deadline())
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            state = solver.step(energy, state, gs.Deadline())
            taken.append(time.perf_counter() - began)
        rows.append({"method": method, "nodes": side * side, "seconds": statistics.median(taken)})
    return rows


def orders(sizes: tuple[int, ...]) -> list[Row]:
    """Seconds of max-product's step with one cardinality factor of each order."""
    rows: list[Row] = []
    for order in sizes:
        generator = torch.Generator().manual_seed(order)
        counts = torch.full((order,), 2)
        costs = torch.randn(order, 2, generator=generator, dtype=torch.float64)
        values = torch.randn(order + 1, generator=generator, dtype=torch.float64)
        energy = factor_graph(
            counts,
            [((i,), costs[i]) for i in range(order)],
            cardinality(counts, [list(range(order))], [values]),
        )
        solver = gs.load().build("solver/max-product")
        state = solver.init(energy, None, torch.Generator())
        state = solver.step(energy, state, gs.Deadline())
        taken = []
        for _ in range(9):
            began = time.perf_counter()
            solver.step(energy, state, gs.Deadline())
            taken.append(time.perf_counter() - began)
        rows.append({"order": order, "seconds": statistics.median(taken)})
    return rows


def exponent(rows: list[Row], size: str) -> float:
    """The power of the size that the seconds grow with, by least squares."""
    x = np.log([row[size] for row in rows])
    y = np.log([row["seconds"] for row in rows])
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    arguments, memory = begin("map", __doc__)
    quick = arguments.quick
    seconds = 2.0 if quick else 60.0
    chosen = machines((24,), 3) if quick else machines((24, 40, 100, 200), 25)
    limit = 2.0 if quick else 10.0
    rbm = [
        row
        for one in chosen
        for row in memory.rows(f"rbm {one.key}", lambda one=one: [boltzmann(one, limit)])
    ]
    grids: list[Row] = []
    peers: list[Row] = []
    for name, methods in ON_GRIDS.items():
        peers += memory.rows(f"peers {name}", lambda name=name: peers_on_grid(name, 3))
        for method, settings in methods:
            grids += memory.rows(
                f"{name} {method}",
                lambda name=name, method=method, settings=settings: [
                    on_one_grid(name, method, settings, seconds)
                ],
            )
    sides = (32, 100) if quick else (32, 100, 316, 1000)
    scaling = [
        row
        for method in ("trws", "max-product")
        for row in memory.rows(f"sweeps {method}", lambda method=method: sweeps(method, sides))
    ]
    sizes = (2, 10, 100) if quick else (2, 4, 10, 30, 100, 300)
    counting = memory.rows("orders", lambda: orders(sizes))
    found = {
        "machine": machine("pgmax", "PyMaxflow", "gco-wrapper"),
        "rbm": rbm,
        "grids": grids,
        "peers": peers,
        "scaling": scaling,
        "orders": counting,
    }
    publish(arguments, found, shown(found))


def shown(found: Row) -> str:
    return "\n\n".join(
        [
            "Restricted Boltzmann machines, by size:\n\n" + _machines_shown(found["rbm"]),
            "Grids, by turns with the peers:\n\n" + _peers_shown(found["peers"]),
            "Grids, the course:\n\n" + _grids_shown(found["grids"], found["peers"]),
            "Seconds of a step:\n\n" + _scaling_shown(found["scaling"]),
            "Seconds of a step with one cardinality factor:\n\n"
            + table(
                ["order", "ms"],
                [[r["order"], f"{1000 * r['seconds']:.2f}"] for r in found["orders"]],
            ),
        ]
    )


def _machines_shown(rows: list[Row]) -> str:
    lines = []
    for size in dict.fromkeys(row["key"].split("/")[0] for row in rows):
        own = [row for row in rows if row["key"].startswith(f"{size}/")]
        best = [
            min(r["portfolio"]["energy"], r["max-product"]["energy"], r["published"]) for r in own
        ]
        lines.append(
            [
                size,
                len(own),
                sum(r["portfolio"]["energy"] <= b + 1e-6 for r, b in zip(own, best, strict=True)),
                sum(r["portfolio"]["status"] == "optimal" for r in own),
                f"{statistics.mean(r['portfolio']['energy'] for r in own):.3f}",
                f"{statistics.mean(r['max-product']['energy'] for r in own):.3f}",
                f"{statistics.mean(r['PGMax published'] for r in own):.3f}",
                f"{statistics.mean(r['published'] for r in own):.3f}",
                _mean([r["portfolio"]["seconds"] for r in own]),
                _mean([r["max-product"]["seconds"] for r in own]),
                _mean([r.get("PGMax seconds") for r in own]),
            ]
        )
    headers = [
        "units",
        "machines",
        "portfolio at the best",
        "certified",
        "portfolio",
        "max-product",
    ]
    headers += ["PGMax (published)", "best published", "portfolio s", "max-product s", "PGMax s"]
    return table(headers, lines)


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.mean(known):.3f}" if known else "-"


def _peers_shown(rows: list[Row]) -> str:
    lines = [[r["problem"], r["method"], f"{r['energy']:.1f}", f"{r['seconds']:.3f}"] for r in rows]
    return table(["problem", "method", "energy", "s"], lines)


def _grids_shown(rows: list[Row], peers: list[Row]) -> str:
    lines = []
    for row in rows:
        own = [r for r in rows if r["problem"] == row["problem"]]
        best = min(
            [r["energy"] for r in own]
            + [r["energy"] for r in peers if r["problem"] == row["problem"]]
        )
        bound = max((r["bound"] for r in own if r["bound"] is not None), default=-math.inf)
        span = row["unary"] - best
        at = [min([e for s, e in row["course"] if s <= m], default=None) for m in MOMENTS]
        close = next((s for s, e in row["course"] if e - best <= 0.01 * span), None)
        lines.append(
            [
                row["problem"],
                row["method"],
                *("-" if e is None else f"{(e - best) / span:.4f}" for e in at),
                f"{(row['energy'] - best) / span:.4f}",
                "-" if close is None else f"{close:.2f}",
                "-" if row["bound"] is None else f"{(row['energy'] - row['bound']) / span:.4f}",
                f"{(best - bound) / span:.4f}",
                row["status"],
                f"{row['seconds']:.1f}",
            ]
        )
    headers = ["problem", "method", "quality at 1 s", "10 s", "60 s", "at the end", "s to 1 %"]
    headers += ["own gap", "gap to the best bound", "status", "s"]
    return table(headers, lines)


def _scaling_shown(rows: list[Row]) -> str:
    lines = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        cells = ", ".join(f"{r['nodes']}: {1000 * r['seconds']:.1f} ms" for r in own)
        lines.append([method, cells, f"{exponent(own, 'nodes'):.2f}"])
    return table(["method", "nodes", "exponent"], lines)


if __name__ == "__main__":
    main()
