"""`dataset/photo`: a colour photo, strokes on it, and what the strokes say about every pixel."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Int
from torch import Tensor

from groundstate_vision.colour_models import colour_costs
from groundstate_vision.label_png import read_labels
from groundstate_vision.photos import LoadedPhoto, load_photo
from groundstate_vision.pictures import overlay, to_bytes, with_strokes
from groundstate_vision.shipped import shipped_file
from groundstate_vision.strokes import label_strokes, refuse_other_size


@dataclass(frozen=True, kw_only=True)
class PhotoDataset:
    """A photo to label from a few strokes.

    Outputs: `image` [height, width, 3], sRGB in [0, 1]; `strokes` [height, width], the drawn label
    or -1; `labels`, the names; `unary` [height, width, labels], costs in nats; `truth`
    [height, width], the right label or -1 where it is unknown (everywhere, if no truth is given).

    Attributes:
        image: Path of an image file, or astronaut, chelsea, coffee, rocket (from scikit-image).
        size: Longest side in pixels; smaller photos keep their size. None keeps any size.
        strokes: Path of a PNG in the palette's colours or of coordinates (.json, .toml). None takes
            the strokes shipped for `coffee` and `chelsea`.
        truth: Path of a PNG in the palette's colours. None takes the shipped one together with
            shipped strokes, else the truth is unknown.
        labels: Names of the labels, in order; empty takes those of the stroke file.
        components: Gaussians in each label's colour model.
        position: How much a pixel's place counts beside its colour: the photo's longest side is
            worth so many Lab units. 0 for colour alone.
        outliers: Share of pixels whose colour says nothing; bounds the costs.
        stroke_cost: Cost in nats of another label than the drawn one, on strokes.
        seed: Seed of the colour models' starting points.
        dtype: Of `image` and `unary`.
    """

    image: str = "coffee"
    size: Annotated[int, Ge(8)] | None = None
    strokes: str | None = None
    truth: str | None = None
    labels: tuple[str, ...] = ()
    components: Annotated[int, Ge(1)] = 6
    position: Annotated[float, Ge(0)] = 30.0
    outliers: Annotated[float, Gt(0), Lt(1)] = 0.01
    stroke_cost: Annotated[float, Gt(0)] = 100.0
    seed: Annotated[int, Ge(0)] = 0
    dtype: Literal["float32", "float64"] = "float32"

    def load(self) -> Mapping[str, object]:
        photo = load_photo(self.image, self.size)
        shape = (photo.pixels.shape[0], photo.pixels.shape[1])
        strokes, labels = label_strokes(
            self._stroke_path(photo), photo.original, shape, self.labels
        )
        truth = self._truth(photo, shape, len(labels))
        image = photo.pixels.to(torch.float32 if self.dtype == "float32" else torch.float64)
        unary = colour_costs(
            image,
            strokes,
            labels=len(labels),
            components=self.components,
            position=self.position,
            outliers=self.outliers,
            stroke_cost=self.stroke_cost,
            seed=self.seed,
        )
        return {
            "image": image,
            "strokes": strokes,
            "labels": labels,
            "unary": unary,
            "truth": truth,
        }

    def pictures(self, outputs: Mapping[str, object], x: Tensor | None) -> Mapping[str, Tensor]:
        image = cast(Tensor, outputs["image"])
        if x is not None:
            return {"labelling": overlay(image, x)}
        truth = cast(Tensor, outputs["truth"])
        pictures = {
            "photo": to_bytes(image),
            "photo with strokes": with_strokes(image, cast(Tensor, outputs["strokes"])),
        }
        return pictures | ({"truth": overlay(image, truth)} if bool((truth >= 0).any()) else {})

    def _stroke_path(self, photo: LoadedPhoto) -> Path:
        """The file of strokes: the user's own, or the one shipped for this photo."""
        if self.strokes is not None:
            return Path(self.strokes)
        shipped = shipped_file(photo.name, "strokes.json")
        if shipped is None:
            raise ValueError(
                "`strokes` must be given for every photo but coffee and chelsea; got "
                f"image={self.image!r} without. Draw a few lines per label as a PNG or as "
                "coordinates (the README of the vision plugin shows both)."
            )
        return shipped

    def _truth(
        self, photo: LoadedPhoto, shape: tuple[int, int], labels: int
    ) -> Int[Tensor, "height width"]:
        """The right labels at the size of the loaded photo."""
        shipped = shipped_file(photo.name, "truth.png") if self.strokes is None else None
        path = Path(self.truth) if self.truth is not None else shipped
        if path is None:
            return torch.full(shape, -1, dtype=torch.int64)
        truth = read_labels(path)
        refuse_other_size(
            "`truth`", (truth.shape[0], truth.shape[1]), photo.original, shape, str(path)
        )
        if int(truth.max()) >= labels:
            raise ValueError(
                f"`truth` must use the labels of the strokes, 0..{labels - 1}; got label "
                f"{int(truth.max())} in {str(path)!r}."
            )
        return _nearest(truth, shape)


def _nearest(
    labels: Int[Tensor, "rows columns"], shape: tuple[int, int]
) -> Int[Tensor, "height width"]:
    """Labels at another size: each pixel takes the label under its centre."""
    rows = ((torch.arange(shape[0]) + 0.5) * labels.shape[0] / shape[0]).long()
    columns = ((torch.arange(shape[1]) + 0.5) * labels.shape[1] / shape[1]).long()
    return labels[rows[:, None], columns]
