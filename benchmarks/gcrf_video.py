"""Videos of V = 2, 3, 4, 7 frames: caching in the product, and which solver is fastest.

As the thesis measures (spec §8.3, §11.6): 321 x 321 at stride 8, 12 classes, ranks of 128 in space
and in time, all frames coupled, float32, one thread. The product takes each T_j p_j once and hands
their sum round; beside it stand the same without that (each frame sums T_j p_j of the others anew,
V² + 2V units of work instead of 4V) and the paper's equation as printed (2V²), with the same
compiled parts. Solved to 1e-5 by
conjugate gradients with either product, by `video-direct`, and by what `auto-quadratic` picks.

    python benchmarks/gcrf_video.py [--quick] [--json [PATH]] [--fresh]
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from measuring import (
    Answer,
    Row,
    begin,
    machine,
    milliseconds,
    publish,
    table,
    take_turns,
    times,
)
from torch import Tensor

import groundstate as gs
from groundstate.energy import Energy, QuadraticEnergy, view
from groundstate.solving import solve
from groundstate.views import Quadratic
from groundstate_gcrf.energies.low_rank import apply_columns, gram_product
from groundstate_gcrf.energies.matrix import GaussianCrf
from groundstate_gcrf.energies.video import video_gcrf

TOLERANCE, LABELS, EDGE, RANK = 1e-5, 12, 41, 128
FRAMES = (2, 3, 4, 7)
FLOOR = 1.3


def build(frames: int, rank: int) -> GaussianCrf:
    """Random embeddings: σ_max² is 8 within frames and 0.64 between them, with λ = 1."""
    rng = torch.Generator().manual_seed(0)
    shape = (frames, rank, LABELS, EDGE, EDGE)
    fall = (1 + torch.arange(rank) / 8).rsqrt().reshape(-1, 1, 1, 1)
    parts = []
    for size in (8.0, 0.64):
        factor = torch.randn(shape, generator=rng) * fall
        flat = factor.flatten(2)
        largest = torch.linalg.eigvalsh(flat @ flat.mT).amax()
        parts.append(factor * math.sqrt(size / float(largest)))
    unary = torch.randn(frames, LABELS, EDGE, EDGE, generator=rng)
    return video_gcrf(unary=unary, spatial=parts[0], temporal=parts[1], guard="report")


def uncached(energy: GaussianCrf, *, summed: bool) -> Callable[[Tensor], Tensor]:
    """The product without what frames share: each asks the others again for T_j p_j."""
    matrix: Any = energy.matrix
    spatial, temporal = (factor.detach() for factor in matrix.factors)
    frames, scale = len(spatial), float(matrix.scale)

    def product(x: Tensor) -> Tensor:
        rows = x.reshape(frames, -1)
        result = []
        for i in range(frames):
            own = gram_product(spatial[i], rows[i]) + scale * rows[i]
            others = [j for j in range(frames) if j != i]
            if summed:
                seen = torch.stack([temporal[j] @ rows[j] for j in others]).sum(0)
                own = own + apply_columns(temporal[i], seen)
            else:
                for j in others:
                    own = own + apply_columns(temporal[i], temporal[j] @ rows[j])
            result.append(own)
        return torch.stack(result).reshape(x.shape)

    return product


def with_product(energy: GaussianCrf, product: Callable[[Tensor], Tensor]) -> Energy:
    """The same energy, multiplied otherwise."""
    quadratic = replace(view(energy, Quadratic), matvec=product)
    return QuadraticEnergy(quadratic=quadratic, space=energy.space)


def residual(energy: GaussianCrf, x: Tensor) -> float:
    """True ‖b - Ax‖ / ‖b‖ in float64, frame by frame."""
    matrix: Any = energy.matrix
    rows, b = (each.double().flatten(1) for each in (x, energy.linear))
    spatial, temporal = matrix.factors
    short = torch.stack([t.double() @ row for t, row in zip(temporal, rows, strict=True)])
    mixed = matrix.coupling.double() @ short
    left = torch.stack(
        [
            right - a.double().mT @ (a.double() @ row) - t.double().mT @ m - matrix.scale * row
            for right, row, a, t, m in zip(b, rows, spatial, temporal, mixed, strict=True)
        ]
    )
    return float(left.norm() / b.norm())


def measure(frames: int, rank: int, repeats: int) -> list[Row]:
    """Products and solves, by turns."""
    energy = build(frames, rank)
    x = energy.linear
    plain, naive = (uncached(energy, summed=each) for each in (True, False))
    with torch.no_grad():
        assert torch.allclose(plain(x), energy.matrix.matvec(x), rtol=1e-3, atol=1e-4)
    products: dict[str, Callable[[], Tensor]] = {
        "cached": lambda: energy.matrix.matvec(x),
        "summed": lambda: plain(x),
        "naive": lambda: naive(x),
    }
    found = take_turns(products, 3 * repeats)
    row: Row = {"frames": frames, "rank": rank, "product": {}, "solvers": {}}
    row["product"] = {name: timing.seconds for name, timing in found.items()}
    registry = gs.load()
    solvers = {
        name: registry.build(f"solver/{name}", tolerance=TOLERANCE)
        for name in ("cg", "video-direct", "auto-quadratic")
    }
    cases: dict[str, tuple[Energy, Any]] = {
        "cg": (energy, solvers["cg"]),
        "cg, not cached": (with_product(energy, plain), solvers["cg"]),
        "video-direct": (energy, solvers["video-direct"]),
        "auto-quadratic": (energy, solvers["auto-quadratic"]),
    }
    methods = {name: lambda case=case: _solved(*case) for name, case in cases.items()}
    for name, timing in take_turns(methods, repeats).items():
        row["solvers"][name] = {
            "seconds": timing.seconds,
            "repeats": timing.repeats,
            "iterations": timing.answer.iterations,
            "picked": timing.answer.note,
            "residual": residual(energy, torch.from_numpy(timing.answer.x)),
        }
    return [row]


def _solved(energy: Energy, solver: Any) -> Answer:
    solution = solve(energy, solver)
    iterations = solution.stats.get("iterations")
    return Answer(
        x=solution.x.numpy(),
        iterations=None if iterations is None else int(iterations),
        note=str(solution.stats.get("solver", "")),
    )


def main() -> None:
    arguments, memory = begin("gcrf_video", __doc__)
    chosen, rank = ((2, 4), 32) if arguments.quick else (FRAMES, RANK)
    rows = [
        row
        for frames in chosen
        for row in memory.rows(
            f"{frames} {rank}",
            lambda frames=frames: measure(frames, rank, 3 if arguments.quick else 7),
        )
    ]
    lines = []
    for row in rows:
        product, solvers = row["product"], row["solvers"]
        row["gain"] = product["summed"] / product["cached"]
        row["gain of solves"] = solvers["cg, not cached"]["seconds"] / solvers["cg"]["seconds"]
        auto = solvers["auto-quadratic"]
        lines.append(
            (
                row["frames"],
                *(milliseconds(product[name]) for name in ("cached", "summed", "naive")),
                times(row["gain"]),
                *(milliseconds(solvers[name]["seconds"]) for name in ("cg", "cg, not cached")),
                solvers["cg"]["iterations"],
                times(row["gain of solves"]),
                milliseconds(solvers["video-direct"]["seconds"]),
                f"{milliseconds(auto['seconds'])} ({auto['picked']})",
                f"{max(each['residual'] for each in solvers.values()):.1e}",
            )
        )
    headers = ("V", "product, cached", "summed anew", "as printed", "gain", "cg", "cg, not cached")
    headers += ("iterations", "gain", "video-direct", "auto", "worst residual")
    text = f"Rank {rank}, milliseconds:\n\n" + table(headers, lines)
    text += f"\n\nFloor at V = 4: {FLOOR}×."
    publish(arguments, {"machine": machine(), "rows": rows}, text)


if __name__ == "__main__":
    main()
