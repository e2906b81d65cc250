"""How much of the memory bandwidth of a copy the products with A reach, out of cache.

Counted are the bytes that must move at least: parameters once, x once, the product once. Embeddings
that are used in both directions, x to 𝒜x and back, count once where a row of them fits in the cache
between the two, else twice: a row of 𝒜 is as long as x. All of torch's threads, float32, no
autograd. The copy moves as many bytes. Like a product it makes its result, and both find memory for
it that was used before, so that no page is counted that the system clears. Beside it is the
arithmetic of a large matrix product, which bounds what does much of it for each number.

    OMP_WAIT_POLICY=passive python benchmarks/gcrf_bandwidth.py [--quick] [--json [PATH]] [--fresh]

(Threads of OpenMP that wait actively would hold the core that a product wants for its own.)
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measuring import (
    Row,
    begin,
    machine,
    milliseconds,
    publish,
    recycled_memory,
    table,
    take_turns,
)

from groundstate_gcrf.energies.label_grid import OFFSETS, GridCoupling, GridMatrix
from groundstate_gcrf.energies.low_rank import LowRankMatrix
from groundstate_gcrf.energies.low_rank_potts import GramCoupling
from groundstate_gcrf.energies.potts import PottsMatrix
from groundstate_gcrf.energies.video import VideoMatrix, coupling_of
from groundstate_gcrf.structure import GridStencil

FLOOR = 0.5


@dataclass(frozen=True, kw_only=True)
class Case:
    """A product, its argument, and the bytes that must move at least.

    Attributes:
        name: of the matrix.
        size: in words.
        product: x to Ax.
        x: what it is applied to.
        floats: numbers that must be read or written.
        operations: multiplications and additions.
    """

    name: str
    size: str
    product: Callable[[torch.Tensor], torch.Tensor]
    x: torch.Tensor
    floats: int
    operations: int


def cases(side: int, labels: int, rank: int) -> list[Callable[[], Case]]:
    """One of each kind; x alone takes 124 MB in the full run, several times the cache."""
    scale = torch.tensor(50.0)

    def weights(count: int, *blocks: int) -> tuple[torch.Tensor, ...]:
        return tuple(torch.randn(side - dy, side - abs(dx), *blocks) for dy, dx in OFFSETS[count])

    def stencil() -> Case:
        # several images of one matrix each, so that parameters count in full
        edge = int(side * labels**0.5)
        x = torch.randn(edge, edge)
        matrix = GridStencil(
            diagonal=torch.rand(edge, edge),
            right=torch.rand(edge, edge - 1),
            down=torch.rand(edge - 1, edge),
        )
        floats = 5 * edge * edge
        return Case(
            name="4-neighbour stencil",
            size=f"{edge}²",
            product=matrix.matvec,
            x=x,
            floats=floats,
            operations=9 * edge * edge,
        )

    def potts(count: int) -> Case:
        own = weights(count)
        coupling = GridCoupling(weights=own, pixel_shape=(side, side))
        matrix = PottsMatrix(coupling=coupling, labels=labels, scale=scale)
        x = torch.randn(labels, side, side)
        return Case(
            name=f"grid Potts, {count} neighbours",
            size=f"{side}² × {labels}",
            product=matrix.matvec,
            x=x,
            floats=2 * x.numel() + sum(each.numel() for each in own),
            operations=(2 * count + 3) * x.numel(),
        )

    def general() -> Case:
        edge = side // 4
        own = tuple(torch.randn(edge - dy, edge - abs(dx), labels, labels) for dy, dx in OFFSETS[4])
        matrix = GridMatrix(terms=own, pixel_shape=(edge, edge), scale=scale)
        x = torch.randn(labels, edge, edge)
        entries = sum(each.numel() for each in own)
        return Case(
            name="grid, L×L blocks",
            size=f"{edge}² × {labels}",
            product=matrix.matvec,
            x=x,
            floats=2 * x.numel() + entries,
            operations=4 * entries,
        )

    def low_rank() -> Case:
        edge = side // 8
        factor = torch.randn(rank, labels, edge, edge)
        matrix = LowRankMatrix(factor=factor, scale=scale, event_shape=(labels, edge, edge))
        x = torch.randn(labels, edge, edge)
        return Case(
            name=f"low rank {rank}",
            size=f"{edge}² × {labels}",
            product=matrix.matvec,
            x=x,
            floats=factor.numel() + 2 * x.numel(),
            operations=4 * factor.numel(),
        )

    def low_rank_potts() -> Case:
        factor = torch.randn(rank, side, side)
        coupling = GramCoupling(factor=factor, pixel_shape=(side, side))
        matrix = PottsMatrix(coupling=coupling, labels=labels, scale=scale)
        x = torch.randn(labels, side, side)
        return Case(
            name=f"low-rank Potts {rank}",
            size=f"{side}² × {labels}",
            product=matrix.matvec,
            x=x,
            floats=2 * factor.numel() + 3 * x.numel(),
            operations=4 * factor.numel() * labels,
        )

    def video() -> Case:
        frames, edge, classes = 4, side // 16, 12
        parts = [torch.randn(frames, rank, classes, edge, edge) for _ in range(2)]
        x = torch.randn(frames, classes, edge, edge)
        matrix = VideoMatrix(
            spatial=parts[0],
            temporal=parts[1],
            coupling=coupling_of(frames, "full", "none", x),
            scale=scale,
            frame_shape=(classes, edge, edge),
        )
        return Case(
            name=f"video, {frames} frames",
            size=f"{edge}² × {classes}, rank {rank}",
            product=matrix.matvec,
            x=x,
            # T_v all have to be read before the first is needed again
            floats=3 * parts[0].numel() + 2 * x.numel(),
            operations=8 * parts[0].numel(),
        )

    return [
        stencil,
        *(lambda count=count: potts(count) for count in (4, 8, 12)),
        general,
        low_rank,
        low_rank_potts,
        video,
    ]


def measure(make: Callable[[], Case], repeats: int) -> list[Row]:
    case, threads = make(), torch.get_num_threads()
    moved, square = 4 * case.floats, torch.ones(2048, 2048)
    source = torch.ones(max(moved // 8, 1))
    methods: dict[str, Callable[[], object]] = {
        "product": lambda: case.product(case.x),
        "copy": source.clone,
        "multiply": lambda: square @ square,
    }
    with torch.no_grad(), recycled_memory():
        found = take_turns(methods, repeats, threads=threads)
    seconds = found["product"].seconds
    most = 2 * 2048**3 / found["multiply"].seconds
    row: dict[str, Any] = {
        "matrix": case.name,
        "size": case.size,
        "megabytes": moved / 1e6,
        "seconds": seconds,
        "reached": moved / seconds,
        "copy": moved / found["copy"].seconds,
        "share": found["copy"].seconds / seconds,
        "operations per second": case.operations / seconds,
        "share of operations": case.operations / seconds / most,
    }
    row["floor met"] = row["share"] >= FLOOR
    return [row]


def main() -> None:
    arguments, memory = begin("gcrf_bandwidth", __doc__)
    side, labels, rank = (128, 8, 32) if arguments.quick else (1216, 21, 128)
    repeats = 7 if arguments.quick else 15
    rows: list[Row] = []
    for number, make in enumerate(cases(side, labels, rank)):
        rows += memory.rows(str(number), lambda make=make: measure(make, repeats))
    lines = [
        (
            row["matrix"],
            row["size"],
            f"{row['megabytes']:.0f}",
            milliseconds(row["seconds"]),
            *(f"{row[name] / 1e9:.1f}" for name in ("reached", "copy")),
            f"{100 * row['share']:.0f} %",
            f"{row['operations per second'] / 1e9:.0f}",
            f"{100 * row['share of operations']:.0f} %",
        )
        for row in rows
    ]
    headers = ("matrix", "size", "MB", "ms", "GB/s", "copy", "share of copy", "Gflop/s")
    headers += ("of torch.mm",)
    publish(arguments, {"machine": machine(), "rows": rows}, table(headers, lines))


if __name__ == "__main__":
    main()
