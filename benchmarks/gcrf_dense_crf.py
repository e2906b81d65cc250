"""Gaussian CRFs beside fully connected discrete ones: the time to label a photo.

As the papers on deep Gaussian CRFs compare: the Gaussian field on the features of a network with
stride 8, 41 x 41, its baseline DenseCRF on the whole photo, 321 x 321, both with 21 labels; and
both at either size. DenseCRF is pydensecrf2 (the code of Krähenbühl, Koltun) and
`energy/dense-crf` with 10 steps of `solver/dense-crf-mean-field`; the Gaussian fields go through
`solve`, with every check of the core, to a relative residual of 1e-5 in float32.

    pip install -r benchmarks/requirements.txt
    OMP_WAIT_POLICY=passive python benchmarks/gcrf_dense_crf.py [--quick] [--json] [--fresh]

Photos are real, costs of labels seeded: smooth blobs under noise. Embeddings are random Fourier
features of position and colour, so ψᵀψ goes like the appearance kernel of the DenseCRF; they, and
the weights of the sparse field, are scaled to a condition number of 4 (3.7 in the papers). Times
are those of inference; of its bare steps, without the core's checks; and with building the energy
(lattices, Gram matrices). One thread.

pydensecrf2 differs from the formula in two ways: a pixel hears itself, and the blur of its lattice
goes one way, which is not symmetric. "hearing itself" is ours with the first, "one way" with both.
"""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import argparse
import importlib
import importlib.util
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from labelled_photos import FULL, LABELS, SMALL, Scene, dense_inputs, inputs_of, scene
from photo_systems import PHOTOS
from scipy.sparse import csr_array

import groundstate as gs
from groundstate.views import Quadratic
from groundstate_dense_crf.filters import pixel_features
from groundstate_dense_crf.lattice import build_lattice
from groundstate_dense_crf.lattice_kernel import blur

STEPS = 10
GOAL = 50.0
"""How many times faster than DenseCRF on the whole photo the Gaussian field shall be."""
REGISTRY = gs.load()
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One method at one size.

    Attributes:
        photo: which.
        side: height and width.
        method: whose, and how.
        seconds: of inference, median over the repeats.
        bare: of its steps alone.
        total: of inference and building the energy.
        repeats: how many.
        steps: iterations done.
        residual: true relative residual of a Gaussian field; None for the others.
        agreement: share of pixels labelled as by pydensecrf2 at that size.
    """

    photo: str
    side: int
    method: str
    seconds: float
    bare: float
    total: float
    repeats: int
    steps: int
    residual: float | None
    agreement: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a method gave: labels, steps, residual; and the seconds for each part of it."""

    labels: np.ndarray
    building: float
    inference: float
    bare: float
    steps: int
    residual: float | None = None


def pydensecrf(given: Scene) -> Answer:
    """Krähenbühl's code; bandwidths in pixels of the whole photo."""
    peer: Any = importlib.import_module("pydensecrf.densecrf")
    began = time.perf_counter()
    field = peer.DenseCRF2D(given.side, given.side, LABELS)
    field.setUnaryEnergy(np.ascontiguousarray(given.costs.reshape(-1, LABELS).T))
    field.addPairwiseGaussian(sxy=3 / given.stride, compat=3)
    field.addPairwiseBilateral(
        sxy=80 / given.stride, srgb=13, rgbim=np.ascontiguousarray(given.image), compat=10
    )
    built = time.perf_counter()
    beliefs = np.asarray(field.inference(STEPS))
    ended = time.perf_counter()
    return Answer(
        labels=beliefs.argmax(0).reshape(given.side, given.side),
        building=built - began,
        inference=ended - built,
        bare=ended - built,
        steps=STEPS,
    )


def dense_crf(given: Scene, filter: str) -> Answer:
    """Ours, through the core's loop."""
    began = time.perf_counter()
    energy = REGISTRY.build("energy/dense-crf", **dense_inputs(given), filter=filter)
    # a tolerance that is never met: all do the same number of steps
    solver = REGISTRY.build("solver/dense-crf-mean-field", tolerance=1e-30)
    answer = solved(began, energy, solver, STEPS)
    return replace(answer, labels=answer.labels.astype(np.int64))


def hearing_itself(given: Scene) -> Answer:
    """Our filters, with what the formula leaves out put back: for the labels."""
    began = time.perf_counter()
    energy: Any = REGISTRY.build("energy/dense-crf", **dense_inputs(given), filter="lattice")
    kernels = energy.kernels
    pairs = zip(kernels.weights, kernels.filters, strict=True)
    own = torch.stack([weight * each.own for weight, each in pairs]).sum(0).unsqueeze(-1)
    return fixed_point(given, began, lambda q: kernels.filtered(q) + own * q)


