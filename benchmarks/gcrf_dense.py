"""Dense Gaussian CRFs: embeddings per class against embeddings shared by all classes (Potts).

Tables 3.1 and 3.2 of the thesis (spec §11.5) on this machine: rank D from 32 to 2048 on a 321 x 321
image, and image sides from 256 to 4096 at D = 128; stride 8 and 21 labels throughout, float32, a
residual of 1e-5, one thread. Embeddings are random, of variances that fall as 1 / (1 + d / 8) with
their index d; shared ones have σ_max² = 0.64 λ (spec §12 C5), and those per class are scaled to the
same condition number, 38. Each energy is solved by conjugate gradients, by its direct solver and by
what `auto-quadratic` picks, all through `solve` with its checks. "Bare" are the solver's own steps,
as the thesis times them: conjugate gradients for embeddings per class against the fastest for
shared ones.

    python benchmarks/gcrf_dense.py [--quick] [--json [PATH]] [--fresh]

Each case runs in a process of its own, so that its peak memory is its own. Building the energies is
not timed.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import json
import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from measuring import (
    Answer,
    Row,
    begin,
    machine,
    milliseconds,
    peak_of,
    publish,
    table,
    take_turns,
    times,
)

import groundstate as gs
from groundstate.solving import solve
from groundstate_gcrf.energies.low_rank import low_rank_gcrf
from groundstate_gcrf.energies.low_rank_potts import low_rank_potts_gcrf
from groundstate_gcrf.energies.matrix import GaussianCrf

TOLERANCE, LABELS, STRIDE = 1e-5, 21, 8
RANKS = (32, 64, 128, 256, 512, 1024, 2048)
SIDES = (256, 512, 1024, 2048, 4096)
CONDITION = (1 + (LABELS - 1) * 0.64) / (1 - 0.64)
DIRECT = {"general": "woodbury", "Potts": "potts-split"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One energy of one size.

    Attributes:
        kind: "general" or "Potts".
        side: of the image in pixels.
        rank: D.
        repeats: of each solver.
    """

    kind: str
    side: int
    rank: int
    repeats: int

    @property
    def pixels(self) -> int:
        return math.ceil(self.side / STRIDE) ** 2


def build(case: Case) -> GaussianCrf:
    """The energy, with λ = 1."""
    rng = torch.Generator().manual_seed(0)
    edge = math.ceil(case.side / STRIDE)
    unary = torch.randn(LABELS, edge, edge, generator=rng)
    shared = case.kind == "Potts"
    shape = (case.rank, edge, edge) if shared else (case.rank, LABELS, edge, edge)
    embeddings = torch.randn(shape, generator=rng)
    fall = (1 + torch.arange(case.rank) / 8).rsqrt()
    embeddings.mul_(fall.reshape(-1, *(1,) * (len(shape) - 1)))
    flat = embeddings.flatten(1)
    small = flat @ flat.mT if flat.shape[0] <= flat.shape[1] else flat.mT @ flat
    largest = float(torch.linalg.eigvalsh(small)[-1])
    if not shared:
        embeddings.mul_(math.sqrt((CONDITION - 1) / largest))
        return low_rank_gcrf(unary=unary, embeddings=embeddings, diagonal=1.0)
    embeddings.mul_(math.sqrt(0.64 / largest))
    return low_rank_potts_gcrf(unary=unary, embeddings=embeddings, diagonal=1.0, guard="report")


def residual(energy: GaussianCrf, x: torch.Tensor) -> float:
    """True ‖b - Ax‖ / ‖b‖ in float64, by blocks of rows so that nothing large is copied."""
    matrix: Any = energy.matrix
    shared = not hasattr(matrix, "factor")
    factor = matrix.coupling.flat if shared else matrix.flat
    rows = x.double().reshape(LABELS, -1) if shared else x.double().reshape(1, -1)
    right = rows.sum(0) - rows if shared else rows
    product = matrix.scale.double() * rows
    for begin_at in range(0, len(factor), 8):
        block = factor[begin_at : begin_at + 8].double()
        product = product + (right @ block.mT) @ block
    b = energy.linear.double().reshape(rows.shape)
    return float((b - product).norm() / b.norm())


def measure(case: Case) -> Row:
    """Every solver on one energy, by turns."""
    torch.set_num_threads(1)
    energy = build(case)
    registry = gs.load()
    names = ("cg", DIRECT[case.kind], "auto-quadratic")
    names = names if case.kind == "general" else ("cg", "potts-cg", *names[1:])
    settings: dict[str, dict[str, Any]] = {name: {"tolerance": TOLERANCE} for name in names}
    settings["cg"]["preconditioner"] = "none"
    if case.rank > 512 and case.pixels > 20_000:
        names = ("cg",)
    methods: dict[str, Callable[[], Answer]] = {}
    for name in names:
        solver = registry.build(f"solver/{name}", **settings[name])
        methods[name] = lambda solver=solver: _solved(energy, solver)
        if name != "auto-quadratic":
            methods[f"{name}, bare"] = lambda solver=solver: _steps(energy, solver)
    found = take_turns(methods, case.repeats)
    row: Row = {**asdict(case), "pixels": case.pixels, "solvers": {}}
    row["bare"] = {
        name.removesuffix(", bare"): timing.seconds
        for name, timing in found.items()
        if name.endswith(", bare")
    }
    for name, timing in found.items():
        if name.endswith(", bare"):
            continue
        row["solvers"][name] = {
            "seconds": timing.seconds,
            "repeats": timing.repeats,
            "iterations": timing.answer.iterations,
            "picked": timing.answer.note,
            "residual": residual(energy, torch.from_numpy(timing.answer.x)),
        }
    product = take_turns({"product": lambda: energy.matrix.matvec(energy.linear)}, 9)["product"]
    row["product"] = product.seconds
    return row


