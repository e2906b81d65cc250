from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groundstate_vision.photos import IN_WHEEL, load_photo


@pytest.mark.parametrize("name", sorted(IN_WHEEL))
def test_every_in_wheel_photo_loads(name: str):
    photo = load_photo(name, 40)
    assert max(photo.pixels.shape[:2]) == 40
    assert photo.pixels.std() > 0.05
    assert photo.name == name


def test_size_is_the_longest_side_and_never_enlarges(tmp_path: Path):
    Image.new("RGB", (30, 60), (255, 0, 0)).save(tmp_path / "tall.png")
    path = str(tmp_path / "tall.png")
    assert load_photo(path, 20).pixels.shape == (20, 10, 3)
    assert load_photo(path, 500).pixels.shape == (60, 30, 3)
    assert load_photo(path, 20).original == (60, 30)


def test_an_unscaled_photo_keeps_every_byte(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    loaded = load_photo(str(tmp_path / "photo.png")).pixels
    assert ((loaded * 255).round().to(torch.uint8).numpy() == pixels).all()


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path):
    Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16)).save(tmp_path / "grey.png")
    loaded = load_photo(str(tmp_path / "grey.png")).pixels
    assert loaded.shape == (4, 4, 3)
    torch.testing.assert_close(loaded, torch.full((4, 4, 3), 0.5), atol=0.01, rtol=0)


def test_the_camera_orientation_is_applied(tmp_path: Path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    assert load_photo(str(tmp_path / "turned.jpg")).pixels.shape == (40, 20, 3)


def test_a_missing_photo_names_the_nearest():
    with pytest.raises(ValueError, match=r"got 'cofee'.*Did you mean 'coffee'\?"):
        load_photo("cofee")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_photo_is_one_clear_error(tmp_path: Path, suffix: str):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(pixels).save(path)
    whole = path.read_bytes()
    for kept in (10, len(whole) // 2):
        path.write_bytes(whole[:kept])
        with pytest.raises(ValueError, match="must be a complete image file"):
            load_photo(str(path))


@pytest.mark.parametrize("content", [b"", b"not a picture at all"])
def test_a_file_that_is_no_image_is_one_clear_error(tmp_path: Path, content: bytes):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a complete image file"):
        load_photo(str(path))


def test_a_folder_is_no_photo(tmp_path: Path):
    with pytest.raises(ValueError, match="no such file"):
        load_photo(str(tmp_path))
