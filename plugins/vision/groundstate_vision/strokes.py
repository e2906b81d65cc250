"""Strokes: what a person draws on a photo, as a PNG or as coordinates.

Coordinates come as JSON or TOML, with the same fields::

    {"size": [600, 400],                       width and height the coordinates are meant for
     "labels": ["table", "cup"],               names, label 0 first; left out for colour strokes
     "strokes": [{"label": "cup", "width": 8, "points": [[20, 30], [45, 31.5]]}]}

`points` are pixels from the top left corner of the photo (a pixel's centre is at +0.5), joined by
straight lines of `width` pixels with round ends; later strokes cover earlier ones. A colour stroke
has `colour` ("#a0522d" or a CSS name) in the place of `label`, or `group`: the strokes of one group
share a colour that nobody gives.
"""

import json
import tomllib
from pathlib import Path
from typing import Annotated

import torch
from annotated_types import Gt, MinLen
from jaxtyping import Bool, Float, Int
from PIL import ImageColor
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from torch import Tensor

from groundstate_vision.label_png import read_labels
from groundstate_vision.palette import colour_name

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Stroke:
    """One line drawn by hand: either a `label`, or a `colour`, or a `group`."""

    points: Annotated[tuple[tuple[float, float], ...], MinLen(1)]
    width: Annotated[float, Gt(0)] = 8.0
    label: str | None = None
    colour: str | None = None
    group: str | None = None


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class StrokeFile:
    """All strokes of one photo; `size` is (width, height) in pixels."""

    size: tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)]]
    strokes: Annotated[tuple[Stroke, ...], MinLen(1)]
    labels: tuple[str, ...] = ()


