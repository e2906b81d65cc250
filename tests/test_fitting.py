"""The loop that runs every learner: exact resume, early stop, checkpoints."""

import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.toys import F64
from torch import Tensor

import groundstate as gs
from groundstate.fitting import Fit, FitRecord, LearningError, fit
from groundstate.learning import Batch, Source
from groundstate.solver import generator_from
from groundstate.status import Status


@dataclass
class Line:
    """A model with one weight, changed in place as modules are."""

    weight: Tensor = field(default_factory=lambda: torch.zeros((), dtype=F64))


@dataclass(frozen=True, kw_only=True)
class LineState:
    model: Line
    momentum: Tensor
    rng: Tensor
    loss: float


@dataclass(frozen=True, kw_only=True)
class Momentum:
    """Fits y = weight * x with momentum and noise, so that there is a state to lose."""

    rate: float = 0.05
    noise: float = 0.01
    poison: int = -1

    def init(self, model: Line, source: Source, rng: torch.Generator) -> LineState:
        zero = torch.zeros((), dtype=F64)
        return LineState(model=model, momentum=zero, rng=rng.get_state(), loss=math.inf)

    def step(self, state: LineState, batch: Batch) -> LineState:
        rng = generator_from(state.rng, torch.device("cpu"))
        error = state.model.weight * batch["x"] - batch["y"]
        gradient = (error * batch["x"]).mean()
        gradient = gradient + self.noise * torch.randn((), generator=rng, dtype=F64)
        momentum = 0.9 * state.momentum + gradient
        state.model.weight -= self.rate * momentum
        if int(batch["step"][0]) == self.poison:
            state.model.weight *= math.nan
        loss = float((error**2).mean())
        return LineState(model=state.model, momentum=momentum, rng=rng.get_state(), loss=loss)

    def measure(self, state: LineState, batch: Batch | None) -> Mapping[str, float]:
        if batch is None:
            return {"loss": state.loss + 0.0 * float(state.model.weight)}
        error = state.model.weight * batch["x"] - batch["y"]
        return {"loss": float((error**2).mean()), "error": float(error.abs().mean())}

    def save(self, state: LineState) -> dict[str, Any]:
        return {
            "weight": state.model.weight.clone(),
            "momentum": state.momentum,
            "rng": state.rng,
            "loss": state.loss,
        }

    def load(self, state: LineState, saved: Mapping[str, Any]) -> LineState:
        state.model.weight.copy_(saved["weight"])
        return replace(
            state, momentum=saved["momentum"], rng=saved["rng"], loss=float(saved["loss"])
        )


def source(step: int) -> Batch:
    rng = torch.Generator().manual_seed(step)
    x = torch.randn(4, generator=rng, dtype=F64)
    return {"x": x, "y": 2.0 * x, "step": torch.tensor([step])}


HELD_OUT = (source(10_000), source(10_001))


def train(**options: Any) -> Fit[LineState]:
    settings: dict[str, Any] = {"steps": 60, "evaluate_every": 10, "validation": HELD_OUT}
    learner = options.pop("learner", Momentum())
    batches = options.pop("source", source)
    return fit(learner, Line(), batches, **{**settings, **options})


def same(left: Fit[LineState], right: Fit[LineState]) -> None:
    assert torch.equal(left.state.model.weight, right.state.model.weight)
    assert torch.equal(left.state.momentum, right.state.momentum)
    assert torch.equal(left.state.rng, right.state.rng)
    records = [
        [(r.step, dict(r.training), dict(r.validation)) for r in found.history]
        for found in (left, right)
    ]
    assert records[0] == records[1]


def test_it_learns_and_tells() -> None:
    told: list[FitRecord] = []
    done = train(on_record=told.append)
    assert [r.step for r in told] == [r.step for r in done.history] == [10, 20, 30, 40, 50, 60]
    assert done.status == Status.OUT_OF_STEPS
    assert done.steps == 60
    assert done.best.loss == min(r.validation["loss"] for r in done.history) < 0.05
    assert float(done.state.model.weight) == pytest.approx(2.0, abs=0.2)


def test_validation_is_the_mean_over_held_out_batches() -> None:
    done = train(steps=1, evaluate_every=1)
    weight = done.state.model.weight
    expected = [float(((weight - 2.0) * batch["x"]).pow(2).mean()) for batch in HELD_OUT]
    assert done.history[0].validation["loss"] == pytest.approx(sum(expected) / 2)
    assert set(done.history[0].validation) == {"loss", "error"}


def test_the_best_state_is_given_back_with_validation_and_the_last_without() -> None:
    # at this rate the weight swings around its goal, so that the last is not the best
    learner = Momentum(rate=0.3)
    done = train(learner=learner, steps=40, evaluate_every=1)
    assert done.best.step < 40
    losses = [
        float(((done.state.model.weight - 2.0) * batch["x"]).pow(2).mean()) for batch in HELD_OUT
    ]
    assert sum(losses) / 2 == pytest.approx(done.best.loss)
    last = train(learner=learner, steps=40, evaluate_every=1, validation=())
    assert not torch.equal(last.state.model.weight, done.state.model.weight)


