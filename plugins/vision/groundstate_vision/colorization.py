"""`dataset/colorization`: a grey photo, and colours given at a few places.

Source: thesis section 2.7, colour edits and PSNR against the number of revealed 7x7 patches.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
from annotated_types import Ge, Gt
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundstate_vision.colour import rgb_to_lab
from groundstate_vision.features import hand_features
from groundstate_vision.fill import nearest_fill
from groundstate_vision.metrics import coloured
from groundstate_vision.photos import LoadedPhoto, load_photo
from groundstate_vision.pictures import to_bytes, with_strokes
from groundstate_vision.shipped import shipped_file
from groundstate_vision.strokes import colour_strokes


@dataclass(frozen=True, kw_only=True)
class ColorizationDataset:
    """A grey photo to colour from hints: strokes of colour, and patches of the true colour.

    Each set of hints is one problem of the batch; a and b are two right-hand sides of one system.

    Outputs: `guide` [height, width, 1], the lightness in [0, 1]; `features` [length, height,
    width], intensity, position and texture, see `features.hand_features`; `pinned` [hints, 1,
    height, width], 1 where the colour is given and 0 elsewhere; `values` [hints, 2, height, width],
    a and b there, in Lab units, and 0 elsewhere; `regions` [groups, height, width], 1 where strokes
    of a group say that a colour is shared; `lightness` [height, width], L in 0..100; `reference`
    [height, width, 3], the original, sRGB in [0, 1]; `nearest` [hints, 2, height, width], a and b
    of the nearest pixel that has a colour; `names`, one per set of hints.

    Attributes:
        image: Path of an image file, or astronaut, chelsea, coffee, rocket (from scikit-image).
        size: Longest side in pixels; smaller photos keep their size. None keeps any size.
        strokes: Path of coloured coordinates (.json, .toml), "none", or "shared" for the shipped
            strokes of `coffee` that share colours. None takes the coloured strokes shipped for
            `coffee` and `chelsea`, and no strokes for other photos.
        patches: How many patches of true colour to reveal; one set of hints for each number.
        patch_size: Side of a patch, in pixels of the photo as loaded.
        seed: Of the places, uniform among those where the whole patch is inside the photo; patches
            may overlap, and the first ten of fifty are the ten of the set of ten.
        intensity: How far apart black and white are in the features, where 1 is little.
        position: How far apart the ends of the photo's longest side are in them.
        texture: How far apart black and white neighbourhoods are in them.
        dtype: Of all outputs.
    """

    image: str = "coffee"
    size: Annotated[int, Ge(8)] | None = None
    strokes: str | None = None
    patches: tuple[Annotated[int, Gt(0)], ...] = (10, 50, 100)
    patch_size: Annotated[int, Ge(1)] = 7
    seed: Annotated[int, Ge(0)] = 0
    intensity: Annotated[float, Ge(0)] = 100.0
    position: Annotated[float, Ge(0)] = 50.0
    texture: Annotated[float, Ge(0)] = 65.0
    dtype: Literal["float32", "float64"] = "float32"

    def load(self) -> Mapping[str, object]:
        photo = load_photo(self.image, self.size)
        lab = rgb_to_lab(photo.pixels.double())
        chroma = lab[..., 1:].permute(2, 0, 1)
        hints, regions = self._stroke_hints(photo)
        hints |= {
            f"{count} patches": (area, chroma * area)
            for count, area in self._revealed(lab.shape[:2]).items()
        }
        if not hints:
            raise ValueError(
                "There must be at least one set of hints; got patches=() and no strokes of a "
                "given colour. Set `patches`, such as [10, 50], or give coloured `strokes`."
            )
        dtype = torch.float32 if self.dtype == "float32" else torch.float64
        features = hand_features(
            lab[..., 0] / 100,
            intensity=self.intensity,
            position=self.position,
            texture=self.texture,
        )
        pinned = torch.stack([area for area, _ in hints.values()]).to(dtype)
        values = torch.stack([colour for _, colour in hints.values()]).to(dtype)
        fills = [nearest_fill(area, colour) for area, colour in zip(pinned, values, strict=True)]
        return {
            "guide": (lab[..., :1] / 100).to(dtype),
            "features": features.to(dtype),
            "pinned": pinned[:, None],
            "values": values,
            "regions": regions.to(dtype),
            "lightness": lab[..., 0].to(dtype),
            "reference": photo.pixels.to(dtype),
            "nearest": torch.stack(fills),
            "names": tuple(hints),
        }

    def pictures(self, outputs: Mapping[str, object], x: Tensor | None) -> Mapping[str, Tensor]:
        lightness = cast(Tensor, outputs["lightness"])
        names = cast(tuple[str, ...], outputs["names"])
        if x is not None:
            results = coloured(lightness, x.detach().cpu().to(lightness))
            return {name: to_bytes(picture) for name, picture in zip(names, results, strict=True)}
        pinned = cast(Tensor, outputs["pinned"])[:, 0] > 0
        values = cast(Tensor, outputs["values"])
        nearest = cast(Tensor, outputs["nearest"])
        regions = cast(Tensor, outputs["regions"])
        pictures: dict[str, Tensor] = {}
        for k, name in enumerate(names):
            # Flattening the light under a hint makes grey hints visible, too.
            light = torch.where(pinned[k], 0.4 * lightness + 40, lightness)
            pictures[f"grey with {name}"] = to_bytes(coloured(light, values[k]))
        for k, name in enumerate(names):
            pictures[f"nearest-seed fill, {name}"] = to_bytes(coloured(lightness, nearest[k]))
        if len(regions):
            image = (lightness / 100)[..., None].expand(*lightness.shape, 3)
            group = torch.where(regions.any(0), regions.argmax(0), -1)
            pictures["grey with strokes that share a colour"] = with_strokes(image, group)
        return pictures | {"original": to_bytes(cast(Tensor, outputs["reference"]))}

    def _stroke_hints(
        self, photo: LoadedPhoto
    ) -> tuple[
        dict[str, tuple[Bool[Tensor, "height width"], Float[Tensor, "2 height width"]]],
        Bool[Tensor, "groups height width"],
    ]:
        """The hints drawn by hand, none or one set named "strokes", and what shares a colour."""
        shape = (photo.pixels.shape[0], photo.pixels.shape[1])
        path = self._stroke_path(photo)
        if path is None:
            return {}, torch.zeros(0, *shape, dtype=torch.bool)
        area, colours, groups = colour_strokes(path, photo.original, shape)
        if not bool(area.any()):
            return {}, groups
        chroma = rgb_to_lab(colours.double())[..., 1:].permute(2, 0, 1)
        return {"strokes": (area, chroma * area)}, groups

    def _stroke_path(self, photo: LoadedPhoto) -> Path | None:
        if self.strokes is None:
            return shipped_file(photo.name, "colours.json")
        if self.strokes == "shared":
            shipped = shipped_file(photo.name, "shared.json")
            if shipped is None:
                raise ValueError(
                    '`strokes` may be "shared" for coffee only, whose strokes are shipped; got '
                    f"image={self.image!r}. Give the path of your own (the README of the vision "
                    "plugin shows how)."
                )
            return shipped
        return None if self.strokes == "none" else Path(self.strokes)

    def _revealed(self, shape: tuple[int, ...]) -> dict[int, Bool[Tensor, "height width"]]:
        """The pixels under the first n random patches, for each n wanted."""
        height, width = shape
        if self.patch_size > min(shape):
            raise ValueError(
                f"`patch_size` must be at most the photo's shorter side, {min(shape)}; "
                f"got {self.patch_size}. Lower it, or raise `size`."
            )
        corners = self._corners(height, width)
        areas = {count: torch.zeros(height, width, dtype=torch.bool) for count in self.patches}
        for count, area in areas.items():
            for row, column in ((int(corner[0]), int(corner[1])) for corner in corners[:count]):
                area[row : row + self.patch_size, column : column + self.patch_size] = True
        return areas

    def _corners(self, height: int, width: int) -> Int[Tensor, "patches 2"]:
        """Top left corners of random patches; a longer list begins with the shorter one."""
        rng = torch.Generator().manual_seed(self.seed)
        places = torch.rand(max(self.patches, default=0), 2, generator=rng, dtype=torch.float64)
        room = torch.tensor([height - self.patch_size + 1, width - self.patch_size + 1])
        return (places * room).long()
