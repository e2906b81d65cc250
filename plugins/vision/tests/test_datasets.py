import itertools
import json
from pathlib import Path

import pytest
import torch
from PIL import Image

import groundstate_vision
from groundstate.data import Dataset, Metric
from groundstate_vision import examples
from groundstate_vision.colorization import ColorizationDataset
from groundstate_vision.colour import rgb_to_lab
from groundstate_vision.features import hand_features
from groundstate_vision.fill import nearest_fill
from groundstate_vision.label_png import write_labels
from groundstate_vision.metrics import PSNR, PixelAccuracy
from groundstate_vision.palette import palette
from groundstate_vision.photo import PhotoDataset
from groundstate_vision.pictures import outlines, overlay


@pytest.mark.parametrize("name", ["photo", "colorization"])
def test_outputs_are_what_the_record_gives(name: str):
    records = {record.name: record for record in groundstate_vision.groundstate_components()}
    datasets = examples.photos() if name == "photo" else examples.colorizations()
    for dataset in datasets:
        assert tuple(dataset.load()) == records[name].gives


@pytest.mark.parametrize(("image", "floor"), [("coffee", 0.9), ("chelsea", 0.95)])
@pytest.mark.parametrize("size", [64, 160])
def test_colours_alone_label_most_of_the_shipped_photos(image: str, floor: float, size: int):
    outputs = PhotoDataset(image=image, size=size).load()
    unary, truth = outputs["unary"], outputs["truth"]
    assert isinstance(unary, torch.Tensor) and isinstance(truth, torch.Tensor)
    assert PixelAccuracy(truth=truth)(unary.argmin(-1)) > floor


@pytest.mark.parametrize("image", ["coffee", "chelsea"])
def test_shipped_strokes_agree_with_the_shipped_truth(image: str):
    outputs = PhotoDataset(image=image).load()
    strokes, truth = outputs["strokes"], outputs["truth"]
    assert isinstance(strokes, torch.Tensor) and isinstance(truth, torch.Tensor)
    drawn = (strokes >= 0) & (truth >= 0)
    assert (strokes == truth)[drawn].double().mean() > 0.995
    assert 0.03 < drawn.double().mean() < 0.12  # few strokes


def test_own_photo_strokes_and_truth(tmp_path: Path):
    photo = Image.new("RGB", (40, 20), (200, 30, 30))
    photo.paste((30, 30, 200), (20, 0, 40, 20))
    photo.save(tmp_path / "photo.png")
    labels = torch.zeros(20, 40, dtype=torch.int64)
    labels[:, 20:] = 1
    write_labels(labels, tmp_path / "truth.png")
    strokes = torch.full_like(labels, -1)
    strokes[5:15, 5:10], strokes[5:15, 30:35] = 0, 1
    write_labels(strokes, tmp_path / "strokes.png")
    dataset = PhotoDataset(
        image=str(tmp_path / "photo.png"),
        strokes=str(tmp_path / "strokes.png"),
        truth=str(tmp_path / "truth.png"),
        labels=("left", "right"),
        size=20,
        dtype="float64",
    )
    outputs = dataset.load()
    unary, truth = outputs["unary"], outputs["truth"]
    assert isinstance(unary, torch.Tensor) and isinstance(truth, torch.Tensor)
    assert unary.dtype == torch.float64 and unary.shape == (10, 20, 2)
    assert outputs["labels"] == ("left", "right")
    assert PixelAccuracy(truth=truth)(unary.argmin(-1)) == 1


def test_truth_of_another_size_or_label_is_refused(tmp_path: Path):
    write_labels(torch.zeros(9, 9, dtype=torch.int64), tmp_path / "small.png")
    with pytest.raises(ValueError, match=r"`truth` must have the photo's size, 600 x 400"):
        PhotoDataset(truth=str(tmp_path / "small.png"), size=60).load()
    write_labels(torch.full((400, 600), 7), tmp_path / "wrong.png")
    with pytest.raises(ValueError, match=r"labels of the strokes, 0\.\.4; got label 7"):
        PhotoDataset(truth=str(tmp_path / "wrong.png"), size=60).load()


