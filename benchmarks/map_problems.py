"""Discrete problems from real inputs, for `benchmarks/map.py`."""

# pyright: basic, reportMissingTypeStubs=false
# (the peers have no types)

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from groundstate_mrf.factor_graph import FactorGraphEnergy
from groundstate_mrf.groups.distance import DistanceGroup, truncated_linear
from groundstate_mrf.groups.tables import TableGroup

DATA = Path(os.environ.get("GROUNDSTATE_DATA", "../shared/data"))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Costs per pixel, and one price between labels of 4-neighbours.

    Attributes:
        name: of the problem.
        unary: `[height, width, labels]`, in nats.
        price: `[labels, labels]`, in nats, of any two neighbours.
    """

    name: str
    unary: np.ndarray
    price: np.ndarray

    @property
    def energy(self) -> FactorGraphEnergy:
        height, width, labels = self.unary.shape
        pixels = height * width
        number = torch.arange(pixels).reshape(height, width)
        across = torch.stack([number[:, :-1].flatten(), number[:, 1:].flatten()], -1)
        down = torch.stack([number[:-1].flatten(), number[1:].flatten()], -1)
        edges = torch.cat([across, down])
        first = labels * torch.arange(pixels)
        total = pixels * labels
        return FactorGraphEnergy(
            counts=torch.full((pixels,), labels),
            groups=(
                TableGroup(
                    scope=torch.arange(pixels)[:, None],
                    first=first[:, None],
                    tables=torch.from_numpy(self.unary).reshape(pixels, labels),
                    total=total,
                ),
                DistanceGroup(
                    edges=edges,
                    first=first[edges],
                    weights=torch.ones(len(edges), dtype=torch.float64),
                    table=torch.from_numpy(self.price),
                    total=total,
                ),
            ),
            constant=torch.zeros((), dtype=torch.float64),
        )

    def value(self, labels: np.ndarray) -> float:
        """The energy of `[height, width]` labels, by NumPy alone."""
        rows, columns = np.indices(labels.shape)
        total = self.unary[rows, columns, labels].sum()
        total += self.price[labels[:, :-1], labels[:, 1:]].sum()
        return float(total + self.price[labels[:-1], labels[1:]].sum())


def potts(labels: int, weight: float) -> np.ndarray:
    return weight * (1.0 - np.eye(labels))


@cache
def street(frame: int = 0) -> Grid:
    """A frame of CamVid, 240 x 180, 11 classes: colour and place histograms of the training set."""
    folder = DATA / "camvid"
    labels, bins, cells = 11, 8, 12
    colours = np.ones((labels, bins, bins, bins))
    places = np.ones((labels, cells, cells))
    for path in sorted((folder / "train").glob("*.jpg"))[::6]:
        image, truth = _frame(path)
        where = np.indices(truth.shape)
        cell = [where[k] * cells // truth.shape[k] for k in range(2)]
        known = truth < labels
        binned = (image // (256 // bins))[known].T
        np.add.at(colours, (truth[known], *binned), 1)
        np.add.at(places, (truth[known], cell[0][known], cell[1][known]), 1)
    prior = colours.sum((1, 2, 3))
    colours /= prior[:, None, None, None]
    places /= places.sum(0)
    image, truth = _frame(sorted((folder / "val").glob("*.jpg"))[frame])
    where = np.indices(truth.shape)
    cell = [where[k] * cells // truth.shape[k] for k in range(2)]
    likely = colours[:, *(image // (256 // bins)).transpose(2, 0, 1)]
    unary = -np.log(likely) - np.log(places[:, cell[0], cell[1]])
    unary = unary - unary.min(0)
    return Grid(name="street 240x180x11", unary=_last(unary), price=potts(labels, 1.0))


@cache
def figure(side: int = 512) -> Grid:
    """Astronaut, two labels: a Gaussian of the colours in the middle, and one of the sides."""
    from skimage import data

    image = np.asarray(Image.fromarray(data.astronaut()).resize((side, side)), float) / 255
    centre = image[side // 4 : side // 2, 3 * side // 8 : 5 * side // 8].reshape(-1, 3)
    border = np.concatenate([image[: side // 2, : side // 8], image[: side // 2, -side // 8 :]])
    costs = [_gaussian(image, part.reshape(-1, 3)) for part in (centre, border)]
    return Grid(name=f"figure {side}x{side}x2", unary=np.stack(costs, -1), price=potts(2, 1.5))


@cache
def stereo() -> Grid:
    """The motorcycle of Middlebury at half its width: 32 disparities, truncated linear prices."""
    from skimage import data

    left, right, _ = data.stereo_motorcycle()
    size = (370, 240)
    first, second = (
        np.asarray(Image.fromarray(each).resize(size), float).mean(-1) for each in (left, right)
    )
    labels = 32
    costs = np.full((size[1], size[0], labels), 20.0)
    for disparity in range(labels):
        moved = first[:, disparity:] - second[:, : size[0] - disparity]
        costs[:, disparity:, disparity] = np.minimum(np.abs(moved), 20.0)
    table = 2.0 * truncated_linear(labels, 4.0, torch.float64).numpy()
    return Grid(name="stereo 240x370x32", unary=costs / 4.0, price=table)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A restricted Boltzmann machine of the PGMax benchmark.

    Attributes:
        key: such as "24/0".
        weights: `[hidden, visible]`.
        hidden: their biases.
        visible: likewise.
        peers: energies that were reached elsewhere, by name.
    """

    key: str
    weights: np.ndarray
    hidden: np.ndarray
    visible: np.ndarray
    peers: dict[str, Any]

    @property
    def energy(self) -> FactorGraphEnergy:
        hidden, visible = self.weights.shape
        count = hidden + visible
        unary = torch.zeros(count, 2, dtype=torch.float64)
        unary[:, 1] = -torch.from_numpy(np.concatenate([self.hidden, self.visible])).double()
        scope = torch.cartesian_prod(torch.arange(hidden), hidden + torch.arange(visible))
        tables = torch.zeros(len(scope), 2, 2, dtype=torch.float64)
        tables[:, 1, 1] = -torch.from_numpy(self.weights).double().flatten()
        each = torch.arange(count)[:, None]
        return FactorGraphEnergy(
            counts=torch.full((count,), 2),
            groups=(
                TableGroup(scope=each, first=2 * each, tables=unary, total=2 * count),
                TableGroup(scope=scope, first=2 * scope, tables=tables, total=2 * count),
            ),
            constant=torch.zeros((), dtype=torch.float64),
        )

    @property
    def least(self) -> float | None:
        """The optimum, by all states of up to 16 hidden units; each visible one follows alone."""
        hidden = len(self.hidden)
        if hidden > 16:
            return None
        states = (np.arange(2**hidden)[:, None] >> np.arange(hidden)) & 1
        fields = np.maximum(0, self.visible + states @ self.weights).sum(1)
        return float((-(states @ self.hidden) - fields).min())


