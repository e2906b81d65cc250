"""Colour from few patches: the softmax affinity beside local affinities and nearest-seed fill.

Photos that come with scikit-image and scikit-learn, longest side 256 pixels; 10, 50 and 100 random
7 x 7 patches of the true colour are revealed, five times over; PSNR in sRGB over all pixels (thesis
section 2.7, table 3.3). The affinity has the settings of `groundstate run colorize`.

    OMP_NUM_THREADS=1 python benchmarks/gcrf_colorize.py [--quick] [--json [PATH]] [--fresh]
                                                         [--pictures DIR]

Levin's method is solved as in its authors' code: 3 x 3 windows, weights by the variance in them,
and exactly 0 = y - Sy at every pixel that is not pinned. Settings of the affinity and its features
were chosen on astronaut, chelsea and coffee.
"""

# pyright: basic, reportMissingTypeStubs=false

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import splu

import groundstate as gs
from groundstate_vision.colorization import ColorizationDataset
from groundstate_vision.metrics import PSNR, coloured
from groundstate_vision.pictures import to_bytes

SKIMAGE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "retina.jpg", "ihc.png")
SKIMAGE += ("hubble_deep_field.jpg", "motorcycle_left.png")
SKLEARN = ("china.jpg", "flower.jpg")
COUNTS = (10, 50, 100)
SIZE = 256
LOCAL_TO_GREY = 5e-5
"""λ of the local energy that is drawn to grey, too, as the affinity is."""

Fields = Mapping[str, Any]
"""What the dataset gives."""


def photos() -> dict[str, Path]:
    """Name and file of each photo."""
    first = Path(importlib.import_module("skimage").__file__ or "").parent / "data"
    second = Path(importlib.import_module("sklearn").__file__ or "").parent / "datasets" / "images"
    files = [first / name for name in SKIMAGE] + [second / name for name in SKLEARN]
    return {each.stem.split("_")[0]: each for each in files}


def nearest(fields: Fields) -> torch.Tensor:
    """Nearest-seed fill."""
    return fields["nearest"]


def local(fields: Fields, diagonal: float = 0.0) -> torch.Tensor:
    """`energy/grid-gcrf`: four neighbours, weights by contrast."""
    registry = gs.load(warn=False)
    energy = registry.build(
        "energy/grid-gcrf",
        image=fields["guide"],
        pinned=fields["pinned"],
        values=fields["values"],
        diagonal=diagonal,
    )
    return gs.solve(energy, registry.build("solver/cg", tolerance=1e-6)).x


def affinity(fields: Fields) -> torch.Tensor:
    """`energy/affinity-gcrf` and solver as the shipped pipeline says."""
    registry = gs.load(warn=False)
    parts = registry.configuration.find("colorize").parts
    given = {
        name: fields[value.removeprefix("@dataset.")]
        if isinstance(value, str) and value.startswith("@dataset.")
        else value
        for name, value in parts["energy"].settings.items()
    }
    energy = registry.build("energy/affinity-gcrf", **given)
    return gs.solve(energy, registry.build("solver/cg", **parts["solver"].settings)).x


def levin(fields: Fields) -> torch.Tensor:
    """Levin, Lischinski, Weiss (2004), as their code solves it, by a sparse direct solve."""
    rest = eye_array(fields["lightness"].numel()) - levin_weights(fields["guide"][..., 0].numpy())
    rest, found = rest.tocsr(), fields["values"].clone().flatten(-2)
    for values, pinned in zip(found, fields["pinned"].flatten(1), strict=True):
        known = pinned.numpy() > 0
        given = values.numpy().T
        factors = splu(rest[~known][:, ~known].tocsc(), permc_spec="MMD_AT_PLUS_A")
        given[~known] = factors.solve(-(rest[~known][:, known]) @ given[known])
    return found.reshape(fields["values"].shape)


def levin_weights(grey: np.ndarray) -> csr_array:
    """S over 3 x 3 windows: exp(-(difference)² / variance of the window), rows summing to 1."""
    height, width = grey.shape
    pixel, flat = np.arange(height * width).reshape(height, width), grey.ravel()
    rows, columns = [], []
    for y, x in ((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)):
        rows.append(pixel[max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)])
        columns.append(pixel[max(0, y) : height - max(0, -y), max(0, x) : width - max(0, -x)])
    row, column = (np.concatenate([each.ravel() for each in part]) for part in (rows, columns))
    count = np.bincount(row) + 1
    mean = (np.bincount(row, flat[column]) + flat) / count
    variance = (np.bincount(row, flat[column] ** 2) + flat**2) / count - mean**2
    difference = (flat[row] - flat[column]) ** 2
    least = np.full(flat.shape, np.inf)
    np.minimum.at(least, row, difference)
    spread = np.maximum(np.maximum(0.6 * variance, -least / np.log(0.01)), 2e-6)
    weight = np.exp(-difference / spread[row])
    total = np.bincount(row, weight)
    return csr_array((weight / total[row], (row, column)), shape=(flat.size, flat.size))