def _solved(energy: GaussianCrf, solver: Any) -> Answer:
    solution = solve(energy, solver)
    iterations = solution.stats.get("iterations")
    return Answer(
        x=solution.x.numpy(),
        iterations=None if iterations is None else int(iterations),
        note=str(solution.stats.get("solver", "")),
    )


@torch.no_grad()
def _steps(energy: GaussianCrf, solver: Any) -> Answer:
    """The solver alone, as the thesis times it: what the core adds is left out."""
    state = solver.init(energy, None, torch.Generator())
    while bool((solver.status(state) == gs.Status.RUNNING).any()):
        state = solver.step(energy, state, gs.Deadline())
    return Answer(x=state.x.numpy())


def in_process(case: Case) -> list[Row]:
    """The same in a process of its own, with its peak memory."""
    code = "import sys, gcrf_dense; gcrf_dense.alone(sys.argv[1])"
    return [peak_of(code, json.dumps(asdict(case)))]


def alone(text: str) -> None:
    """What that process does."""
    print(json.dumps(measure(Case(**json.loads(text)))))


def pairs(rows: list[Row], key: str) -> list[Row]:
    """General beside Potts for each size."""
    found: list[Row] = []
    for value in dict.fromkeys(row[key] for row in rows):
        both = {row["kind"]: row for row in rows if row[key] == value}
        line: Row = {key: value, "pixels": both["Potts"]["pixels"]}
        for kind, row in both.items():
            solvers = row["solvers"]
            fastest = min(solvers, key=lambda name: solvers[name]["seconds"])
            line[kind] = {name: each["seconds"] for name, each in solvers.items()}
            line[f"{kind} product"] = row["product"]
            line[f"{kind} bare"] = row["bare"]
            line[f"{kind} fastest"] = fastest
            line[f"{kind} picked"] = solvers.get("auto-quadratic", {}).get("picked", "")
            line[f"{kind} peak_gib"] = row["peak_gib"]
            line[f"{kind} residual"] = max(each["residual"] for each in solvers.values())
        for name in ("cg", "auto-quadratic"):
            if name in line["general"] and name in line["Potts"]:
                line[f"ratio {name}"] = line["general"][name] / line["Potts"][name]
        line["ratio"] = min(line["general"].values()) / min(line["Potts"].values())
        bare = line["Potts bare"]
        line["ratio bare"] = line["general bare"]["cg"] / min(bare.values())
        line["ratio product"] = line["general product"] / line["Potts product"]
        found.append(line)
    return found


def exponent(lines: list[Row], kind: str) -> float:
    """The power of the number of pixels that the fastest time grows with, by least squares."""
    points = [(math.log(line["pixels"]), math.log(min(line[kind].values()))) for line in lines]
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def shown(lines: list[Row], key: str, label: str) -> str:
    headers = [label]
    for kind in ("general", "Potts"):
        headers += [f"{kind} cg"] if kind == "general" else ["Potts cg", "potts-cg"]
        headers += [DIRECT[kind], f"{kind} auto", f"{kind} GiB"]
    headers += [
        "ratio of fastest",
        "of cg",
        "of auto",
        "bare, to general cg",
        "of products",
        "worst residual",
    ]
    rows = []
    for line in lines:
        cells: list[object] = [line[key]]
        for kind in ("general", "Potts"):
            seconds = line[kind]
            picked = line[f"{kind} picked"]
            names = ("cg", "potts-cg") if kind == "Potts" else ("cg",)
            cells += [milliseconds(seconds.get(name)) for name in (*names, DIRECT[kind])]
            cells += [f"{milliseconds(seconds.get('auto-quadratic'))} ({picked})"]
            cells += [f"{line[f'{kind} peak_gib']:.2f}"]
        cells += [times(line["ratio"]), times(line.get("ratio cg"))]
        cells += [times(line.get("ratio auto-quadratic")), times(line["ratio bare"])]
        cells += [times(line["ratio product"])]
        cells += [f"{max(line['general residual'], line['Potts residual']):.1e}"]
        rows.append(cells)
    return table(headers, rows)


def main() -> None:
    arguments, memory = begin("gcrf_dense", __doc__)
    ranks, sides = ((64, 128), (256, 512)) if arguments.quick else (RANKS, SIDES)
    repeats = 3 if arguments.quick else 5

    def run(side: int, rank: int) -> list[Row]:
        rows: list[Row] = []
        for kind in ("general", "Potts"):
            case = Case(kind=kind, side=side, rank=rank, repeats=repeats)
            rows += memory.rows(f"{kind} {side} {rank}", lambda case=case: in_process(case))
        return rows

    by_rank = pairs([row for rank in ranks for row in run(321, rank)], "rank")
    by_side = pairs([row for side in sides for row in run(side, 128)], "side")
    growth = {kind: exponent(by_side, kind) for kind in DIRECT}
    text = "321 × 321, milliseconds:\n\n" + shown(by_rank, "rank", "D")
    text += "\n\nD = 128, milliseconds:\n\n" + shown(by_side, "side", "image side")
    text += "\n\nThe fastest time grows with pixels to the power of " + ", ".join(
        f"{value:.2f} ({kind})" for kind, value in growth.items()
    )
    text += ". Floors: ratio at least 5, the 4096² case under 8 GiB."
    found = {"machine": machine(), "by rank": by_rank, "by side": by_side, "exponent": growth}
    publish(arguments, found, text)


if __name__ == "__main__":
    sys.exit(main())
