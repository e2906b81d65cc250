"""The shipped pipelines that colour photos, end to end, small: what they promise holds."""

from typing import Any

import pytest
import torch
from torch import Tensor

import groundstate as gs
from groundstate.configuration import Pipeline
from groundstate.pipeline import Result, Run

pytest.importorskip("groundstate_gcrf")


def shipped(name: str, **changes: object) -> Run:
    registry = gs.load(warn=False)
    pipeline: Pipeline = registry.configuration.find(name).with_values(
        {key.replace("__", "."): value for key, value in changes.items()}
    )
    return gs.run(pipeline, registry)


def metric(result: Result, name: str) -> list[float]:
    assert result.error is None
    return [float(value) for value in result.metrics[name].flatten()]


def test_more_patches_are_better_and_all_beat_the_nearest_seed_and_the_local_energy() -> None:
    done = shipped(
        "colorize",
        dataset__image="coffee",
        dataset__size=96,
        dataset__patch_size=3,
        dataset__strokes="none",
    )
    assert not done.failed
    ours, local = done.results
    assert local.solver == "solver/cg on energy/grid-gcrf"
    quality = metric(ours, "psnr")
    assert quality == sorted(quality) and quality[-1] > quality[0] + 3
    assert min(metric(ours, "psnr-gain")) > 1
    assert all(a > b for a, b in zip(quality, metric(local, "psnr"), strict=True))


def test_strokes_that_share_a_colour_do() -> None:
    done = shipped("colorize-shared", dataset__size=120, energy__tie=5000.0)
    assert not done.failed
    regions = done.outputs["regions"]
    assert isinstance(regions, Tensor) and len(regions) == 2
    tied, free = (apart(result, regions) for result in done.results)
    assert tied < 0.5 < 2 < free  # Lab units, between the strokes of a group
    assert metric(done.results[0], "psnr")[0] > metric(done.results[1], "psnr")[0] + 0.5


def apart(result: Result, regions: Tensor) -> float:
    """How far the colours within a group are from their mean, at most on average."""
    assert result.solution is not None
    x = result.solution.x[0]
    spreads: list[float] = []
    for group in regions > 0:
        inside = x[:, group]
        away = inside - inside.mean(1, keepdim=True)
        spreads.append(float(away.square().sum(0).sqrt().mean()))
    return max(spreads)


def test_a_group_without_colours_takes_them_from_patches(tmp_path: Any) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(
        'size = [600, 400]\n[[strokes]]\ngroup = "table"\npoints = [[40, 125], [95, 86]]\n'
        '[[strokes]]\ngroup = "table"\npoints = [[540, 60], [560, 180]]\n'
    )
    done = shipped(
        "colorize", dataset__image="coffee", dataset__size=96, dataset__strokes=str(path)
    )
    assert not done.failed
    assert done.outputs["names"] == ("10 patches", "50 patches", "100 patches")
    regions = done.outputs["regions"]
    assert isinstance(regions, Tensor) and regions.shape == torch.Size([1, 64, 96])
