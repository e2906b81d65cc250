"""The page and the table of a run."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.cli import conftest as cli
from tests.test_record import result
from tests.toys import tensor
from torch import Tensor

import groundstate as gs
from groundstate.pipeline import Result, Run, run
from groundstate.plots import MissingExtraError, check_installed, energy_svg, picture_png
from groundstate.report import named_metrics, number, row, rows, write_report
from groundstate.solution import Record
from groundstate.status import Status

INF, NAN = float("inf"), float("nan")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("report")
    shutil.copy(cli.HERE / "workshop.py", folder)
    (folder / "registry.toml").write_text(cli.REGISTRY)
    return run("dots", gs.load(folder / "registry.toml", warn=False))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (3.0, "3"),
        (-12.0, "-12"),
        (0.12345, "0.1235"),
        (1234.5678, "1234.57"),
        (1e9, "1000000000.00"),
        (INF, "inf"),
        (NAN, "nan"),
    ],
)
def test_numbers_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_row_sums_a_batch_and_counts_its_statuses() -> None:
    found = row(result([[2.0], [1.0]]), {})
    assert (found.energy, found.bound, found.gap) == (5.0, -INF, INF)
    assert found.status == "1 converged, 1 stalled"
    assert found.note == Status.STALLED.advice


def test_an_error_is_the_note() -> None:
    failed = Result(solver="solver/s", solution=None, error="it broke", metrics={})
    found = row(failed, {})
    assert (found.status, found.note, found.energy) == ("error", "it broke", None)
    partly = replace(result([[2.0], [1.0]]), error="metric/m: no")
    assert row(partly, {}).note == f"metric/m: no {Status.STALLED.advice}"


def test_metrics_of_a_batch_carry_the_names_of_its_problems() -> None:
    one = replace(result([[2.0], [1.0]]), metrics={"psnr": tensor(1.0, 2.0), "one": tensor(3.0)})
    assert named_metrics(one, {"names": ("left", "right")}) == {
        "psnr (left)": 1.0,
        "psnr (right)": 2.0,
        "one": 3.0,
    }
    assert list(named_metrics(one, {})) == ["psnr (0)", "psnr (1)", "one"]


def write(done: Run, folder: Path) -> str:
    folder.mkdir()
    write_report(done, folder)
    return (folder / "report.html").read_text()


def test_the_best_energy_is_marked_once(done: Run, tmp_path: Path) -> None:
    page = write(done, tmp_path / "a")
    best = min(each.energy for each in rows(done) if each.energy is not None)
    assert re.findall(r"<td class=best>([^<]*)</td>", page) == [number(best)]


def test_nothing_that_a_plugin_says_is_taken_for_html(done: Run, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>'\""
    first = replace(done.results[0], solver=f"solver/{evil}", error=evil)
    failed = Result(solver="solver/b", solution=None, error=evil, metrics={})
    changed = replace(done, results=(first, failed))
    page = write(changed, tmp_path / "a")
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert all("<" not in path.name for path in (tmp_path / "a" / "pictures").iterdir())


def test_a_run_without_one_result_is_still_a_report(done: Run, tmp_path: Path) -> None:
    failed = Result(solver="solver/b", solution=None, error="why", metrics={})
    page = write(replace(done, results=(failed,)), tmp_path / "a")
    assert "why" in page
    assert "<svg" in page


def test_being_stopped_is_told(done: Run, tmp_path: Path) -> None:
    assert "Stopped by hand" not in write(done, tmp_path / "a")
    assert "Stopped by hand" in write(replace(done, interrupted=True), tmp_path / "b")


def test_a_run_without_a_dataset_has_no_pictures(done: Run, tmp_path: Path) -> None:
    page = write(replace(done, dataset=None), tmp_path / "a")
    assert "data:image/png" not in page
    assert [path.name for path in (tmp_path / "a" / "pictures").iterdir()] == ["energies.svg"]


def records(*energies: Tensor, bound: float | None = None) -> list[Record]:
    return [
        Record(
            step=i,
            seconds=0.1 * i,
            energy=energy,
            bound=None if bound is None else torch.full_like(energy, bound),
        )
        for i, energy in enumerate(energies)
    ]


@pytest.mark.parametrize(
    "traces",
    [
        {},
        {"a": records(torch.tensor(1.0))},
        {"a": records(torch.tensor(INF), torch.tensor(2.0)), "b": records(torch.tensor(NAN))},
        {"a": records(torch.tensor(NAN), torch.tensor(INF))},
        {"a": records(tensor(1.0, 2.0), tensor(0.5, 0.5), bound=-INF)},
        {"a": records(torch.tensor(3.0), torch.tensor(3.0), bound=2.0)},
        {"hidden <b>": records(torch.tensor(3.0), torch.tensor(3.0))},
    ],
)
def test_any_trace_can_be_drawn(
    traces: dict[str, list[Record]], recwarn: pytest.WarningsRecorder
) -> None:
    svg = energy_svg(traces)
    assert svg.startswith("<svg")
    assert "<b>" not in svg
    assert not [str(warning.message) for warning in recwarn]


def test_a_picture_is_a_png_of_its_size() -> None:
    import io

    from PIL import Image

    picture = torch.arange(2 * 3 * 3, dtype=torch.uint8).reshape(2, 3, 3)
    opened = Image.open(io.BytesIO(picture_png(picture)))
    assert opened.size == (3, 2)
    assert opened.getpixel((1, 0)) == (3, 4, 5)


def test_missing_libraries_are_told_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    check_installed()
    monkeypatch.setattr("groundstate.plots.find_spec", lambda name: None)  # pyright: ignore
    with pytest.raises(MissingExtraError, match=r"matplotlib and PIL: `pip install 'groundstate\["):
        check_installed()
