"""Photos, strokes, colour models, superpixels, metrics and pictures for groundstate."""

from collections.abc import Iterable

from groundstate import Component, hookimpl


@hookimpl
def groundstate_components() -> Iterable[Component]:
    """What this plugin offers."""
    yield Component(
        kind="dataset",
        name="photo",
        target="groundstate_vision.photo:PhotoDataset",
        summary="a colour photo with strokes, colour-model costs per pixel and ground truth",
        source="Rother, Kolmogorov, Blake: GrabCut (2004)",
        gives=("image", "strokes", "labels", "unary", "truth"),
        examples="groundstate_vision.examples:photos",
    )
    yield Component(
        kind="dataset",
        name="colorization",
        target="groundstate_vision.colorization:ColorizationDataset",
        summary="a grey photo to colour from strokes or from patches of the true colour",
        source="Levin, Lischinski, Weiss: Colorization using Optimization (2004)",
        gives=(
            "guide",
            "features",
            "pinned",
            "values",
            "regions",
            "lightness",
            "reference",
            "nearest",
            "names",
        ),
        examples="groundstate_vision.examples:colorizations",
    )
    yield Component(
        kind="metric",
        name="pixel-accuracy",
        target="groundstate_vision.metrics:PixelAccuracy",
        summary="share of pixels with the right label, among those whose label is known",
        examples="groundstate_vision.examples:pixel_accuracies",
    )
    yield Component(
        kind="dataset",
        name="stereo",
        target="groundstate_vision.stereo:StereoDataset",
        summary="two photos side by side, costs of every disparity, and the true ones",
        source="Scharstein, Szeliski: A Taxonomy of Dense Two-Frame Stereo (2002)",
        gives=("image", "right", "unary", "truth"),
        examples="groundstate_vision.examples:stereos",
    )
    yield Component(
        kind="metric",
        name="disparity-accuracy",
        target="groundstate_vision.metrics:DisparityAccuracy",
        summary="share of pixels at most 1 label off, among those whose label is known",
        examples="groundstate_vision.examples:disparity_accuracies",
    )
    yield Component(
        kind="metric",
        name="psnr",
        target="groundstate_vision.metrics:PSNR",
        summary="peak signal-to-noise ratio in dB of a coloured photo against the original",
        examples="groundstate_vision.examples:psnrs",
    )
    yield Component(
        kind="metric",
        name="psnr-gain",
        target="groundstate_vision.metrics:PSNRGain",
        summary="dB of a coloured photo above nearest-seed fill, in peak signal-to-noise ratio",
        examples="groundstate_vision.examples:psnr_gains",
    )
