"""Photos: any image file, or one of scikit-image's in-wheel colour photos by name."""

from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

IN_WHEEL = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "rocket": "rocket.jpg",
}
"""Photos that come with scikit-image, free of copyright: name and file."""


@dataclass(frozen=True, kw_only=True)
class LoadedPhoto:
    """A photo in memory.

    Attributes:
        pixels: sRGB in [0, 1].
        original: Height and width of the file, in pixels, before `size` was applied.
        name: Its name, when it is an in-wheel photo.
    """

    pixels: Float[Tensor, "height width 3"]
    original: tuple[int, int]
    name: str | None


def load_photo(image: str, size: int | None = None) -> LoadedPhoto:
    """Reads a photo and scales it down.

    The orientation noted by the camera is applied, transparency is dropped, grey becomes RGB.

    Args:
        image: The path of an image file, or a name in `IN_WHEEL`. A name wins over a file of the
            same name without a suffix; write `./coffee` for the file.
        size: The longest side, in pixels; smaller photos keep their size, `None` keeps any.

    Raises:
        ValueError: The file is missing, or is no complete image.
    """
    name = image if image in IN_WHEEL else None
    picture = _read_picture(_find(image), image)
    original = (picture.height, picture.width)
    if size is not None and max(original) > size:
        scale = size / max(original)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    pixels = torch.as_tensor(np.array(picture, dtype=np.float32) / 255)
    return LoadedPhoto(pixels=pixels, original=original, name=name)


def _find(image: str) -> Path:
    """The file behind a name or path."""
    if image in IN_WHEEL:
        return Path(str(files("skimage") / "data" / IN_WHEEL[image]))
    path = Path(image)
    if path.is_file():
        return path
    near = get_close_matches(image, IN_WHEEL, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else " Check the path."
    raise ValueError(
        f"`image` must be the path of an image file or one of {', '.join(sorted(IN_WHEEL))}; "
        f"got {image!r}, and there is no such file.{hint}"
    )


def _read_picture(path: Path, image: str) -> Image.Image:
    """Decodes a whole file to RGB; a damaged one is an error here, not a grey area later."""
    try:
        with Image.open(path) as picture:
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.mode.startswith("I"):  # 16 bit: Pillow's own conversion would clip it
                grey = np.asarray(upright, dtype=np.float64) / 65535 * 255
                upright = Image.fromarray(grey.round().astype(np.uint8))
            return upright.convert("RGB")
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        Image.DecompressionBombError,
    ) as error:
        raise ValueError(
            f"`image` must be a complete image file that Pillow reads; got {image!r}: {error}. "
            "Save or download the file again, for example as PNG."
        ) from error
