import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groundstate_vision.label_png import read_labels, write_labels
from groundstate_vision.palette import PALETTE
from groundstate_vision.strokes import (
    Stroke,
    StrokeFile,
    colour_strokes,
    draw_strokes,
    fit_strokes,
    label_strokes,
)


def write_json(path: Path, **changes: object) -> Path:
    fields: dict[str, object] = {
        "size": [40, 20],
        "labels": ["sky", "sea"],
        "strokes": [
            {"label": "sky", "width": 4, "points": [[5, 4], [35, 4]]},
            {"label": "sea", "width": 4, "points": [[5, 16], [35, 16]]},
        ],
    }
    path.write_text(json.dumps(fields | changes))
    return path


def test_png_round_trip(tmp_path: Path):
    labels = torch.arange(-1, len(PALETTE)).repeat(3, 1)
    write_labels(labels, tmp_path / "labels.png")
    assert torch.equal(read_labels(tmp_path / "labels.png"), labels)


def test_labels_without_a_colour_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"-1\.\.15"):
        write_labels(torch.tensor([[16]]), tmp_path / "labels.png")


def test_transparent_and_black_are_no_label_and_near_colours_count(tmp_path: Path):
    pixels = np.array(
        [[[0, 114, 178, 255], [10, 104, 178, 255], [230, 159, 0, 60], [0, 0, 0, 255]]], np.uint8
    )
    Image.fromarray(pixels).save(tmp_path / "strokes.png")
    assert read_labels(tmp_path / "strokes.png").tolist() == [[0, 0, -1, -1]]


def test_a_colour_outside_the_palette_is_named_with_its_place(tmp_path: Path):
    picture = Image.new("RGB", (8, 8))
    picture.putpixel((5, 2), (255, 0, 255))
    picture.save(tmp_path / "strokes.png")
    with pytest.raises(ValueError, match="#ff00ff at row 2, column 5"):
        read_labels(tmp_path / "strokes.png")


def test_a_horizontal_line_is_drawn_as_wide_as_it_says(tmp_path: Path):
    strokes, names = label_strokes(write_json(tmp_path / "s.json"), (20, 40), (20, 40))
    assert names == ("sky", "sea")
    assert strokes[:, 20].tolist() == [-1] * 2 + [0] * 4 + [-1] * 8 + [1] * 4 + [-1] * 2
    assert strokes[4, :3].tolist() == [-1] * 3