def read_stroke_file(path: Path, original: tuple[int, int]) -> StrokeFile:
    """Reads coordinates (.json or .toml) drawn on a photo of `original` height and width.

    Raises:
        ValueError: The file is missing, malformed, or meant for a photo of another size, or a
            stroke lies outside it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() == ".toml":
            text = json.dumps(tomllib.loads(text))
        file = TypeAdapter(StrokeFile).validate_json(text)
    except ValidationError as error:
        raise ValueError(f"{str(path)!r} is no stroke file: {_faults(error)}.") from error
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"Coordinates of strokes must be a JSON or TOML file that can be read (a PNG can only "
            f"have strokes of labels); got {str(path)!r}: {error}."
        ) from error
    width, height = file.size
    if (height, width) != original:
        raise ValueError(
            f"Strokes must be drawn for the photo's own size, {original[1]} x {original[0]}; "
            f"{str(path)!r} is for {width} x {height} (its `size`). Draw them on this photo, or "
            "scale points, widths and `size`."
        )
    for position, stroke in enumerate(file.strokes):
        if not _meets(stroke, file.size):
            raise ValueError(
                f"`strokes[{position}].points` in {str(path)!r} must lie in the photo, x in 0 to "
                f"{width} and y in 0 to {height}; got x, y = {stroke.points[0]}."
            )
    return file


def _meets(stroke: Stroke, size: tuple[int, int]) -> bool:
    """Whether the smallest box around a stroke has a part inside the photo."""
    reach = stroke.width / 2
    return all(
        min(places) - reach < end and max(places) + reach > 0
        for places, end in zip(zip(*stroke.points, strict=True), size, strict=True)
    )


def label_strokes(
    path: Path, original: tuple[int, int], shape: tuple[int, int], names: tuple[str, ...] = ()
) -> tuple[Int[Tensor, "height width"], tuple[str, ...]]:
    """Label strokes at the size of the loaded photo, and the labels' names.

    Args:
        path: A PNG in the palette's colours, of the size of the file or of the loaded photo, or
            coordinates as JSON or TOML.
        original: Height and width of the photo's file.
        shape: Height and width of the photo as loaded.
        names: Names that replace the file's; empty keeps the file's (a PNG's are colours' names).

    Returns:
        The label under each pixel, -1 where nothing is drawn; one name per label.

    Raises:
        ValueError: Wrong size, unknown label, or a label that no pixel shows.
    """
    if path.suffix.lower() in (".json", ".toml"):
        file = read_stroke_file(path, original)
        found = file.labels
        labels = _labels_of(file, path)
        drawn = draw_strokes(file, shape)
        strokes = torch.where(drawn >= 0, labels[drawn.clamp(min=0)], -1)
    else:
        strokes = fit_strokes(read_labels(path), original, shape, str(path))
        found = tuple(colour_name(label) for label in range(int(strokes.max()) + 1))
    if names and len(names) != len(found):
        raise ValueError(
            f"`labels` must name each of the {len(found)} labels in {str(path)!r} "
            f"({', '.join(found)}); got {len(names)} names."
        )
    missing = [name for label, name in enumerate(found) if not bool((strokes == label).any())]
    if missing or len(found) < 2:
        raise ValueError(
            f"{str(path)!r} must have strokes of at least two labels, 0 to the highest without a "
            f"gap; nothing visible is drawn for {', '.join(missing) or 'a second label'}."
        )
    return strokes, names or found


def colour_strokes(
    path: Path, original: tuple[int, int], shape: tuple[int, int]
) -> tuple[
    Bool[Tensor, "height width"],
    Float[Tensor, "height width 3"],
    Bool[Tensor, "groups height width"],
]:
    """Colour strokes at the size of the loaded photo.

    Returns:
        Where a colour is given, the sRGB colours in [0, 1] there (0 elsewhere), and the pixels of
        each group of strokes that share a colour, in the order the groups first appear.

    Raises:
        ValueError: A stroke with neither a colour that can be read nor a group, or with a label; a
            group of a single stroke or with a stroke that is all covered; a stroke outside the
            photo; or a file of another size.
    """
    file = read_stroke_file(path, original)
    colours = torch.tensor([_colour_of(stroke, path) for stroke in file.strokes]) / 255
    drawn = draw_strokes(file, shape)
    coloured = torch.tensor([stroke.colour is not None for stroke in file.strokes])
    given = (drawn >= 0) & coloured[drawn.clamp(min=0)]
    return given, colours[drawn.clamp(min=0)] * given[..., None], _groups(file, drawn, path)


def draw_strokes(file: StrokeFile, shape: tuple[int, int]) -> Int[Tensor, "height width"]:
    """Draws coordinates at any size: the index of the topmost stroke at each pixel, -1 for none."""
    height, width = shape
    scale_x, scale_y = width / file.size[0], height / file.size[1]
    rows = torch.arange(height, dtype=torch.float64) + 0.5
    columns = torch.arange(width, dtype=torch.float64) + 0.5
    drawn = torch.full(shape, -1, dtype=torch.int64)
    for index, stroke in enumerate(file.strokes):
        points = torch.tensor(stroke.points, dtype=torch.float64)
        points = points * torch.tensor([scale_x, scale_y], dtype=torch.float64)
        # No line is thinner than a pixel's diagonal: it would slip between the centres.
        radius = max(stroke.width * (scale_x * scale_y) ** 0.5 / 2, 0.5**0.5 + 1e-9)
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            drawn[_distance(rows, columns, start, end) <= radius] = index
    return drawn


def fit_strokes(
    strokes: Int[Tensor, "rows columns"],
    original: tuple[int, int],
    shape: tuple[int, int],
    source: str,
) -> Int[Tensor, "height width"]:
    """Brings drawn strokes to the loaded photo's size; no stroke gets lost, however thin.

    A pixel takes the label that most of the drawn pixels it covers have.

    Raises:
        ValueError: The strokes are neither of the file's size nor of the loaded photo's.
    """
    size = (strokes.shape[0], strokes.shape[1])
    if size == shape:
        return strokes
    refuse_other_size("Strokes", size, original, shape, source)
    rows, columns = (strokes >= 0).nonzero(as_tuple=True)
    label = strokes[rows, columns]
    count = int(strokes.max()) + 1
    cell = (rows * shape[0] // size[0]) * shape[1] + columns * shape[1] // size[1]
    votes = torch.bincount(cell * count + label, minlength=shape[0] * shape[1] * count)
    most, winner = votes.reshape(*shape, count).max(dim=-1)
    return torch.where(most > 0, winner, -1)


def refuse_other_size(
    what: str, size: tuple[int, int], original: tuple[int, int], shape: tuple[int, int], source: str
) -> None:
    """Raises `ValueError` unless a drawing has the size of the photo's file or as loaded."""
    if size in (original, shape):
        return
    loaded = f" or {shape[1]} x {shape[0]} (as loaded)" if shape != original else ""
    raise ValueError(
        f"{what} must have the photo's size, {original[1]} x {original[0]}{loaded}; "
        f"got {size[1]} x {size[0]} in {source!r}. Draw them on this photo, or scale them to it."
    )


