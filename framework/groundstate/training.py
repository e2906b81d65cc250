"""Running a learning pipeline, and taking up its model again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from groundstate.configuration import Pipeline
from groundstate.data import Dataset
from groundstate.errors import ConfigurationError, InputError
from groundstate.fitting import Fit, FitRecord, fit
from groundstate.learning import Batch, Learner, Source
from groundstate.pipeline import Event, Maker, blaming
from groundstate.registry import Registry
from groundstate.validation import check_pipeline

STEPS = 1000
"""Steps of learning where a pipeline does not say."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """The parts of a learning pipeline, made and ready.

    Attributes:
        pipeline: as it was written, overrides included.
        model: what is learned.
        learner: how.
        source: the batches.
        validation: held-out batches.
    """

    pipeline: Pipeline
    model: Any
    learner: Learner[Any]
    source: Source
    validation: tuple[Batch, ...]

    def fit(
        self,
        *,
        seconds: float | None,
        folder: Path | None,
        on_record: Callable[[FitRecord], None] | None,
    ) -> Fit[Any]:
        """Learn, or go on learning where the folder has a checkpoint."""
        return fit(
            self.learner,
            self.model,
            self.source,
            steps=self.pipeline.steps or STEPS,
            seconds=seconds if seconds is not None else self.pipeline.seconds,
            seed=self.pipeline.seed,
            validation=self.validation,
            evaluate_every=max(1, (self.pipeline.steps or STEPS) // 20),
            folder=folder,
            on_record=on_record,
        )

    def restore(self, folder: Path) -> None:
        """Fill the model with the best checkpoint of a fit.

        Raises:
            InputError: if the folder holds none.
        """
        path = folder / "best.pt"
        if not path.is_file():
            raise InputError(f"{folder} holds no best.pt; run `groundstate fit` first")
        rng = torch.Generator().manual_seed(self.pipeline.seed)
        state = self.learner.init(self.model, self.source, rng)
        # our own file; it may hold whatever a learner saves
        self.learner.load(state, torch.load(path, weights_only=False))


def prepare(
    pipeline: Pipeline, registry: Registry, on_event: Callable[[Event], None] | None = None
) -> Training:
    """Make the parts of a learning pipeline.

    The dataset gives `source`, a function of the step; the dataset under `validation`, or an output
    `validation` of the first, gives batches held out.

    Raises:
        ConfigurationError: the pipeline does not fit together, or does not learn.
    """
    faults = list(check_pipeline(registry, pipeline, deep=True))
    missing = [
        role for role in ("dataset", "model", "loss", "learner") if role not in pipeline.parts
    ]
    if missing and not faults:
        text = (
            f"a pipeline to fit needs {', '.join(missing)} too; one that only solves is run with "
        )
        faults.append(pipeline.where.fault(f"{text}`groundstate run`"))
    if faults:
        raise ConfigurationError(faults)
    maker = Maker(pipeline=pipeline, registry=registry, on_event=on_event)
    parts: dict[str, Any] = {"dataset": _outputs(maker, "dataset")}
    held_out: Any = parts["dataset"].get("validation", ())
    if "validation" in pipeline.parts:
        parts["validation"] = _outputs(maker, "validation")
        held_out = (_source(parts["validation"], pipeline, "validation")(0),)
    # parameters start the same way whatever ran before in this process
    with torch.random.fork_rng():
        torch.manual_seed(pipeline.seed)
        for role in ("model", "loss", "learner"):
            parts[role] = maker.make(pipeline.parts[role], parts)
    return Training(
        pipeline=pipeline,
        model=parts["model"],
        learner=parts["learner"],
        source=_source(parts["dataset"], pipeline, "dataset"),
        validation=tuple(held_out),
    )


def _outputs(maker: Maker, role: str) -> Mapping[str, object]:
    use = maker.pipeline.parts[role]
    dataset = cast(Dataset, maker.make(use, {}))
    with blaming(use.key):
        return dataset.load()


def _source(outputs: Mapping[str, object], pipeline: Pipeline, role: str) -> Source:
    source = outputs.get("source")
    if not isinstance(source, Source):
        use = pipeline.parts[role]
        message = f"{use.key!r} must give `source` to learn from; it gives {', '.join(outputs)}."
        raise ConfigurationError([use.fault(message, "use")])
    return source