def machines(sizes: tuple[int, ...], most: int) -> list[Machine]:
    """Up to so many of each size."""
    import json

    known = np.load(DATA / "rbm" / "rbm.npz")
    peers = json.loads((DATA / "rbm" / "peers.json").read_text())
    found: list[Machine] = []
    for size in sizes:
        keys = sorted(
            {name.rsplit("/", 1)[0] for name in known.files if name.startswith(f"{size}/")}
        )
        for key in sorted(keys, key=lambda k: int(k.split("/")[1]))[:most]:
            found.append(
                Machine(
                    key=key,
                    weights=known[f"{key}/W"],
                    hidden=known[f"{key}/bh"],
                    visible=known[f"{key}/bv"],
                    peers=peers[key],
                )
            )
    return found


GRIDS: dict[str, Callable[[], Grid]] = {"street": street, "figure": figure, "stereo": stereo}


def _frame(path: Path) -> tuple[np.ndarray, np.ndarray]:
    image = np.asarray(Image.open(path).convert("RGB"))
    truth = np.asarray(Image.open(path.with_suffix("").with_suffix(".label.png")))
    return image, truth


def _gaussian(image: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """-log of the density of the sample's Gaussian, at each pixel."""
    mean, spread = sample.mean(0), np.cov(sample.T) + 1e-3 * np.eye(3)
    away = image - mean
    inverse = np.linalg.inv(spread)
    return (
        0.5 * np.einsum("hwi,ij,hwj->hw", away, inverse, away) + 0.5 * np.linalg.slogdet(spread)[1]
    )


def _last(costs: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(costs, 0, -1))
