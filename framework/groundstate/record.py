"""The record of a run: everything it takes to repeat it step for step."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from groundstate.configuration import Pipeline, Use
from groundstate.errors import ConfigurationError, ConfigurationFault
from groundstate.pipeline import Result, Run
from groundstate.reading import read_pipeline
from groundstate.registry import Registry
from groundstate.status import Status

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """What to do again.

    Attributes:
        pipeline: with every setting resolved.
        registry: without presets, which the pipeline's settings hold already.
        steps: of each solver, so that the clock plays no part.
        cuts: where the last step of a solver ran out of time.
        threads: of torch.
        digests: what each solver's configuration must come to.
    """

    pipeline: Pipeline
    registry: Registry
    steps: Mapping[str, int]
    cuts: Mapping[str, int]
    threads: int
    digests: Mapping[str, str]


def digest(x: Tensor) -> str:
    """A short fingerprint of the exact bits of a configuration."""
    array = x.detach().cpu().contiguous().numpy()
    return hashlib.sha256(array.tobytes()).hexdigest()[:16]


def numbers(tensor: Tensor) -> Any:
    """A tensor as a number or nested lists of numbers."""
    return cast(Any, tensor.detach().cpu().tolist())


def status_words(status: Tensor) -> Any:
    """A status, or nested lists of them, in words."""
    if status.dim():
        words: list[Any] = [status_words(each) for each in status]
        return words
    return Status(int(status)).label


def solution_row(result: Result) -> dict[str, Any]:
    """One solver's line of the `--json` output and of the record."""
    solution = result.solution
    if solution is None:
        return {"solver": result.solver, "status": "error", "error": result.error} | dict.fromkeys(
            ("energy", "bound", "steps", "seconds")
        )
    error = {} if result.error is None else {"error": result.error}
    return {
        "solver": result.solver,
        "energy": numbers(solution.energy),
        "bound": None if solution.bound is None else numbers(solution.bound),
        "status": status_words(solution.status),
        "steps": solution.steps,
        "seconds": round(solution.seconds, 6),
        "stats": dict(solution.stats),
        "digest": digest(solution.x),
        **({} if solution.cut is None else {"cut": solution.cut}),
        **error,
    }


def record(run: Run) -> dict[str, Any]:
    """Everything of a run that is not a picture."""
    return {
        "format": FORMAT,
        "name": run.pipeline.name,
        "interrupted": run.interrupted,
        "pipeline": pipeline_table(run.pipeline, run.registry),
        "registry": registry_files(run.registry),
        "plugins": _versions(run),
        "machine": machine(),
        "seconds": round(run.seconds, 3),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "solutions": [solution_row(result) for result in run.results],
    }


def machine() -> dict[str, Any]:
    """The hardware and software that figures depend on."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _versions(run: Run) -> dict[str, str]:
    """The distributions that took part."""
    uses = [use.key for _, use in run.pipeline.uses()]
    records = [run.registry.loaded(key) for key in uses]
    return {record.distribution: record.version for record in records}


def pipeline_table(pipeline: Pipeline, registry: Registry) -> dict[str, Any]:
    """A pipeline as a registry file would say it, with the presets written out."""

    def table(use: Use) -> dict[str, Any]:
        preset = {name: value for name, (value, _) in registry.preset(use.key).items()}
        found: dict[str, Any] = {"use": use.key, **preset, **use.settings}
        if use.through is not None:
            found["through"] = table(use.through)
        if use.energy is not None:
            found["energy"] = table(use.energy)
        return found

    found: dict[str, Any] = {"seed": pipeline.seed, "summary": pipeline.summary}
    found |= {role: table(use) for role, use in pipeline.parts.items()}
    for name, value in (("steps", pipeline.steps), ("seconds", pipeline.seconds)):
        found |= {} if value is None else {name: value}
    found["metrics"] = [table(use) for use in pipeline.metrics]
    found["compare"] = [table(use) for use in pipeline.compare]
    return found


def read_record(path: Path, registry: Registry) -> Repeat:
    """What a record says to repeat.

    Raises:
        ConfigurationError: the file is no record of a run that this version can repeat.
    """
    saved = load_record(path)
    try:
        pipeline = read_pipeline(path, saved["name"], saved["pipeline"])
        finished = [row for row in saved["solutions"] if row["steps"] is not None]
        return Repeat(
            pipeline=_with_solvers(pipeline, len(saved["solutions"])),
            registry=replace(registry, configuration=replace(registry.configuration, presets={})),
            steps={row["solver"]: row["steps"] for row in finished},
            cuts={row["solver"]: row["cut"] for row in finished if "cut" in row},
            threads=saved["machine"]["threads"],
            digests={row["solver"]: row["digest"] for row in finished},
        )
    except (KeyError, TypeError, AttributeError) as error:
        told = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise _no_record(path, told) from error


def load_record(path: Path) -> dict[str, Any]:
    """What the file holds.

    Raises:
        ConfigurationError: it is no record of this format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _no_record(path, f"{error.strerror}") from error
    except ValueError as error:
        raise _no_record(path, "it is no text") from error
    try:
        saved: object = json.loads(text)
    except ValueError as error:
        raise _no_record(path, f"it is no JSON: {error}") from error
    if not isinstance(saved, dict):
        raise _no_record(path, "it is no JSON object")
    record = cast(dict[str, Any], saved)
    if record.get("format") != FORMAT:
        raise _no_record(path, f"its format is {record.get('format')!r}, and {FORMAT} is read")
    return record


def _no_record(path: Path, why: str) -> ConfigurationError:
    message = f"must be the `record.json` of a run: {why}."
    return ConfigurationError([ConfigurationFault(file=path, line=None, path="", message=message)])


def registry_files(registry: Registry) -> list[str]:
    """The user's registry files, as a record keeps them."""
    return [str(file.path) for file in registry.configuration.files if not file.shipped]


def recorded_registry(path: Path) -> str | None:
    """The user's registry file that a run had, where it is still there."""
    found = load_record(path).get("registry")
    files = cast(list[object], found) if isinstance(found, list) else []
    return next((str(file) for file in files if Path(str(file)).is_file()), None)


def _with_solvers(pipeline: Pipeline, count: int) -> Pipeline:
    """Only the solvers that had their turn: an interrupted run is repeated as far as it went."""
    return replace(pipeline, compare=pipeline.compare[: max(0, count - 1)])


def differences(repeat: Repeat, results: Iterable[Result]) -> list[str]:
    """Solvers whose configuration is not the recorded one, bit for bit."""
    return [
        result.solver
        for result in results
        if result.solution is not None
        and digest(result.solution.x) != repeat.digests.get(result.solver)
    ]
