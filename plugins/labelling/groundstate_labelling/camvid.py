"""`dataset/camvid`: driving video with a label for every pixel of some frames.

Brostow, Fauqueur, Cipolla 2009, with the 11 classes and the split of SegNet: most of "train" has
one labelled frame per second, "val" is one stretch of 6.7 s with 15 per second. A folder holds
`NAME.jpg` and `NAME.label.png` for each frame; names are a sequence and a number of a frame at 30
per second, `0016E5_07959`.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import numpy as np
import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int, Shaped, UInt8
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from groundstate.data import Pictures
from groundstate_labelling.clips import Clips, Lesson

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "cyclist",
)
IGNORE = 11
"""The label of pixels that nobody labelled."""

PALETTE: UInt8[Tensor, "labels 3"] = torch.tensor(
    [
        (128, 190, 230),
        (150, 75, 60),
        (230, 200, 60),
        (110, 90, 120),
        (200, 160, 190),
        (70, 130, 60),
        (220, 60, 50),
        (120, 120, 170),
        (40, 60, 150),
        (240, 130, 40),
        (0, 150, 160),
        (0, 0, 0),
    ],
    dtype=torch.uint8,
)
"""A colour for each class, and black for pixels without a label."""


@dataclass(frozen=True, kw_only=True)
class Frames:
    """Labelled frames, in order.

    Attributes:
        images: sRGB.
        labels: 0 to 10, and 11 where there is none.
        names: of the files, sorted.
    """

    images: UInt8[Tensor, "count 3 height width"]
    labels: UInt8[Tensor, "count height width"]
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CamvidDataset:
    """CamVid as batches to learn from, and batches held out.

    Outputs: `source`; `validation`, batches of whole frames; `names` of the frames of the split.

    Attributes:
        folder: that has `train` and `val`; None takes `camvid` in the folder that the environment
            variable GROUNDSTATE_DATA names.
        split: what `source` draws from. `validation` is every tenth frame of "val".
        frames: in a clip, one after another; 1 gives single images.
        size: images in a batch.
        apart: share of the training frames, the end of each stretch of video, that are seen only
            from step `apart_from` on, and alone until `together_from`: pairwise terms are learned
            from frames the unary stream has not seen, where its mistakes are as they will be.
        apart_from: see there; None mixes them with the others from the beginning.
        together_from: from which step on all frames are drawn.
        seed: of the batches.
    """

    folder: Path | None = None
    split: Literal["train", "val"] = "train"
    frames: Annotated[int, Ge(1)] = 1
    size: Annotated[int, Ge(1)] = 8
    apart: Annotated[float, Gt(0), Lt(1)] = 0.15
    apart_from: Annotated[int, Ge(0)] | None = None
    together_from: Annotated[int, Ge(0)] | None = None
    seed: Annotated[int, Ge(0)] = 0

    def load(self) -> Mapping[str, object]:
        taught, held = read_frames(self.folder, self.split), read_frames(self.folder, "val")
        return {
            "source": self.source(taught),
            "validation": self._validation(held),
            "names": taught.names,
        }

    def pictures(self, outputs: Mapping[str, object], x: Shaped[Tensor, "..."] | None) -> Pictures:
        if x is not None:
            return {"labelling": paint(x.reshape(-1, *x.shape[-2:])[0])}
        batch = cast(Sequence[Mapping[str, Tensor]], outputs["validation"])[0]
        image = batch["image"].reshape(-1, *batch["image"].shape[-3:])[0]
        labels = batch["labels"].reshape(-1, *batch["labels"].shape[-2:])[0]
        return {
            "frame": (image * 255).round().to(torch.uint8).permute(1, 2, 0),
            "truth": paint(labels),
        }

    def source(self, frames: Frames) -> Clips:
        """Batches of these frames, in the lessons that the settings ask for."""
        every = windows(frames.names, self.frames)
        lessons = [Lesson(first=0, windows=every)]
        if self.apart_from is not None:
            late = ends(frames.names, self.apart)
            alone = late[every].all(-1)
            lessons = [
                Lesson(first=0, windows=every[~late[every].any(-1)]),
                Lesson(first=self.apart_from, windows=every[alone]),
            ]
            if self.together_from is not None:
                lessons.append(Lesson(first=self.together_from, windows=every))
        if any(not len(each.windows) for each in lessons):
            raise ValueError(
                f"every lesson needs a clip of {self.frames} frames, got none for "
                f"{len(frames.names)} frames with `apart = {self.apart}`; lower `frames`"
            )
        return Clips(
            images=frames.images,
            labels=frames.labels,
            lessons=lessons,
            size=self.size,
            single=self.frames == 1,
            seed=self.seed,
        )

    def _validation(self, frames: Frames) -> tuple[Mapping[str, Tensor], ...]:
        chosen = windows(frames.names, self.frames)[::10]
        if self.frames == 1:
            chosen = chosen[:, 0]
        count = max(1, self.size // self.frames)
        parts = [chosen[k : k + count] for k in range(0, len(chosen), count)]
        return tuple(
            {"image": frames.images[part].float() / 255, "labels": frames.labels[part].long()}
            for part in parts
        )


def read_frames(folder: Path | None, split: str) -> Frames:
    """All frames of a split.

    Raises:
        ValueError: if they are not there (it says how to name the folder), or frames and labels do
            not belong together.
    """
    root = os.environ.get("GROUNDSTATE_DATA")
    where = (folder or Path(root or "") / "camvid") / split
    files = sorted(where.glob("*.jpg")) if folder or root else []
    if not files:
        given = f"`folder = {str(folder)!r}`" if folder else f"GROUNDSTATE_DATA={root or ''}"
        raise ValueError(
            f"CamVid must be in a folder `camvid` with `train` and `val`, each with NAME.jpg and "
            f"NAME.label.png; got {given}, and no frames in {str(where)!r}. Set the environment "
            "variable GROUNDSTATE_DATA to the folder that holds `camvid`, or `folder`"
        )
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    labels = [_read_labels(file.with_suffix(".label.png")) for file in files]
    size = labels[0].shape
    for file, image, truth in zip(files, images, labels, strict=True):
        if not image.shape[:2] == truth.shape == size:
            raise ValueError(
                f"all frames and their labels must have one size; {str(file)!r} has "
                f"{image.shape[0]} × {image.shape[1]}, its labels {truth.shape}, and the first "
                f"labels {size}"
            )
    return Frames(
        images=torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(),
        labels=torch.from_numpy(np.stack(labels)),
        names=tuple(file.stem for file in files),
    )


def _read_labels(path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise ValueError(f"each frame NAME.jpg needs its NAME.label.png; there is no {str(path)!r}")
    picture = Image.open(path)
    labels = np.asarray(picture)
    if picture.mode not in ("L", "P") or labels.max() > IGNORE:
        raise ValueError(
            f"{str(path)!r} must have one channel with a label in each pixel, 0 to {IGNORE}; got "
            f"the mode {picture.mode} with numbers up to {labels.max()}"
        )
    return labels


def windows(names: Sequence[str], frames: int) -> Int[Tensor, "clips frames"]:
    """Every run of `frames` frames that follow one another in one sequence."""
    runs = stretches(names)
    found = [
        list(range(start, start + frames))
        for run in runs
        for start in range(run.start, run.stop - frames + 1)
    ]
    return torch.tensor(found, dtype=torch.int64).reshape(-1, frames)


def ends(names: Sequence[str], share: float) -> Shaped[Tensor, " frames"]:
    """Whether each frame is in the last part of its stretch of video."""
    late = torch.zeros(len(names), dtype=torch.bool)
    for run in stretches(names):
        late[run.stop - round(share * len(run)) : run.stop] = True
    return late


def stretches(names: Sequence[str], gap: int = 45) -> list[range]:
    """Frames without a break: of one sequence, numbers less than `gap` apart (1 s is 30)."""
    keys = [_key(name) for name in names]
    breaks = [0]
    for k in range(1, len(keys)):
        (before, first), (after, second) = keys[k - 1], keys[k]
        if before != after or second - first > gap:
            breaks.append(k)
    return [range(a, b) for a, b in zip(breaks, [*breaks[1:], len(keys)], strict=True)]


def _key(name: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)_f?(\d+)", name)
    if found is None:
        raise ValueError(
            f"the name of a frame must be SEQUENCE_NUMBER, such as 0016E5_07959, got {name!r}"
        )
    return found[1], int(found[2])


def paint(labels: Shaped[Tensor, "height width"]) -> UInt8[Tensor, "height width 3"]:
    """Labels as colours."""
    return PALETTE.to(labels.device)[labels.long()]