METHODS: dict[str, Callable[[Fields], torch.Tensor]] = {
    "nearest seed": nearest,
    "local": local,
    "local, to grey": lambda fields: local(fields, LOCAL_TO_GREY),
    "Levin 2004": levin,
    "affinity": affinity,
}


def measure(name: str, path: Path, seed: int, pictures: Path | None) -> dict[str, Any]:
    """PSNR of every method on one draw of patches."""
    dataset = ColorizationDataset(
        image=str(path), size=SIZE, strokes="none", patches=COUNTS, seed=seed, dtype="float64"
    )
    fields: Fields = dataset.load()
    metric = PSNR(lightness=fields["lightness"], reference=fields["reference"])
    row: dict[str, Any] = {"photo": name, "seed": seed, "psnr": {}, "seconds": {}}
    for method, run in METHODS.items():
        began = time.perf_counter()
        x = run(fields)
        row["seconds"][method] = time.perf_counter() - began
        row["psnr"][method] = [float(each) for each in metric(x)]
        if pictures is not None:
            save(pictures / f"{name}-{seed}-{method.replace(' ', '-')}.png", fields, x)
    return row


def save(file: Path, fields: Fields, x: torch.Tensor) -> None:
    """The photo coloured from 10, 50 and 100 patches, side by side, and the original."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shown = [*coloured(fields["lightness"], x), fields["reference"].double()]
    Image.fromarray(to_bytes(torch.cat(shown, dim=1)).numpy()).save(file)


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean and spread over the draws, and whether the affinity is above every other."""
    table: list[dict[str, Any]] = []
    for name in dict.fromkeys(row["photo"] for row in rows):
        mine = [row for row in rows if row["photo"] == name]
        for k, count in enumerate(COUNTS):
            found = {m: [row["psnr"][m][k] for row in mine] for m in METHODS}
            means = {m: statistics.mean(each) for m, each in found.items()}
            spread = {m: statistics.stdev(v) if len(v) > 1 else 0.0 for m, v in found.items()}
            best = all(means["affinity"] > v for m, v in means.items() if m != "affinity")
            table.append(
                {"photo": name, "patches": count, "mean": means, "spread": spread, "best": best}
            )
    return table


def show(table: list[dict[str, Any]]) -> None:
    print(f"| photo | patches | {' | '.join(METHODS)} | affinity - Levin |")
    print("|---|---|" + "---|" * (len(METHODS) + 1))
    for row in table:
        cells = [f"{row['mean'][m]:.2f} ± {row['spread'][m]:.2f}" for m in METHODS]
        ahead = row["mean"]["affinity"] - row["mean"]["Levin 2004"]
        mark = "**" if row["best"] else ""
        cells.append(f"{mark}{ahead:+.2f}{mark}")
        print(f"| {row['photo']} | {row['patches']} | {' | '.join(cells)} |")
    names = list(dict.fromkeys(row["photo"] for row in table))
    rivals = ("nearest seed", "local", "local, to grey", "Levin 2004")
    for rival in rivals:
        ahead = [
            name
            for name in names
            if all(
                row["mean"]["affinity"] > row["mean"][rival]
                for row in table
                if row["photo"] == name
            )
        ]
        print(
            f"\nabove {rival} at {', '.join(map(str, COUNTS))} patches on {len(ahead)} of "
            f"{len(names)} photos: {', '.join(ahead)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two photos, one draw: a minute")
    parser.add_argument("--json", nargs="?", const="-", help="print JSON, or write it to a file")
    parser.add_argument("--fresh", action="store_true", help="forget the results of earlier runs")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the first draw")
    options = parser.parse_args()
    wanted = photos()
    if options.quick:
        wanted = {name: wanted[name] for name in ("chelsea", "coffee")}
    file = Path(__file__).parent / "results" / "gcrf-colorize.json"
    file.parent.mkdir(exist_ok=True)
    kept: list[dict[str, Any]] = []
    if file.exists() and not options.fresh:
        kept = json.loads(file.read_text())
    rows: list[dict[str, Any]] = []
    for seed in range(1 if options.quick else 5):
        for name, path in wanted.items():
            found = [row for row in kept if (row["photo"], row["seed"]) == (name, seed)]
            if not found:
                found = [measure(name, path, seed, options.pictures if seed == 0 else None)]
                kept += found
                file.write_text(json.dumps(kept))
                told = [f"{each:.2f}" for each in found[0]["psnr"]["affinity"]]
                print(f"{name}, draw {seed}: {', '.join(told)}", file=sys.stderr, flush=True)
            rows += found
    table = summary(rows)
    if options.json is None:
        show(table)
        return
    text = json.dumps({"draws": rows, "table": table}, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text)


if __name__ == "__main__":
    main()