def _distance(
    rows: Float[Tensor, " height"],
    columns: Float[Tensor, " width"],
    start: Float[Tensor, "2"],
    end: Float[Tensor, "2"],
) -> Float[Tensor, "height width"]:
    """Distance of every pixel's centre from a straight line between two (x, y) points."""
    along = end - start
    x, y = columns[None, :] - start[0], rows[:, None] - start[1]
    length = float(along.square().sum())
    place = ((x * along[0] + y * along[1]) / length).clamp(0, 1) if length > 0 else 0 * (x + y)
    return torch.hypot(x - place * along[0], y - place * along[1])


def _labels_of(file: StrokeFile, path: Path) -> Int[Tensor, " strokes"]:
    """The label of each stroke of a file."""
    for position, stroke in enumerate(file.strokes):
        if stroke.label not in file.labels or stroke.colour or stroke.group:
            raise ValueError(
                f"`strokes[{position}].label` in {str(path)!r} must be one of its `labels` "
                f"({', '.join(file.labels) or 'none are listed'}), without `colour` or `group`; "
                f"got {stroke.label!r}."
            )
    return torch.tensor([file.labels.index(str(stroke.label)) for stroke in file.strokes])


def _colour_of(stroke: Stroke, path: Path) -> tuple[int, ...]:
    """The sRGB colour of a colour stroke, in 0..255; black for a stroke of a group."""
    if stroke.group is not None and stroke.colour is None and stroke.label is None:
        return (0, 0, 0)
    if stroke.group is not None:
        raise ValueError(
            f"A stroke of a `group` in {str(path)!r} must have neither `colour` nor `label`, for "
            f"the group shares a colour that is found; got {stroke.group!r} with "
            f"{stroke.colour or stroke.label!r}. Draw a coloured stroke of its own beside it."
        )
    if stroke.label is not None:
        raise ValueError(
            f"A stroke of a colour in {str(path)!r} must have no `label`; got {stroke.label!r} "
            f"with {stroke.colour!r}. `dataset/photo` takes labels, `dataset/colorization` colours."
        )
    try:
        return ImageColor.getrgb(str(stroke.colour))[:3]
    except ValueError as error:
        raise ValueError(
            f"Each stroke in {str(path)!r} must have a `colour` such as '#a0522d' or 'sienna', or "
            f"a `group` that shares one; got {stroke.colour!r}."
        ) from error


def _groups(
    file: StrokeFile, drawn: Int[Tensor, "height width"], path: Path
) -> Bool[Tensor, "groups height width"]:
    """The pixels of each group of strokes."""
    members: dict[str, list[int]] = {}
    for index, stroke in enumerate(file.strokes):
        if stroke.group is not None:
            members.setdefault(stroke.group, []).append(index)
    for name, strokes in members.items():
        if len(strokes) < 2:
            raise ValueError(
                f"A group in {str(path)!r} must have at least two strokes, for they share a "
                f"colour; got only `strokes[{strokes[0]}]` with `group` {name!r}."
            )
        for index in strokes:
            if not bool((drawn == index).any()):
                raise ValueError(
                    f"`strokes[{index}]` of the group {name!r} in {str(path)!r} must show at least "
                    "one pixel, but later strokes cover it, or it is outside the photo."
                )
    masks = [torch.isin(drawn, torch.tensor(strokes)) for strokes in members.values()]
    return torch.stack(masks) if masks else torch.zeros(0, *drawn.shape, dtype=torch.bool)


def _faults(error: ValidationError) -> str:
    """All faults of a file in one line, each with its path."""
    found = error.errors()
    places = [fault["loc"] for fault in found]
    # a list whose only item is at fault is told to be empty, too, which it is not
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
        for fault in found
        if not any(at != fault["loc"] == at[: len(fault["loc"])] for at in places)
    )
