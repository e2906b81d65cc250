"""`groundstate fit` and `groundstate sample`."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.cli.conftest import Command, files


def test_fit_learns_and_leaves_what_can_be_taken_up(groundstate: Command, here: Path) -> None:
    done = groundstate("fit", "learn", "--json")
    assert done.code == 0, done.err
    assert {"status", "steps", "seconds", "metrics", "report"} <= set(done.data)
    assert done.data["status"] == "out of steps"
    assert done.data["metrics"]["validation"]["loss"] < done.data["metrics"]["training"]["loss"] + 1
    assert files(here / "runs/learn") == {
        "record.json",
        "last.pt",
        "best.pt",
        "history.json",
        "loss.svg",
    }
    assert len(json.loads((here / "runs/learn/history.json").read_text())) == 20
    assert Path(done.data["report"]).is_file()


def test_fit_tells_as_it_goes(groundstate: Command) -> None:
    done = groundstate("fit", "learn")
    assert "step 2  loss" in done.err
    assert "out of steps after 40 steps; best loss" in done.out


def test_fit_goes_on_with_more_steps_exactly(groundstate: Command) -> None:
    first = groundstate("fit", "learn", "--json", "--set", "steps=20")
    assert first.data["steps"] == 20
    rest = groundstate("fit", "learn", "--json")
    whole = groundstate("fit", "learn", "--json", "--out", "runs/whole")
    assert rest.data["steps"] == 40
    assert rest.data["metrics"] == whole.data["metrics"]


@pytest.mark.parametrize(
    ("assignment", "part"),
    [("learner.rate=0.3", "learner"), ("model.size=5", "model"), ("seed=3", "seed")],
)
def test_fit_does_not_go_on_with_other_settings(
    assignment: str, part: str, groundstate: Command, here: Path
) -> None:
    groundstate("fit", "learn", "--set", "steps=2")
    before = (here / "runs/learn/last.pt").read_bytes()
    done = groundstate("fit", "learn", "--set", assignment)
    assert done.code == 2
    assert f"runs/learn holds a fit with other settings (of {part})" in done.err
    assert (here / "runs/learn/last.pt").read_bytes() == before


def test_a_loss_that_is_no_number_ends_with_one_message(groundstate: Command, here: Path) -> None:
    done = groundstate("fit", "learn", "--set", "dataset.poison=9")
    assert done.code != 0
    assert "Traceback" not in done.err
    assert "the loss must stay finite, got nan at step 10" in done.err
    assert "The last good checkpoint is in runs/learn" in done.err
    assert {"last.pt", "best.pt"} <= files(here / "runs/learn")


def test_sampling_from_a_fit_uses_the_best_weights(groundstate: Command, here: Path) -> None:
    groundstate("fit", "learn", "--set", "steps=200")
    done = groundstate("sample", "runs/learn", "-n", "2000", "--json")
    assert done.code == 0, done.err
    assert done.data["generator"] == "generator/exact"
    assert done.data["shape"] == [2000, 4]
    with np.load(here / "runs/learn-samples/samples.npz") as saved:
        np.testing.assert_allclose(saved["x"].mean(0), [0, 1, 2, 3], atol=0.15)


def test_sampling_from_a_run_draws_pictures(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    done = groundstate("sample", "runs/dots", "-n", "3", "--out", "drawn")
    assert done.code == 0, done.err
    assert "3 samples of shape (4,) by generator/exact: drawn" in done.err
    assert files(here / "drawn") == {"samples.npz", "0-row.png", "1-row.png", "2-row.png"}


def test_the_seed_decides(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    drawn: list[bytes] = []
    for seed in ("1", "1", "2"):
        assert groundstate("sample", "runs/dots", "--seed", seed, "--out", "drawn").code == 0
        with np.load(here / "drawn/samples.npz") as saved:
            drawn.append(saved["x"].tobytes())
    assert drawn[0] == drawn[1] != drawn[2]


def test_sampling_says_what_it_cannot(groundstate: Command, here: Path) -> None:
    groundstate("run", "dots")
    before = files(here)
    for arguments, words in (
        (["nowhere"], "nowhere/record.json: must be the `record.json` of a run: No such file"),
        (["runs/dots", "--generator", "generator/exakt"], "Did you mean 'generator/exact'?"),
        (["runs/dots", "--generator", "solver/wander"], "'solver/wander' is no generator"),
        (["runs/dots", "--generator", "generator/perturb-and-map"], "Factored"),
    ):
        done = groundstate("sample", *arguments)
        assert done.code == 2
        assert words in done.err
        assert "Traceback" not in done.err
        assert files(here) == before


def test_a_gaussian_of_a_real_photo_is_sampled(groundstate: Command, here: Path) -> None:
    from PIL import Image

    Image.effect_noise((24, 16), 80).convert("RGB").save(here / "photo.png")
    made = groundstate("run", "colorize", "--set", "dataset.image=photo.png", "--out", "coloured")
    assert made.code == 0, made.err
    done = groundstate(
        "sample", "coloured", "-n", "2", "--generator", "generator/perturb-and-map", "--json"
    )
    assert done.code == 0, done.err
    assert done.data["shape"][0] == 2
