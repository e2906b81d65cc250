"""The one loop that runs every learner: validation, early stop, checkpoints and exact resume."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from groundstate.errors import GroundstateError
from groundstate.files import atomic, json_text, write_text
from groundstate.interrupts import deferred
from groundstate.learning import Batch, Learner, Source
from groundstate.solver import Deadline
from groundstate.status import Status

L = TypeVar("L")
L_co = TypeVar("L_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class FitRecord:
    """One point of a fit's history.

    Attributes:
        step: steps done.
        seconds: spent so far, over all sittings.
        training: the learner's metrics of its last step.
        validation: mean metrics on the held-out batches; empty without them.
    """

    step: int
    seconds: float
    training: Mapping[str, float]
    validation: Mapping[str, float]

    @property
    def loss(self) -> float:
        """What early stopping watches: the validation loss, or without it the training loss."""
        return (self.validation or self.training)["loss"]


@dataclass(frozen=True, kw_only=True)
class Fit(Generic[L_co]):
    """The outcome of a fit.

    Attributes:
        state: the learner's state at the best validation loss, or the last one without validation.
        status: CONVERGED when stopped early, else the budget that ran out.
        steps: steps done, over all sittings.
        seconds: spent, over all sittings.
        history: a record at every evaluation.
        best: the record with the lowest loss.
    """

    state: L_co
    status: Status
    steps: int
    seconds: float
    history: tuple[FitRecord, ...]
    best: FitRecord


class LearningError(GroundstateError):
    """The loss is no longer finite; the last good checkpoint, if any, is kept."""


def fit(
    learner: Learner[L],
    model: Any,
    source: Source,
    *,
    steps: int,
    seconds: float | None = None,
    seed: int = 0,
    validation: Sequence[Batch] = (),
    evaluate_every: int = 100,
    patience: int | None = None,
    folder: Path | None = None,
    on_record: Callable[[FitRecord], None] | None = None,
) -> Fit[L]:
    """Improve a model on batches until the budget is spent or validation stops improving.

    Args:
        learner: how.
        model: what to begin with; the model that has learned is in the learner's state.
        source: the batches, by step.
        steps: how many steps to do in all, those of earlier sittings included.
        seconds: the most time for this sitting, one step at least; None is no limit.
        seed: of the learner's randomness.
        validation: held-out batches.
        evaluate_every: steps between evaluations; each one also writes a checkpoint.
        patience: evaluations without a new best loss before stopping early; None never does.
        folder: where `last.pt`, `best.pt` and `history.json` go; an earlier fit found there is
            continued exactly where it stopped. None keeps nothing.
        on_record: called after each evaluation.

    Ctrl-C ends the fit after the step in progress, as running out of time does.

    Raises:
        LearningError: if the loss is no longer finite.
        ValueError: for a budget that is not positive.
    """
    if steps < 1 or evaluate_every < 1:
        raise ValueError(
            f"steps and evaluate_every must be at least 1, got {steps} and {evaluate_every}"
        )
    run = _Fit(
        learner=learner,
        folder=folder,
        validation=validation,
        evaluate_every=evaluate_every,
        on_record=on_record,
    )
    state = run.resume(learner.init(model, source, torch.Generator().manual_seed(seed)))
    deadline = Deadline.after(seconds)
    status = Status.OUT_OF_STEPS
    try:
        while run.steps < steps:
            if run.out_of_patience(patience):
                status = Status.CONVERGED
                break
            if deadline.passed and run.steps:
                status = Status.OUT_OF_TIME
                break
            # modules change in place: half a step must neither be kept nor continued
            with deferred():
                state = learner.step(state, source(run.steps))
                run.steps += 1
                if run.steps % evaluate_every == 0 or run.steps == steps:
                    run.evaluate(state)
    except KeyboardInterrupt:
        if not run.steps:
            raise
        status = Status.INTERRUPTED
    with deferred(forget=True):
        return run.finish(state, status)


@dataclass(kw_only=True)
class _Fit(Generic[L]):
    """What the loop gathers."""

    learner: Learner[L]
    folder: Path | None
    validation: Sequence[Batch]
    evaluate_every: int
    on_record: Callable[[FitRecord], None] | None
    steps: int = 0
    spent: float = 0.0
    began: float = field(default_factory=time.perf_counter)
    history: list[FitRecord] = field(default_factory=list[FitRecord])
    best_saved: dict[str, Any] | None = None

    @property
    def seconds(self) -> float:
        return self.spent + time.perf_counter() - self.began

    @property
    def best(self) -> FitRecord:
        return min(self.history, key=lambda record: record.loss)

    def out_of_patience(self, patience: int | None) -> bool:
        if patience is None or not self.history:
            return False
        since = [record.step for record in self.history].index(self.best.step)
        return len(self.history) - 1 - since >= patience

    def evaluate(self, state: L) -> None:
        """Measure, remember the best, write a checkpoint, tell."""
        record = FitRecord(
            step=self.steps,
            seconds=self.seconds,
            training=dict(self.learner.measure(state, None)),
            validation=self.mean_metrics(state),
        )
        self.check_finite(record.loss)
        self.history.append(record)
        if self.best is record:
            self.best_saved = self.learner.save(state)
        self.write(state)
        if self.on_record is not None:
            self.on_record(record)

    def check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            kept = f"The last good checkpoint is in {self.folder}"
            raise LearningError(
                f"the loss must stay finite, got {loss} at step {self.steps}; lower the learning "
                f"rate or clip gradients. {kept if self.folder else 'Pass `folder` to keep some'}"
            )

    def mean_metrics(self, state: L) -> dict[str, float]:
        measured = [self.learner.measure(state, batch) for batch in self.validation]
        if not measured:
            return {}
        return {name: sum(m[name] for m in measured) / len(measured) for name in measured[0]}

    def write(self, state: L) -> None:
        if self.folder is None:
            return
        saved = {
            "learner": self.learner.save(state),
            "steps": self.steps,
            "seconds": self.seconds,
            "history": [asdict(record) for record in self.history],
        }
        # `last.pt` comes last: what it tells of must be there when a kill comes between
        if self.best.step == self.steps:
            with atomic(self.folder / "best.pt") as draft:
                torch.save(self.best_saved, draft)
        write_text(self.folder / "history.json", json_text(saved["history"]))
        with atomic(self.folder / "last.pt") as draft:
            torch.save(saved, draft)

    def resume(self, state: L) -> L:
        """The state of an earlier sitting, if the folder holds one."""
        if self.folder is None or not (self.folder / "last.pt").exists():
            return state
        # our own file; it may hold whatever a learner saves
        saved = torch.load(self.folder / "last.pt", weights_only=False)
        self.steps, self.spent = saved["steps"], saved["seconds"]
        self.history = [FitRecord(**record) for record in saved["history"]]
        self.best_saved = torch.load(self.folder / "best.pt", weights_only=False)
        if self.history[-1].step % self.evaluate_every and len(self.history) == 1:
            # a sitting that ended before its first evaluation had to make one of its own
            self.history, self.best_saved = [], None
        return self.learner.load(state, saved["learner"])

    def finish(self, state: L, status: Status) -> Fit[L]:
        if not self.history:
            self.evaluate(state)
        elif self.history[-1].step != self.steps:
            # no evaluation: it would not be there in a fit that was not stopped here
            self.check_finite(dict(self.learner.measure(state, None))["loss"])
            self.write(state)
        if self.validation and self.best_saved is not None:
            state = self.learner.load(state, self.best_saved)
        return Fit(
            state=state,
            status=status,
            steps=self.steps,
            seconds=self.seconds,
            history=tuple(self.history),
            best=self.best,
        )