def one_way(given: Scene) -> Answer:
    """Our lattice used in all ways as pydensecrf2 uses its own: the labels must be the same."""
    began = time.perf_counter()
    inputs = dense_inputs(given)
    image, position = inputs["image"].float(), inputs["appearance_position"]
    appearance = pixel_features(image, position, inputs["appearance_colour"])
    smoothness = pixel_features(image, inputs["smoothness_position"])
    filters = [one_way_filter(each) for each in (appearance, smoothness)]

    def heard(q: torch.Tensor) -> torch.Tensor:
        near, far = (torch.from_numpy(each(q.numpy())) for each in filters)
        return 10.0 * near + 3.0 * far

    return fixed_point(given, began, heard)


def one_way_filter(features: torch.Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Splat, blur along the directions in order, slice; between roots of its row sums."""
    lattice = build_lattice(features)
    rows = np.repeat(np.arange(len(features)), lattice.corners.shape[1])
    entries = (lattice.weights.ravel(), (rows, lattice.corners.ravel()))
    splat = csr_array(entries, shape=(len(features), lattice.neighbours.shape[1] + 1))

    def apply(values: np.ndarray) -> np.ndarray:
        there = np.ascontiguousarray(splat.T @ values)
        return splat @ blur(there, np.zeros_like(there), lattice.neighbours, False)

    roots = 1 / np.sqrt(apply(np.ones((len(features), 1))))
    return lambda values: (roots * apply(roots * values)).astype(values.dtype)


def fixed_point(
    given: Scene, began: float, heard: Callable[[torch.Tensor], torch.Tensor]
) -> Answer:
    """The bare equations with Potts prices, from the softmax of the costs."""
    costs = torch.from_numpy(given.costs).flatten(0, 1)
    built = time.perf_counter()
    q = (-costs).softmax(-1)
    for _ in range(STEPS):
        q = (heard(q) - costs).softmax(-1)  # all labels but one, up to a constant
    taken = time.perf_counter() - built
    labels = q.argmax(-1).reshape(given.side, given.side).numpy()
    parts = {"building": built - began, "inference": taken, "bare": taken}
    return Answer(labels=labels, steps=STEPS, **parts)


def solved(began: float, energy: Any, solver: Any, steps: int) -> Answer:
    """Through the core's loop, and once more without its checks."""
    built = time.perf_counter()
    solution = gs.solve(energy, solver, steps=steps)
    ended = time.perf_counter()
    with torch.no_grad():
        state = solver.init(energy, None, torch.Generator())
        for _ in range(solution.steps):
            state = solver.step(energy, state, gs.Deadline())
    return Answer(
        labels=solution.x.numpy(),
        building=built - began,
        inference=ended - built,
        bare=time.perf_counter() - ended,
        steps=solution.steps,
    )


def gaussian(given: Scene, name: str, solver_name: str, inputs: dict[str, Any]) -> Answer:
    """A Gaussian field through the core's loop."""
    unary = -torch.from_numpy(given.costs).movedim(-1, 0).contiguous()
    began = time.perf_counter()
    energy: Any = REGISTRY.build(f"energy/{name}", unary=unary, **inputs)
    tolerance = {"tolerance": 1e-5} if solver_name.endswith("cg") else {}
    answer = solved(began, energy, REGISTRY.build(f"solver/{solver_name}", **tolerance), 1000)
    quadratic = gs.view(energy, Quadratic)
    left = quadratic.linear - quadratic.matvec(torch.from_numpy(answer.labels))
    residual = float(left.norm() / quadratic.linear.norm())
    return replace(answer, labels=answer.labels.argmax(0), residual=residual)


GAUSSIAN = {
    "low-rank-gcrf": ("cg", "woodbury"),
    "low-rank-potts-gcrf": ("potts-cg", "potts-split"),
    "grid-gcrf-potts": ("cg", "potts-cg"),
}
"""Solvers of each Gaussian field, the papers' first."""
PEER, OURS = "pydensecrf2", "dense-crf"


def methods(given: Scene, quick: bool) -> dict[str, Callable[[], Answer]]:
    """Everything that runs at a size; the largest systems only in full."""
    large = given.side == FULL
    names = [n for n in GAUSSIAN if not (quick and large and n == "low-rank-gcrf")]
    inputs = inputs_of(given, names)
    found: dict[str, Callable[[], Answer]] = {PEER: lambda: pydensecrf(given)}
    found[f"{OURS}, lattice"] = lambda: dense_crf(given, "lattice")
    found[f"{OURS}, hearing itself"] = lambda: hearing_itself(given)
    found[f"{OURS}, hearing itself, one way"] = lambda: one_way(given)
    if not large:
        found[f"{OURS}, exact"] = lambda: dense_crf(given, "exact")
    for name in names:
        for solver in GAUSSIAN[name]:

            def run(name: str = name, solver: str = solver) -> Answer:
                return gaussian(given, name, solver, inputs[name])

            found[f"{name}, {solver}"] = run
    return found


def measure(photo: str, repeats: int, quick: bool) -> list[Measurement]:
    """Every method at both sizes, taking turns, so that a busy moment hits all alike."""
    scenes = [scene(photo, side) for side in (SMALL, FULL)]
    runs = {
        (given.side, name): run for given in scenes for name, run in methods(given, quick).items()
    }
    answers: dict[tuple[int, str], list[Answer]] = {key: [] for key in runs}
    for turn in range(repeats + 1):
        for key, run in runs.items():
            answer = run()
            if turn:  # the first fills caches
                answers[key].append(answer)
    reference = {side: answers[side, PEER][-1].labels for side in (SMALL, FULL)}
    return [
        Measurement(
            photo=photo,
            side=side,
            method=name,
            seconds=statistics.median(each.inference for each in found),
            bare=statistics.median(each.bare for each in found),
            total=statistics.median(each.inference + each.building for each in found),
            repeats=repeats,
            steps=found[-1].steps,
            residual=found[-1].residual,
            agreement=float((found[-1].labels == reference[side]).mean()),
        )
        for (side, name), found in answers.items()
    ]


def ratios(measured: list[Measurement]) -> list[dict[str, Any]]:
    """DenseCRF's time over each Gaussian field's, medians over photos; above 1 is faster."""
    rows: list[dict[str, Any]] = []
    photos = list(dict.fromkeys(m.photo for m in measured))
    table = {(m.photo, m.side, m.method): m for m in measured}
    fields = [m for m in dict.fromkeys(m.method for m in measured) if "gcrf" in m]
    for side, whole in ((SMALL, FULL), (SMALL, SMALL), (FULL, FULL)):
        for field in fields:
            row: dict[str, Any] = {"gaussian": field, "side": side, "dense_side": whole}
            for peer in (PEER, f"{OURS}, lattice"):
                pairs = [
                    (table[photo, side, field], table[photo, whole, peer])
                    for photo in photos
                    if (photo, side, field) in table and (photo, whole, peer) in table
                ]
                if pairs:
                    row[peer] = statistics.median(b.seconds / a.seconds for a, b in pairs)
                    row[f"{peer}, bare"] = statistics.median(b.bare / a.bare for a, b in pairs)
                    row[f"{peer}, total"] = statistics.median(b.total / a.total for a, b in pairs)
            if PEER in row:
                row["goal met"] = row[PEER] >= GOAL if side != whole else None
                rows.append(row)
    return rows


def show(measured: list[Measurement], rows: list[dict[str, Any]]) -> None:
    print("| photo | side | method | ms | bare | with building | residual | same labels |")
    print("|---|---|---|---|---|---|---|---|")
    for m in measured:
        residual = "" if m.residual is None else f"{m.residual:.1e}"
        print(
            f"| {m.photo} | {m.side} | {m.method} | {1000 * m.seconds:.1f} "
            f"| {1000 * m.bare:.1f} | {1000 * m.total:.1f} | {residual} "
            f"| {100 * m.agreement:.1f} % |"
        )
    print("\nTime of DenseCRF over that of the Gaussian field (bare steps; with building):\n")
    print("| Gaussian field | its side | DenseCRF's side | pydensecrf2 | ours |")
    print("|---|---|---|---|---|")
    ours = f"{OURS}, lattice"
    for row in rows:
        print(
            f"| {row['gaussian']} | {row['side']} | {row['dense_side']} "
            f"| {row[PEER]:.1f} ({row[f'{PEER}, bare']:.1f}; {row[f'{PEER}, total']:.1f}) "
            f"| {row[ours]:.1f} ({row[f'{ours}, bare']:.1f}; {row[f'{ours}, total']:.1f}) |"
        )


def remembered(photo: str, quick: bool) -> list[Measurement]:
    """Measurements of a photo, from an earlier run where there are any."""
    file = RESULTS / f"gcrf_dense_crf-{photo}{'-quick' if quick else ''}.json"
    if file.exists():
        return [Measurement(**each) for each in json.loads(file.read_text())]
    measured = measure(photo, 5, quick)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps([asdict(each) for each in measured]))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one photo, no system of 1 GB")
    parser.add_argument("--json", nargs="?", const="-", help="JSON instead of a table; to a file")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--photos", nargs="+", choices=PHOTOS, default=PHOTOS)
    arguments = parser.parse_args()
    if importlib.util.find_spec("pydensecrf") is None:
        parser.error("the peer is not installed: `pip install -r benchmarks/requirements.txt`")
    if arguments.fresh:
        for file in RESULTS.glob("gcrf_dense_crf-*.json"):
            file.unlink()
    torch.set_num_threads(1)
    measured: list[Measurement] = []
    for photo in ("coffee",) if arguments.quick else arguments.photos:
        measured += remembered(photo, arguments.quick)
        print(f"{photo}: done", file=sys.stderr)
    rows = ratios(measured)
    if arguments.json is None:
        show(measured, rows)
        return
    machine = {"processor": platform.processor() or platform.machine()}
    machine |= {"python": platform.python_version(), "torch": torch.__version__}
    found = {"machine": machine, "measurements": [asdict(each) for each in measured]}
    text = json.dumps({**found, "ratios": rows}, indent=1)
    if arguments.json == "-":
        print(text)
    else:
        Path(arguments.json).write_text(text + "\n")


if __name__ == "__main__":
    main()