def test_it_stops_early_when_validation_no_longer_improves() -> None:
    done = train(learner=Momentum(rate=0.3), steps=500, evaluate_every=1, patience=8)
    assert done.status == Status.CONVERGED
    assert done.steps == done.best.step + 8 < 500


@pytest.mark.parametrize("first", [20, 25, 7])
def test_resuming_equals_not_having_stopped(first: int, tmp_path: Path) -> None:
    whole = train(folder=tmp_path / "whole")

    def until(step: int) -> Batch:
        if step == first:
            raise KeyboardInterrupt
        return source(step)

    half = train(folder=tmp_path / "parts", source=until)
    assert half.status == Status.INTERRUPTED
    assert half.steps == first
    rest = train(folder=tmp_path / "parts")
    same(rest, whole)
    assert rest.seconds > half.seconds


def test_resuming_what_is_done_does_nothing(tmp_path: Path) -> None:
    done = train(folder=tmp_path)

    def never(step: int) -> Batch:
        raise AssertionError(step)

    same(train(folder=tmp_path, source=never), done)


def test_ctrl_c_in_the_middle_of_a_step_waits_for_its_end(tmp_path: Path) -> None:
    def press(step: int) -> Batch:
        if step == 13:
            signal.raise_signal(signal.SIGINT)
        return source(step)

    half = train(folder=tmp_path, source=press)
    assert half.status == Status.INTERRUPTED
    assert half.steps == 14
    same(train(folder=tmp_path), train())


def test_ctrl_c_before_the_first_step_has_nothing_to_keep(tmp_path: Path) -> None:
    def interrupt(step: int) -> Batch:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(folder=tmp_path, source=interrupt)
    assert not os.listdir(tmp_path)


def test_no_time_at_all_still_gives_a_step() -> None:
    done = train(seconds=0.0)
    assert done.status == Status.OUT_OF_TIME
    assert done.steps == 1
    assert len(done.history) == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from types import ModuleType
sys.modules["tests"] = ModuleType("tests")  # some packages install one, which would win
sys.modules["tests"].__path__ = ["tests"]
from tests.test_fitting import source, train
def killing(step):
    if step == 33:
        os.kill(os.getpid(), signal.SIGKILL)
    return source(step)
train(folder=Path(sys.argv[1]), source=killing)
"""


def test_a_killed_fit_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "fit")], cwd=root, check=False
    )
    assert done.returncode == -signal.SIGKILL
    asked: list[int] = []

    def counting(step: int) -> Batch:
        asked.append(step)
        return source(step)

    same(train(folder=tmp_path / "fit", source=counting), train())
    assert asked[0] == 30


def test_a_kill_between_two_checkpoint_files_leaves_a_fit_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = torch.save

    def dying(data: object, path: Path) -> None:
        if "last" in Path(path).name:
            raise SystemExit  # as if killed: whatever was written before stays
        saved(data, path)

    monkeypatch.setattr(torch, "save", dying)
    with pytest.raises(SystemExit):
        train(folder=tmp_path)
    monkeypatch.undo()
    same(train(folder=tmp_path), train())


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(
        LearningError, match=r"got nan at step 30; lower the learning rate"
    ) as error:
        train(folder=tmp_path, learner=Momentum(poison=24))
    assert str(tmp_path) in str(error.value)
    kept = torch.load(tmp_path / "last.pt", weights_only=False)
    assert kept["steps"] == 20
    assert math.isfinite(float(kept["learner"]["weight"]))
    same(train(folder=tmp_path), train())


def test_stopping_at_what_is_no_number_does_not_overwrite_the_good_one(tmp_path: Path) -> None:
    def until(step: int) -> Batch:
        if step == 26:
            raise KeyboardInterrupt
        return source(step)

    with pytest.raises(LearningError):
        train(folder=tmp_path, source=until, learner=Momentum(poison=24))
    assert torch.load(tmp_path / "last.pt", weights_only=False)["steps"] == 20


def test_the_history_is_json_that_every_reader_takes(tmp_path: Path) -> None:
    def refuse(word: str) -> float:
        raise AssertionError(word)

    @dataclass(frozen=True, kw_only=True)
    class Odd(Momentum):
        def measure(self, state: LineState, batch: Batch | None) -> Mapping[str, float]:
            return {"loss": 1.0, "odd": math.nan}

    train(folder=tmp_path, learner=Odd())
    history = json.loads((tmp_path / "history.json").read_text(), parse_constant=refuse)
    assert [record["step"] for record in history] == [10, 20, 30, 40, 50, 60]
    assert history[0]["training"] == {"loss": 1.0, "odd": None}


@pytest.mark.parametrize("options", [{"steps": 0}, {"evaluate_every": 0}])
def test_a_budget_that_is_none_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        train(**options)


def test_the_seed_decides() -> None:
    assert torch.equal(train(seed=1).state.model.weight, train(seed=1).state.model.weight)
    assert not torch.equal(train(seed=1).state.model.weight, train(seed=2).state.model.weight)


def test_a_learner_is_one_by_protocol() -> None:
    assert isinstance(Momentum(), gs.Learner)