@pytest.mark.parametrize("shape", [(20, 40), (10, 20), (5, 10), (60, 120)])
def test_coordinates_scale_with_the_photo(tmp_path: Path, shape: tuple[int, int]):
    strokes, _ = label_strokes(write_json(tmp_path / "s.json"), (20, 40), shape)
    assert strokes.shape == shape
    share = (strokes >= 0).double().mean()
    assert 0.2 < share < (0.7 if shape == (5, 10) else 0.45)  # no line thinner than a pixel
    upper = strokes[: shape[0] // 2]
    assert bool(((upper == -1) | (upper == 0)).all()) and bool((upper == 0).any())


@pytest.mark.parametrize("angle", range(0, 180, 17))
def test_a_thin_line_is_never_lost(angle: int):
    turn = torch.deg2rad(torch.tensor(float(angle)))
    x, y = float(turn.cos()) * 90, float(turn.sin()) * 90
    line = Stroke(points=((100 - x, 100 - y), (100 + x, 100 + y)), width=0.1)
    drawn = draw_strokes(StrokeFile(size=(200, 200), strokes=(line,)), (20, 20)) == 0
    assert drawn.sum() >= 12  # 18 pixels long, at most a diagonal's worth fewer


def test_a_point_and_a_repeated_point_make_a_dot():
    for points in (((10.0, 10.0),), ((10.0, 10.0), (10.0, 10.0))):
        file = StrokeFile(size=(20, 20), strokes=(Stroke(points=points, width=4),))
        assert int((draw_strokes(file, (20, 20)) == 0).sum()) == 12


def test_later_strokes_cover_earlier_ones():
    line = Stroke(points=((0.0, 5.0), (10.0, 5.0)), width=2)
    assert draw_strokes(StrokeFile(size=(10, 10), strokes=(line, line)), (10, 10)).max() == 1


def test_toml_and_json_say_the_same(tmp_path: Path):
    (tmp_path / "s.toml").write_text(
        'size = [40, 20]\nlabels = ["sky", "sea"]\n'
        '[[strokes]]\nlabel = "sky"\nwidth = 4\npoints = [[5, 4], [35, 4]]\n'
        '[[strokes]]\nlabel = "sea"\nwidth = 4\npoints = [[5, 16], [35, 16.0]]\n'
    )
    from_toml, _ = label_strokes(tmp_path / "s.toml", (20, 40), (20, 40))
    from_json, _ = label_strokes(write_json(tmp_path / "s.json"), (20, 40), (20, 40))
    assert torch.equal(from_toml, from_json)


def test_png_strokes_shrink_without_loss():
    strokes = torch.full((40, 80), -1)
    strokes[7, 3:60] = 2  # one pixel wide
    small = fit_strokes(strokes, (40, 80), (10, 20), "s.png")
    assert small.shape == (10, 20)
    assert small[1, :15].tolist() == [2] * 15
    assert int((small >= 0).sum()) == 15


def test_png_strokes_of_the_loaded_size_are_taken_as_they_are(tmp_path: Path):
    drawn = torch.tensor([[0, 1], [-1, -1]])
    write_labels(drawn, tmp_path / "s.png")
    strokes, names = label_strokes(tmp_path / "s.png", (200, 200), (2, 2), ("a", "b"))
    assert torch.equal(strokes, drawn)
    assert names == ("a", "b")


def test_png_strokes_of_another_size_are_refused(tmp_path: Path):
    write_labels(torch.zeros(30, 30, dtype=torch.int64), tmp_path / "s.png")
    with pytest.raises(ValueError, match=r"size, 40 x 20 or 20 x 10 \(as loaded\); got 30 x 30"):
        label_strokes(tmp_path / "s.png", (20, 40), (10, 20))


def test_coordinates_for_another_size_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"40 x 20.*is for 41 x 20"):
        label_strokes(write_json(tmp_path / "s.json", size=[41, 20]), (20, 40), (20, 40))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strokes": []}, "strokes: "),
        ({"strokes": [{"label": "sky", "points": [[1, 2, 3]]}]}, r"strokes\.0\.points\.0"),
        ({"strokes": [{"label": "sky", "points": [[1, 2]], "wide": 3}]}, r"strokes\.0\.wide"),
        ({"strokes": [{"label": "sky", "points": [[1, 2]], "width": 0}]}, r"strokes\.0\.width"),
        ({"strokes": [{"label": "sun", "points": [[1, 2]]}]}, r"one of.*sky, sea.*'sun'"),
        ({"labels": ["sky", "sea", "sun"]}, "nothing visible is drawn for sun"),
        ({"size": "big"}, "size"),
    ],
)
def test_faults_in_coordinates_are_named(tmp_path: Path, changes: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        label_strokes(write_json(tmp_path / "s.json", **changes), (20, 40), (20, 40))


def test_a_fault_is_told_once(tmp_path: Path):
    """Not with each list around it, said to be empty."""
    path = write_json(tmp_path / "s.json", strokes=[{"label": "sky", "points": [[1, 2, 3]]}])
    with pytest.raises(ValueError, match=r"strokes\.0\.points\.0: [^;]*$"):
        label_strokes(path, (20, 40), (20, 40))


@pytest.mark.parametrize("points", [[[50, 10]], [[10, -9], [30, -5]], [[-6, 5], [-20, 5]]])
def test_a_stroke_outside_the_photo_is_refused(tmp_path: Path, points: list[list[float]]):
    path = write_json(tmp_path / "s.json", labels=[], strokes=[{"colour": "red", "points": points}])
    with pytest.raises(ValueError, match=r"`strokes\[0\]\.points` .* must lie in the photo, x in"):
        colour_strokes(path, (20, 40), (20, 40))


def test_a_stroke_may_begin_and_end_outside(tmp_path: Path):
    strokes = [{"colour": "red", "points": [[-10, -10], [50, 30]]}]
    path = write_json(tmp_path / "s.json", labels=[], strokes=strokes)
    given, _, _ = colour_strokes(path, (20, 40), (20, 40))
    assert bool(given[10, 20])


def test_a_colour_stroke_has_no_label_and_is_no_png(tmp_path: Path):
    strokes = [{"colour": "red", "label": "sky", "points": [[5, 5]]}]
    path = write_json(tmp_path / "s.json", strokes=strokes)
    with pytest.raises(ValueError, match="must have no `label`; got 'sky' with 'red'"):
        colour_strokes(path, (20, 40), (20, 40))
    Image.new("RGB", (40, 20)).save(tmp_path / "s.png")
    with pytest.raises(ValueError, match="a PNG can only have strokes of labels"):
        colour_strokes(tmp_path / "s.png", (20, 40), (20, 40))


@pytest.mark.parametrize("suffix", ["json", "toml", "png"])
def test_files_that_cannot_be_read_are_one_clear_error(tmp_path: Path, suffix: str):
    path = tmp_path / f"s.{suffix}"
    with pytest.raises(ValueError, match=path.name):
        label_strokes(path, (20, 40), (20, 40))
    path.write_bytes(b"{[\xff")
    with pytest.raises(ValueError, match=path.name):
        label_strokes(path, (20, 40), (20, 40))


def test_colours_are_given_where_they_are_drawn(tmp_path: Path):
    path = write_json(
        tmp_path / "s.json",
        labels=[],
        strokes=[{"colour": "#ff8000", "width": 4, "points": [[5, 4], [35, 4]]}],
    )
    given, colours, groups = colour_strokes(path, (20, 40), (20, 40))
    torch.testing.assert_close(colours[4, 20], torch.tensor([1, 128 / 255, 0]))
    assert bool((colours[~given] == 0).all()) and len(groups) == 0


def test_a_colour_that_cannot_be_read_is_named(tmp_path: Path):
    path = write_json(tmp_path / "s.json", strokes=[{"colour": "reddish", "points": [[5, 4]]}])
    with pytest.raises(ValueError, match="'reddish'"):
        colour_strokes(path, (20, 40), (20, 40))


def grouped(path: Path, *strokes: dict[str, object]) -> Path:
    path.write_text(json.dumps({"size": [40, 20], "strokes": strokes}))
    return path


def test_strokes_of_a_group_share_a_mask_and_give_no_colour(tmp_path: Path):
    path = grouped(
        tmp_path / "shared.json",
        {"colour": "#ff0000", "width": 2, "points": [[20, 10]]},
        {"group": "sea", "width": 4, "points": [[5, 4]]},
        {"group": "sky", "width": 4, "points": [[5, 16]]},
        {"group": "sea", "width": 4, "points": [[35, 4]]},
        {"group": "sky", "width": 4, "points": [[35, 16]]},
    )
    given, colours, groups = colour_strokes(path, (20, 40), (20, 40))
    assert bool(given[10, 20]) and int(given.sum()) == 4
    assert colours[given].unique(dim=0).tolist() == [[1, 0, 0]]
    assert groups.shape == (2, 20, 40)
    assert bool(groups[0, 4, 5] & groups[0, 4, 35] & groups[1, 16, 5] & groups[1, 16, 35])
    assert not bool((groups.sum(0) + given > 1).any())


@pytest.mark.parametrize(
    ("strokes", "message"),
    [
        ([{"group": "sea", "points": [[5, 4]]}], r"at least two strokes.*got only `strokes\[0\]`"),
        (
            [{"group": "sea", "colour": "red", "points": [[5, 4]]}] * 2,
            "must have neither `colour` nor `label`.*got 'sea' with 'red'",
        ),
        (
            [{"group": "sea", "points": [[5, 4]]}] * 2,
            r"`strokes\[0\]` of the group 'sea'.*later strokes cover it",
        ),
        ([{"points": [[5, 4]]}], "or a `group` that shares one; got None"),
        ([{"group": 3, "points": [[5, 4]]}], "strokes.0.group"),
    ],
)
def test_bad_groups_are_refused(tmp_path: Path, strokes: list[dict[str, object]], message: str):
    path = grouped(tmp_path / "shared.json", *strokes)
    with pytest.raises(ValueError, match=message):
        colour_strokes(path, (20, 40), (20, 40))


def test_labelled_strokes_have_no_group(tmp_path: Path):
    strokes = [{"label": "sky", "group": "a", "points": [[5, 4]]}]
    with pytest.raises(ValueError, match="without `colour` or `group`"):
        label_strokes(write_json(tmp_path / "strokes.json", strokes=strokes), (20, 40), (20, 40))