def test_a_photo_without_strokes_says_how_to_draw_them():
    with pytest.raises(ValueError, match="`strokes` must be given"):
        PhotoDataset(image="rocket").load()


def test_own_strokes_on_a_shipped_photo_leave_the_truth_unknown(tmp_path: Path):
    strokes = torch.full((400, 600), -1)
    strokes[:9, :9], strokes[150:160, 280:290] = 0, 1
    write_labels(strokes, tmp_path / "strokes.png")
    outputs = PhotoDataset(strokes=str(tmp_path / "strokes.png"), size=60).load()
    truth = outputs["truth"]
    assert isinstance(truth, torch.Tensor) and bool((truth == -1).all())


def test_pictures_of_a_labelling():
    dataset = PhotoDataset(image="coffee", size=48)
    outputs = dataset.load()
    before = dataset.pictures(outputs, None)
    assert list(before) == ["photo", "photo with strokes", "truth"]
    truth = outputs["truth"]
    assert isinstance(truth, torch.Tensor)
    after = dataset.pictures(outputs, truth)["labelling"]
    assert torch.equal(after, before["truth"])
    assert all(
        picture.dtype == torch.uint8 and picture.shape == (32, 48, 3)
        for picture in [*before.values(), after]
    )


def test_overlays_outline_labels_in_white_and_leave_unknown_grey():
    labels = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [-1, -1, -1, -1], [-1, -1, -1, -1]])
    picture = overlay(torch.rand(4, 4, 3), labels, opacity=1.0)
    assert outlines(labels).tolist()[0] == [False, True, False, False]
    assert picture[0, 1].tolist() == [255, 255, 255]
    assert torch.equal(picture[0, 0], palette()[0])
    assert bool((picture[3, 0] == picture[3, 0, 0]).all())


def test_patches_are_nested_inside_and_true():
    outputs = ColorizationDataset(image="coffee", size=100, strokes="none", dtype="float64").load()
    pinned, values, reference = (outputs[key] for key in ("pinned", "values", "reference"))
    assert isinstance(pinned, torch.Tensor) and isinstance(values, torch.Tensor)
    assert isinstance(reference, torch.Tensor)
    assert outputs["names"] == ("10 patches", "50 patches", "100 patches")
    ten, fifty, hundred = pinned[:, 0] > 0
    assert bool((~ten | fifty).all()) and bool((~fifty | hundred).all())
    assert 49 <= int(ten.sum()) <= 490
    chroma = rgb_to_lab(reference)[..., 1:].permute(2, 0, 1)
    torch.testing.assert_close(values[1], chroma * fifty, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [40, 41, 42])
def test_one_patch_is_whole(size: int):
    dataset = ColorizationDataset(image="rocket", size=size, patches=(1,), seed=size)
    pinned = dataset.load()["pinned"]
    assert isinstance(pinned, torch.Tensor) and int(pinned.sum()) == 49


def test_colouring_by_the_true_colours_gives_the_original():
    dataset = ColorizationDataset(image="chelsea", size=60, dtype="float64")
    outputs = dataset.load()
    lightness, reference = outputs["lightness"], outputs["reference"]
    assert isinstance(lightness, torch.Tensor) and isinstance(reference, torch.Tensor)
    assert outputs["names"] == ("strokes", "10 patches", "50 patches", "100 patches")
    x = rgb_to_lab(reference)[..., 1:].permute(2, 0, 1).expand(4, 2, *lightness.shape)
    assert bool((PSNR(lightness=lightness, reference=reference)(x) > 100).all())
    pictures = dataset.pictures(outputs, x)
    original = dataset.pictures(outputs, None)["original"]
    assert list(pictures) == list(outputs["names"])  # pyright: ignore[reportArgumentType]
    assert all(torch.equal(picture, original) for picture in pictures.values())


