"""Iterations of Jacobi, Gauss-Seidel, GMRES and conjugate gradients to a residual of 1e-6.

25 real images (crops of photos in the scikit-image wheel, and frames of CamVid where
$GROUNDSTATE_DATA has them), 40 x 60 pixels, 5 labels, 4 neighbours, λ relative to |λ_min| (spec §4,
§12 C1). Every solver starts at 0 and is stopped by ‖b - Ax‖ / ‖b‖, looked at after each iteration.
scipy's `cg` and `gmres` count on the same systems.

    python benchmarks/gcrf_iterations.py [--quick] [--json [PATH]] [--fresh]

Writes the residual curves of one image to results/gcrf_iterations.png.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import statistics
from typing import Any

import numpy as np
import torch
from gcrf_systems import LabelSystem, camvid_frames, images, label_system
from measuring import RESULTS, Row, begin, machine, publish, table
from scipy.sparse.linalg import cg, gmres

from groundstate.solver import Deadline
from groundstate.status import Status
from groundstate_gcrf.conjugate_gradients import ConjugateGradients
from groundstate_gcrf.gauss_seidel import GaussSeidel
from groundstate_gcrf.gmres import Gmres
from groundstate_gcrf.jacobi import Jacobi

TOLERANCE, LIMIT = 1e-6, 2000
HEIGHT, WIDTH, LABELS = 40, 60, 5
SOLVERS = ("jacobi", "gauss-seidel", "gmres", "cg", "scipy gmres", "scipy cg")


def curve(system: LabelSystem, name: str) -> list[float]:
    """The true residual after 0, 1, 2, ... iterations, up to the tolerance."""
    if name.startswith("scipy"):
        return _scipy_curve(system, name)
    if name == "gmres":
        return _gmres_curve(system)
    makers: dict[str, Any] = {
        "jacobi": lambda: Jacobi(tolerance=TOLERANCE, check_every=1),
        "gauss-seidel": lambda: GaussSeidel(tolerance=TOLERANCE, check_every=1),
        "cg": lambda: ConjugateGradients(tolerance=TOLERANCE, check_every=1, preconditioner="none"),
    }
    solver: Any = makers[name]()
    with torch.no_grad():
        state: Any = solver.init(system.energy, None, torch.Generator())
        found = [float(state.residual)]
        while int(solver.status(state)) == Status.RUNNING and len(found) <= LIMIT:
            state = solver.step(system.energy, state, Deadline())
            found.append(float(state.residual))
    return found


def _gmres_curve(system: LabelSystem) -> list[float]:
    """Unrestarted, so one cycle, which tells only its end: scipy's is the one that is drawn."""
    whole = Gmres(tolerance=TOLERANCE, restart=LIMIT // 10)
    state: Any = whole.init(system.energy, None, torch.Generator())
    start = float(state.residual)
    state = whole.step(system.energy, state, Deadline())
    count = int(state.iterations)
    return [start, *[float("nan")] * (count - 1), float(state.residual)]


def _scipy_curve(system: LabelSystem, name: str) -> list[float]:
    right = system.right
    norm = float(np.linalg.norm(right))
    found = [1.0]
    if name == "scipy gmres":
        gmres(
            system.matrix,
            right,
            rtol=TOLERANCE,
            restart=LIMIT // 10,
            callback=lambda residual: found.append(float(residual)),
            callback_type="pr_norm",
        )
        return found

    def look(x: np.ndarray) -> None:
        found.append(float(np.linalg.norm(right - system.matrix @ x)) / norm)

    cg(system.matrix, right, rtol=TOLERANCE, maxiter=LIMIT, callback=look)
    return found


def measure(kind: Any, factor: float, count: int) -> list[Row]:
    """The curves of every solver on every image."""
    rows: list[Row] = []
    for name, image in images(count, HEIGHT, WIDTH):
        system = label_system(name, image, labels=LABELS, kind=kind, factor=factor)
        for solver in SOLVERS:
            found = curve(system, solver)
            rows.append(
                {
                    "image": name,
                    "solver": solver,
                    "iterations": len(found) - 1,
                    "residual": found[-1],
                    "curve": [float(f"{each:.3g}") for each in found if each == each],
                }
            )
    return rows


def draw(curves: dict[tuple[str, float], list[Row]], image: str) -> str:
    """Residual against iteration for one image, a panel per setting."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(curves), figsize=(3.6 * len(curves), 3.2), sharey=True, squeeze=False
    )
    for panel, ((kind, factor), rows) in zip(axes[0], curves.items(), strict=True):
        for row in rows:
            if row["image"] != image or row["solver"] in ("gmres", "scipy cg"):
                continue
            panel.semilogy(row["curve"], label=row["solver"].removeprefix("scipy "))
        panel.set_title(f"{kind}, λ = {factor} |λ_min|", fontsize=9)
        panel.set_xlabel("iteration")
        panel.axhline(TOLERANCE, color="0.7", linewidth=0.8)
    axes[0, 0].set_ylabel("‖b - Ax‖ / ‖b‖")
    axes[0, -1].legend(fontsize=8)
    figure.tight_layout()
    file = RESULTS / "gcrf_iterations.png"
    figure.savefig(file, dpi=130)
    return str(file)


def main() -> None:
    arguments, memory = begin("gcrf_iterations", __doc__)
    count = 4 if arguments.quick else 25
    factors = (1.75, 1.05) if arguments.quick else (1.75, 1.2, 1.05)
    curves = {
        (kind, factor): memory.rows(
            f"{kind} {factor}", lambda kind=kind, factor=factor: measure(kind, factor, count)
        )
        for kind in ("Potts", "attractive")
        for factor in factors
    }
    table_rows, summary = [], []
    for (kind, factor), rows in curves.items():
        counts = {
            name: [row["iterations"] for row in rows if row["solver"] == name] for name in SOLVERS
        }
        means = {name: statistics.mean(each) for name, each in counts.items()}
        summary.append(
            {
                "kind": kind,
                "factor": factor,
                "mean": means,
                "cg at most gmres + 2": all(
                    a <= b + 2 for a, b in zip(counts["cg"], counts["gmres"], strict=True)
                ),
            }
        )
        cells = [f"{means[name]:.1f}" for name in SOLVERS]
        table_rows.append((kind, f"{factor} \\|λ_min\\|", *cells))
    first = next(iter(curves.values()))
    file = draw(curves, first[0]["image"])
    used = len({row["image"] for row in first})
    text = table(("pairwise terms", "λ", *SOLVERS), table_rows)
    notes = f"\n\nMeans over {used} images; residual curves of {first[0]['image']}: {file}"
    if not camvid_frames():
        notes += "\nCamVid left out: GROUNDSTATE_DATA is not set, or has no camvid/val."
    found = {"machine": machine("scikit-image"), "summary": summary, "rows": first, "plot": file}
    found["rows"] = {f"{kind} {factor}": rows for (kind, factor), rows in curves.items()}
    publish(arguments, found, text + notes)


if __name__ == "__main__":
    main()
