"""CamVid's layout, clips and lessons, on painted frames; the real ones where they are."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

import groundstate as gs
from groundstate.testing.typed import ints
from groundstate.training import prepare
from groundstate_labelling.camvid import CamvidDataset, ends, paint, read_frames, stretches, windows
from groundstate_labelling.clips import Clips, Lesson

NAMES = ["0001TP_000", "0001TP_030", "0001TP_060", "0001TP_200", "0006R0_f230", "0006R0_f260"]


def test_stretches_end_at_gaps_and_between_sequences() -> None:
    assert stretches(NAMES) == [range(0, 3), range(3, 4), range(4, 6)]


def test_clips_do_not_cross_gaps() -> None:
    assert windows(NAMES, 2).tolist() == [[0, 1], [1, 2], [4, 5]]
    assert windows(NAMES, 3).tolist() == [[0, 1, 2]]
    assert windows(NAMES, 4).shape == (0, 4)


def test_what_is_kept_apart_is_at_the_ends() -> None:
    assert [bool(each) for each in ends(NAMES, 0.4)] == [False, False, True, False, False, True]


def test_a_name_without_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="SEQUENCE_NUMBER"):
        stretches(["frame"])


def labelled(count: int) -> Clips:
    """Images whose red says which frame they are, and labels that say where they are red."""
    images = torch.zeros(count, 3, 20, 24, dtype=torch.uint8)
    images[:, 1, :, 12:] = 200
    labels = (images[:, 1] > 0).to(torch.uint8)
    return Clips(
        images=images,
        labels=labels,
        lessons=[Lesson(first=0, windows=torch.arange(count)[:, None])],
        size=4,
        cut=(16, 16),
        light=0.0,
    )


def test_images_and_labels_are_changed_alike() -> None:
    source = labelled(3)
    for step in range(8):
        batch = source(step)
        assert batch["image"].shape[-2:] == batch["labels"].shape[-2:]
        sure = (batch["image"][:, 1] < 0.1) | (batch["image"][:, 1] > 0.7)
        green = batch["image"][:, 1] > 0.4
        # the two are resampled each in its own way, by a pixel at most
        assert float((green == (batch["labels"] == 1))[sure].double().mean()) > 0.97


def test_a_batch_is_a_function_of_the_step() -> None:
    source = labelled(5)
    first, again, other = source(3), source(3), source(4)
    assert torch.equal(first["image"], again["image"])
    assert first["image"].shape != other["image"].shape or not torch.equal(
        first["image"], other["image"]
    )


def test_lessons_begin_at_their_steps() -> None:
    images = torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1).expand(6, 3, 20, 24) * 40
    source = Clips(
        images=images,
        labels=torch.zeros(6, 20, 24, dtype=torch.uint8),
        lessons=[
            Lesson(first=0, windows=torch.tensor([[0, 1], [1, 2]])),
            Lesson(first=2, windows=torch.tensor([[4, 5]])),
        ],
        size=4,
        light=0.0,
    )

    def frames(step: int) -> set[int]:
        image = source(step)["image"]
        assert image.dim() == 5 and image.shape[1] == 2
        return set(ints((image.amax((-3, -2, -1)) * 255 / 40).round().long().flatten()))

    assert frames(0) | frames(1) == {0, 1, 2}
    assert frames(2) == frames(7) == {4, 5}


def test_no_data_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GROUNDSTATE_DATA", raising=False)
    with pytest.raises(ValueError, match="Set the environment variable GROUNDSTATE_DATA"):
        CamvidDataset().load()
    with pytest.raises(ValueError, match="no frames in"):
        read_frames(tmp_path, "train")


def painted(folder: Path, labels: Image.Image | None) -> None:
    """One frame, with these labels or none."""
    (folder / "val").mkdir(exist_ok=True)
    Image.new("RGB", (6, 4)).save(folder / "val" / "0001TP_000.jpg")
    if labels is not None:
        labels.save(folder / "val" / "0001TP_000.label.png")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (None, "there is no .*0001TP_000.label.png"),
        (Image.new("L", (6, 4), 255), "0 to 11; got the mode L with numbers up to 255"),
        (Image.new("RGB", (6, 4)), "one channel .* got the mode RGB"),
        (Image.new("L", (5, 4)), r"must have one size; .* has 4 × 6, its labels \(4, 5\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, labels: Image.Image | None, said: str
) -> None:
    painted(tmp_path, labels)
    with pytest.raises(ValueError, match=said):
        read_frames(tmp_path, "val")


def test_paint_gives_each_class_a_colour_of_its_own() -> None:
    picture = paint(torch.arange(12).reshape(3, 4))
    assert len({tuple(ints(each.long())) for each in picture.reshape(-1, 3)}) == 12


@pytest.fixture
def real() -> Path:
    folder = Path(os.environ.get("GROUNDSTATE_DATA", "")) / "camvid"
    if not (folder / "val").is_dir():
        pytest.skip("GROUNDSTATE_DATA has no camvid")
    return folder


def test_real_frames_are_those_of_the_split(real: Path) -> None:
    held = read_frames(real, "val")
    assert held.images.shape == (101, 3, 180, 240)
    assert int(held.labels.max()) == 11
    assert stretches(held.names) == [range(0, 101)]
    train = [file.stem for file in sorted((real / "train").glob("*.jpg"))]
    assert len(train) == 367 and len(windows(train, 2)) == 367 - len(stretches(train))
    assert not set(train) & set(held.names)


@pytest.mark.slow
def test_the_pipeline_learns_where_the_data_are(real: Path, tmp_path: Path) -> None:
    registry = gs.load()
    pipeline = replace(registry.configuration.pipelines["label-streets"], steps=2)
    training = prepare(pipeline, registry)
    learned = training.fit(seconds=None, folder=tmp_path, on_record=None)
    assert learned.steps == 2 and (tmp_path / "last.pt").is_file()
