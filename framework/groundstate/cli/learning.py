"""`groundstate fit` and `groundstate sample`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from groundstate.cli.console import err, out, say
from groundstate.cli.listing import open_registry
from groundstate.cli.running import (
    INTERRUPTED,
    fitting,
    of_kind,
    terminate_like_interrupt,
)
from groundstate.configuration import Pipeline
from groundstate.data import Dataset
from groundstate.energy import Energy
from groundstate.errors import InputError, OutputError, RegistryError
from groundstate.files import atomic_folder, check_writable, json_text, write_text
from groundstate.fitting import Fit, FitRecord
from groundstate.generator import Generator
from groundstate.pipeline import Maker, blaming
from groundstate.plots import check_installed, curves_svg, picture_png
from groundstate.record import (
    FORMAT,
    load_record,
    machine,
    pipeline_table,
    read_record,
    recorded_registry,
    registry_files,
)
from groundstate.registry import Registry
from groundstate.report import RECORD, number
from groundstate.status import Status
from groundstate.training import Training, prepare


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """What `groundstate fit` was asked for; see `RunOptions`."""

    pipeline: str
    values: Mapping[str, Any]
    seconds: float | None
    folder: Path | None
    as_json: bool
    registry: str | None


def fit_command(options: FitOptions) -> int:
    """Learn, with a line per evaluation, and leave a folder that can be resumed and sampled."""
    registry = open_registry(options.registry)
    pipeline = registry.configuration.find(options.pipeline).with_values(options.values)
    check_installed()
    folder = options.folder or Path("runs") / pipeline.name
    check_writable(folder / RECORD)
    table = pipeline_table(pipeline, registry)
    _refuse_other(folder, table)
    training = prepare(pipeline, registry)
    record: dict[str, Any] = {
        "format": FORMAT,
        "name": pipeline.name,
        "pipeline": table,
        "registry": registry_files(registry),
        "machine": machine(),
        "solutions": [],
    }
    write_text(folder / RECORD, json_text(record))

    def tell(point: FitRecord) -> None:
        if not options.as_json:
            err.print(f"step {point.step}  loss {number(point.loss)}  {point.seconds:.1f} s")

    with terminate_like_interrupt():
        done = training.fit(seconds=options.seconds, folder=folder, on_record=tell)
    report = folder / "loss.svg"
    write_text(report, curves_svg(_curves(done)))
    if options.as_json:
        metrics = {"training": done.best.training, "validation": done.best.validation}
        data = {"status": done.status.label, "steps": done.steps, "seconds": done.seconds}
        print(json_text({**data, "metrics": metrics, "report": str(report)}))
    else:
        out.print(
            f"{done.status.label} after {done.steps} steps; best loss {number(done.best.loss)}"
        )
        say(f"checkpoints and curves: {folder}")
    return INTERRUPTED if done.status == Status.INTERRUPTED else 0


def _refuse_other(folder: Path, table: Mapping[str, Any]) -> None:
    """A fit goes on only with the settings it began with; only the budget may change.

    Raises:
        OutputError: the folder holds something else.
    """
    if not folder.exists():
        return
    if not (folder / RECORD).is_file():
        if any(folder.iterdir()):
            raise OutputError(
                f"{folder} exists and is not the folder of an earlier fit (it has no {RECORD}); "
                "choose another folder with `--out`"
            )
        return
    budget = ("steps", "seconds", "summary")
    before = load_record(folder / RECORD).get("pipeline", {})
    now = json.loads(json_text(table))
    names = {*before, *now} - {*budget}
    changed = sorted(name for name in names if before.get(name) != now.get(name))
    if changed:
        raise OutputError(
            f"{folder} holds a fit with other settings (of {', '.join(changed)}), which cannot go "
            "on with these; choose another folder with `--out`, or remove it"
        )


def _curves(done: Fit[Any]) -> dict[str, list[tuple[float, float]]]:
    training = [(float(r.step), r.training["loss"]) for r in done.history]
    held_out = [(float(r.step), r.validation["loss"]) for r in done.history if r.validation]
    return {"training": training} | ({"validation": held_out} if held_out else {})


@dataclass(frozen=True, kw_only=True)
class SampleOptions:
    """What `groundstate sample` was asked for.

    Attributes:
        folder: of a run or a fit.
        count: how many samples.
        generator: key; None takes the first that fits.
        seed: of the randomness.
        output: where samples and pictures go.
        as_json: whether to print JSON.
        registry: registry file.
    """

    folder: Path
    count: int
    generator: str | None
    seed: int
    output: Path | None
    as_json: bool
    registry: str | None


def sample_command(options: SampleOptions) -> int:
    """Draw from the energy of a run or the model of a fit; write samples and their pictures."""
    saved = options.folder / RECORD
    registry = open_registry(options.registry or recorded_registry(saved))
    pipeline = read_record(saved, registry).pipeline
    output = options.output or options.folder.with_name(f"{options.folder.name}-samples")
    with terminate_like_interrupt(), atomic_folder(output, mark="samples.npz") as draft:
        given = _energy_of(pipeline, registry, options.folder)
        generator, key = _generator_of(given, pipeline, options.generator, registry)
        rng = torch.Generator().manual_seed(options.seed)
        samples = generator.sample(options.count, None, rng)
        np.savez_compressed(draft / "samples.npz", x=samples.detach().cpu().numpy())
        for index, x in enumerate(samples):
            _draw(given, x, draft, index)
    if options.as_json:
        data = {"generator": key, "count": options.count, "shape": list(samples.shape)}
        print(json_text({**data, "report": str(output)}))
    else:
        say(f"{options.count} samples of shape {tuple(samples.shape[1:])} by {key}: {output}")
    return 0


@dataclass(frozen=True, kw_only=True)
class _Given:
    energy: Energy | Generator
    dataset: Dataset | None
    outputs: Mapping[str, object]


def _energy_of(pipeline: Pipeline, registry: Registry, folder: Path) -> _Given:
    if "learner" in pipeline.parts:
        training: Training = prepare(pipeline, registry)
        training.restore(folder)
        with torch.no_grad():
            return _Given(energy=training.model(training.source(0)), dataset=None, outputs={})
    maker = Maker(pipeline=pipeline, registry=registry, on_event=None)
    parts: dict[str, Any] = {}
    dataset: Dataset | None = None
    if "dataset" in pipeline.parts:
        dataset = cast(Dataset, maker.make(pipeline.parts["dataset"], {}))
        with blaming(pipeline.parts["dataset"].key):
            parts["dataset"] = dataset.load()
    energy = cast(Energy, maker.make(pipeline.parts["energy"], parts))
    return _Given(energy=energy, dataset=dataset, outputs=parts.get("dataset", {}))


def _generator_of(
    given: _Given, pipeline: Pipeline, key: str | None, registry: Registry
) -> tuple[Generator, str]:
    """The model itself where it generates, else a generator for its energy."""
    energy = given.energy
    if isinstance(energy, Generator):
        return energy, "the model"
    views = {kind.__name__ for kind in energy.views}
    key = key if key is not None else next(iter(fitting(registry, "generator", energy)), None)
    if key is None:
        raise RegistryError(
            f"No generator fits an energy that gives {', '.join(sorted(views)) or 'no view'}; "
            "`groundstate components generator` lists what there is."
        )
    missing = set(of_kind(registry, "generator", key).component.needs) - views
    if missing:
        raise InputError(
            f"{key!r} needs the view {', '.join(sorted(missing))}, and the energy gives "
            f"{', '.join(sorted(views)) or 'none'}. These generators fit: "
            f"{', '.join(fitting(registry, 'generator', energy)) or 'none'}."
        )
    names = {parameter.name for parameter in registry.signature(key).inputs}
    if "energy" not in names:
        takes = ", ".join(sorted(names)) or "nothing"
        raise InputError(f"{key!r} takes no energy to sample from (it takes {takes})")
    inputs: dict[str, object] = {"energy": energy}
    if "solver" in names:
        inputs["solver"] = _solver_of(pipeline, energy, registry)
    return cast(Generator, registry.build(key, **inputs)), key


def _solver_of(pipeline: Pipeline, energy: Energy, registry: Registry) -> object:
    """The run's own solver where it works on the energy itself, else the first that fits."""
    own = pipeline.parts.get("solver")
    if own is not None and own.through is None:
        maker = Maker(pipeline=pipeline, registry=registry, on_event=None)
        return maker.make(own, {"energy": energy})
    found = fitting(registry, "solver", energy)
    if not found:
        raise RegistryError("No solver fits this energy, and the generator needs one.")
    return registry.build(found[0])


def _draw(given: _Given, x: Tensor, folder: Path, index: int) -> None:
    if given.dataset is None:
        return
    for title, picture in given.dataset.pictures(given.outputs, x).items():
        name = "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
        (folder / f"{index}-{name}.png").write_bytes(picture_png(picture))