def test_drawn_colours_are_near_the_true_ones():
    for image in ("coffee", "chelsea"):
        outputs = ColorizationDataset(image=image, patches=(), dtype="float64").load()
        pinned, values, reference = (outputs[key] for key in ("pinned", "values", "reference"))
        assert isinstance(pinned, torch.Tensor) and isinstance(values, torch.Tensor)
        assert isinstance(reference, torch.Tensor)
        chroma = rgb_to_lab(reference)[..., 1:].permute(2, 0, 1)
        error = (values[0] - chroma).square().sum(0).sqrt()[pinned[0, 0] > 0].mean()
        assert 1 < error < 15  # picked by eye: near, not sampled


def test_no_hints_and_too_large_patches_are_refused():
    with pytest.raises(ValueError, match="at least one set of hints"):
        ColorizationDataset(image="rocket", patches=()).load()
    with pytest.raises(ValueError, match="`patch_size` must be at most"):
        ColorizationDataset(image="rocket", size=8, patch_size=7).load()


def test_components_follow_the_interfaces():
    datasets: list[Dataset] = [*examples.photos(), *examples.colorizations()]
    shown = [*examples.pixel_accuracies(), *examples.psnrs()]
    metrics: list[Metric] = [example.metric for example in shown]
    assert all(isinstance(dataset, Dataset) for dataset in datasets)
    assert all(isinstance(metric, Metric) for metric in metrics)


def test_features_are_near_for_pixels_that_look_alike_whatever_the_size():
    dark = torch.zeros(32, 64, dtype=torch.float64)
    dark[:, 32:] = 0.5
    for lightness in (dark, dark.repeat_interleave(2, 0).repeat_interleave(2, 1)):
        features = hand_features(lightness, intensity=10, position=2, texture=3)
        height, width = lightness.shape
        assert features.shape == (7, height, width)
        left, right = features[:, height // 2, width // 8], features[:, height // 2, -width // 8]
        assert float(right[0] - left[0]) == pytest.approx(5)
        assert float(right[2] - left[2]) == pytest.approx(1.5)
        assert float(right[3] - left[3]) == pytest.approx(1.5, abs=1e-6)
        edge = features[:, height // 2, width // 2]
        assert float(edge[4]) > 0.1 > 0.01 > float(left[4])


def test_the_nearest_fill_is_brute_force():
    rng = torch.Generator().manual_seed(0)
    pinned = (torch.rand(7, 9, generator=rng) < 0.1).double()
    values = torch.rand(2, 7, 9, generator=rng, dtype=torch.float64)
    filled = nearest_fill(pinned, values)
    seeds = pinned.nonzero().double()
    for row, column in itertools.product(range(7), range(9)):
        away = (seeds - torch.tensor([row, column])).square().sum(1)
        ties = seeds[away <= away.min() + 1e-9].long()
        found = filled[:, row, column]
        assert any(torch.equal(found, values[:, place[0], place[1]]) for place in ties)
    with pytest.raises(ValueError, match="at least one pinned pixel"):
        nearest_fill(torch.zeros(2, 2), torch.zeros(2, 2, 2))


def test_shipped_strokes_that_share_colours():
    dataset = ColorizationDataset(image="coffee", size=120, strokes="shared", patches=())
    outputs = dataset.load()
    regions, pinned = outputs["regions"], outputs["pinned"]
    assert isinstance(regions, torch.Tensor) and isinstance(pinned, torch.Tensor)
    assert regions.shape == (2, 80, 120) and not bool((regions.sum(0) * pinned[0, 0]).any())
    assert "grey with strokes that share a colour" in dataset.pictures(outputs, None)
    with pytest.raises(ValueError, match="for coffee only"):
        ColorizationDataset(image="rocket", strokes="shared").load()


def test_groups_without_a_colour_need_patches(tmp_path: Path):
    strokes = [{"group": "a", "points": [[9, 9]]}, {"group": "a", "points": [[400, 300]]}]
    path = tmp_path / "shared.json"
    path.write_text(json.dumps({"size": [600, 400], "strokes": strokes}))
    outputs = ColorizationDataset(image="coffee", size=60, strokes=str(path), patches=(2,)).load()
    assert outputs["names"] == ("2 patches",)
    with pytest.raises(ValueError, match="coloured `strokes`"):
        ColorizationDataset(image="coffee", size=60, strokes=str(path), patches=()).load()
