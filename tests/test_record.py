"""What a record holds, and what it takes to repeat it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.cli import conftest as cli
from tests.toys import F64, Scripted, each, tensor

import groundstate as gs
from groundstate.energy import FunctionEnergy
from groundstate.files import json_text
from groundstate.pipeline import Result, run
from groundstate.record import (
    differences,
    digest,
    numbers,
    pipeline_table,
    read_record,
    record,
    solution_row,
    status_words,
)
from groundstate.registry import Registry
from groundstate.space import Real
from groundstate.status import Status

PAIR = FunctionEnergy(
    function=lambda x: (x**2).sum(-1), space=Real(event_shape=(1,), batch_shape=(2,), dtype=F64)
)


@pytest.fixture
def registry(working_directory: Path) -> Registry:
    shutil.copy(cli.HERE / "workshop.py", working_directory)
    (working_directory / "registry.toml").write_text(cli.REGISTRY)
    return gs.load(warn=False)


def result(*values: list[list[float]]) -> Result:
    solver = Scripted(
        xs=tensor(*values),
        done=torch.tensor([int(Status.CONVERGED), int(Status.STALLED)]),
        bound=each(*[[-1.0, -float("inf")]] * len(values)),
    )
    solution = gs.solve(PAIR, solver, throw=False)
    return Result(solver="solver/s", solution=solution, error=None, metrics={})


def test_a_digest_is_of_the_exact_bits() -> None:
    x = tensor(0.1, 0.2)
    assert digest(x) == digest(x.clone())
    assert digest(x) != digest(torch.nextafter(x, tensor(1.0, 1.0)))
    assert digest(tensor(0.0)) != digest(tensor(-0.0))
    strided = tensor([1.0, 2.0], [3.0, 4.0])
    assert digest(strided.T) == digest(strided.T.contiguous()) != digest(strided)


def test_numbers_and_words_follow_the_shape() -> None:
    assert numbers(torch.tensor(1.5)) == 1.5
    assert numbers(tensor([1.0], [2.0])) == [[1.0], [2.0]]
    assert status_words(torch.tensor(int(Status.OUT_OF_TIME))) == "out of time"
    assert status_words(torch.tensor([[2], [7]])) == [["optimal"], ["diverged"]]


def test_a_row_has_a_number_for_each_problem_of_a_batch() -> None:
    row = solution_row(result([[2.0], [1.0]]))
    assert row["energy"] == [4.0, 1.0]
    assert row["status"] == ["converged", "stalled"]
    assert json.loads(json_text(row))["bound"] == [-1.0, None]
    failed = Result(solver="solver/s", solution=None, error="why", metrics={})
    row = solution_row(failed)
    assert {"solver", "energy", "bound", "status", "steps", "seconds"} <= set(row)
    assert (row["status"], row["error"], row["energy"]) == ("error", "why", None)


def test_what_diverged_is_null_in_json() -> None:
    row = solution_row(result([[float("nan")], [1.0]]))
    assert row["status"] == ["diverged", "stalled"]
    assert json.loads(json_text(row))["energy"] == [None, 1.0]


def test_presets_are_written_out_and_what_extends_them_too(registry: Registry) -> None:
    Path("registry.toml").write_text(
        cli.REGISTRY.replace("rate = 0.2", 'rate = 0.2\nextends = "slow"')
        + "[presets.slow]\nsleep = 0.5\nrate = 9.0\n"
    )
    registry = gs.load(warn=False)
    found = pipeline_table(registry.configuration.find("dots"), registry)
    assert found["solver"] == {"use": "solver/wander", "rate": 0.2, "sleep": 0.5}
    assert found["compare"] == [{"use": "solver/wander", "rate": 0.5, "sleep": 0.5}]
    assert found["steps"] == 40
    assert "seconds" not in found


def test_a_record_read_back_is_the_pipeline_that_ran(registry: Registry, tmp_path: Path) -> None:
    done = run("dots", registry, steps={"solver/wander": 3, "solver/wander#2": 4})
    path = tmp_path / "record.json"
    path.write_text(json_text(record(done)))
    repeat = read_record(path, registry)
    assert repeat.steps == {"solver/wander": 3, "solver/wander#2": 4}
    assert repeat.threads == torch.get_num_threads()
    assert dict(repeat.registry.configuration.presets) == {}
    again = run(repeat.pipeline, repeat.registry, steps=repeat.steps)
    assert differences(repeat, again.results) == []
    written = pipeline_table(done.pipeline, registry)
    assert pipeline_table(repeat.pipeline, repeat.registry) == written


def test_another_answer_is_found(registry: Registry, tmp_path: Path) -> None:
    done = run("dots", registry)
    path = tmp_path / "record.json"
    path.write_text(json_text(record(done)))
    repeat = read_record(path, registry)
    other = run(replace(repeat.pipeline, seed=99), repeat.registry, steps=repeat.steps)
    assert differences(repeat, other.results) == ["solver/wander", "solver/wander#2"]


def test_only_solvers_that_had_their_turn_are_repeated(registry: Registry, tmp_path: Path) -> None:
    done = run("dots", registry)
    path = tmp_path / "record.json"
    path.write_text(json_text(record(replace(done, results=done.results[:1], interrupted=True))))
    repeat = read_record(path, registry)
    assert repeat.pipeline.compare == ()
    assert list(repeat.steps) == ["solver/wander"]


def test_a_solver_that_failed_is_tried_again(registry: Registry, tmp_path: Path) -> None:
    pipeline = registry.configuration.find("dots").with_values({"solver.fault": "raises"})
    path = tmp_path / "record.json"
    path.write_text(json_text(record(run(pipeline, registry))))
    repeat = read_record(path, registry)
    assert list(repeat.steps) == ["solver/wander#2"]
    again = run(repeat.pipeline, repeat.registry, steps=repeat.steps)
    assert again.results[0].error is not None
    assert differences(repeat, again.results) == []
