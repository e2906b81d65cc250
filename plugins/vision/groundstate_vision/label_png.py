"""Labels as pictures: one format for stroke files and for ground-truth masks.

A pixel's colour is its label (see `palette`). Black, and everything more than half transparent, is
"no label", -1. A colour counts as its palette colour when no channel is off by more than 24, so
that a colour picker's rounding does no harm; any other colour is an error.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from groundstate_vision.palette import PALETTE, colour_name, palette

TOLERANCE = 24
"""How far each channel may be from the palette's, in 0..255."""


def read_labels(path: Path) -> Int[Tensor, "height width"]:
    """Reads a picture of labels; -1 where there is none.

    Raises:
        ValueError: The file is missing, no image, or has a colour that is not in the palette.
    """
    try:
        with Image.open(path) as picture:
            pixels = np.array(picture.convert("RGBA")).astype(np.int64)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"A picture of labels must be an image file, best a PNG; got {str(path)!r}: {error}."
        ) from error
    table = np.concatenate([np.zeros((1, 3), dtype=np.int64), palette().numpy().astype(np.int64)])
    distinct, inverse = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    distance = np.abs(distinct[:, None, :3] - table).max(axis=-1)
    labels = np.where(distinct[:, 3] < 128, -1, distance.argmin(axis=1) - 1)
    wrong = (distance.min(axis=1) > TOLERANCE) & (distinct[:, 3] >= 128)
    if wrong.any():
        _refuse(path, pixels, distinct[wrong][0])
    return torch.as_tensor(labels[inverse.reshape(pixels.shape[:2])])


def write_labels(labels: Int[Tensor, "height width"], path: Path) -> None:
    """Writes labels as a PNG with palette: small, lossless, and readable in any viewer."""
    if int(labels.max()) >= len(PALETTE) or int(labels.min()) < -1:
        raise ValueError(
            f"Labels must lie in -1..{len(PALETTE) - 1} to have a colour; "
            f"got {int(labels.min())}..{int(labels.max())}."
        )
    picture = Image.fromarray((labels.cpu() + 1).to(torch.uint8).numpy())
    picture.putpalette([0, 0, 0, *(channel for _, colour in PALETTE for channel in colour)])
    picture.save(path, optimize=True)


def _refuse(path: Path, pixels: np.ndarray, colour: np.ndarray) -> None:
    """Says which colour stands where, and what to draw with."""
    row, column = np.argwhere((pixels == colour).all(axis=-1))[0].tolist()
    shades = ", ".join(
        f"{label} {colour_name(label)} #{red:02x}{green:02x}{blue:02x}"
        for label, (_, (red, green, blue)) in enumerate(PALETTE[:8])
    )
    seen = "".join(f"{channel:02x}" for channel in colour[:3].tolist())
    raise ValueError(
        f"Every colour in {str(path)!r} must be one of the palette; got #{seen} at row {row}, "
        f"column {column}. Draw without antialiasing, on transparent or black, with {shades}."
    )
