"""Running a pipeline: dataset, energy, solvers and metrics put together by name.

Everything that can be checked is checked before anything is computed (`groundstate.validation`),
and a solver that fails costs its own result only.
"""

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from torch import Tensor

from groundstate.adapter import Adapter
from groundstate.configuration import Pipeline, Use
from groundstate.data import Dataset, Metric
from groundstate.energy import Energy
from groundstate.errors import ConfigurationError, GroundstateError, InputError
from groundstate.references import literal, reference
from groundstate.registry import Registry, load
from groundstate.solution import Record, Solution
from groundstate.solver import Solver, State
from groundstate.solving import solve
from groundstate.status import Status
from groundstate.validation import check_pipeline

STEPS = 1000
"""The most steps of a solver where a pipeline does not say."""

TRACEBACK = "GROUNDSTATE_TRACEBACK"
"""Environment variable that lets errors through as they are, for whoever writes a plugin."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened in a run, for people who wait.

    Attributes:
        what: a part is being made, a solver begins, goes on, or ends.
        part: the component's key.
        record: the newest point of a solver's trace.
    """

    what: Literal["making", "solving", "record", "solved", "failed"]
    part: str
    record: Record | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one solver of a pipeline came to.

    Attributes:
        solver: its key, with its energy where that is not the pipeline's, and with its place where
            a pipeline has the same one twice.
        problem: 0 for the pipeline's energy, else which of the further ones of `compare`.
        solution: None where it raised.
        error: why it raised, or a metric did.
        metrics: one number per configuration, by metric; without those that raised.
    """

    solver: str
    solution: Solution[State] | None
    error: str | None
    metrics: Mapping[str, Tensor]
    problem: int = 0

    @property
    def failed(self) -> bool:
        """Whether it raised, or there is no answer to some of the problems."""
        answered = self.solution is not None and bool(self.solution.ok.all())
        return self.error is not None or not answered

    @property
    def interrupted(self) -> bool:
        solution = self.solution
        return solution is not None and bool((solution.status == Status.INTERRUPTED).any())


@dataclass(frozen=True, kw_only=True)
class Run:
    """The outcome of a pipeline.

    Attributes:
        pipeline: as it was run, overrides included.
        registry: where the names came from.
        dataset: the input, with its way to draw pictures; None without one.
        outputs: what the dataset gave, by name.
        energy: what was minimised, except by solvers of `compare` with an energy of their own.
        results: one per solver, in the pipeline's order; those after Ctrl-C are missing.
        interrupted: whether it was stopped by hand.
        seconds: wall-clock time of everything.
    """

    pipeline: Pipeline
    registry: Registry
    dataset: Dataset | None
    outputs: Mapping[str, object]
    energy: Energy
    results: tuple[Result, ...]
    interrupted: bool
    seconds: float

    @property
    def failed(self) -> bool:
        return any(result.failed for result in self.results)


def run(
    pipeline: str | Pipeline,
    registry: Registry | None = None,
    *,
    seconds: float | None = None,
    steps: Mapping[str, int] | None = None,
    cuts: Mapping[str, int] | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> Run:
    """Run a pipeline of the registry.

    Args:
        pipeline: its name, or the pipeline itself.
        registry: where names are looked up; by default everything that is installed.
        seconds: the most time for each solver; goes before what the pipeline says.
        steps: exact budget in steps by solver, which repeats an earlier run whatever the clock.
        cuts: where the last of those steps ran out of time, by solver; see `Solution.cut`.
        on_event: told what happens.

    Raises:
        ConfigurationError: the pipeline does not fit together; all faults at once.
        PluginError: a component it needs is broken.
    """
    registry = load() if registry is None else registry
    if isinstance(pipeline, str):
        pipeline = registry.configuration.find(pipeline)
    faults = check_pipeline(registry, pipeline, deep=True)
    if faults:
        raise ConfigurationError(faults)
    if "energy" not in pipeline.parts or "solver" not in pipeline.parts:
        raise ConfigurationError(
            [
                pipeline.where.fault(
                    "a pipeline to run needs an energy and a solver; one that learns is run with "
                    "`groundstate fit`"
                )
            ]
        )
    budget = seconds if seconds is not None else pipeline.seconds
    maker = Maker(pipeline=pipeline, registry=registry, on_event=on_event)
    return _Runner(maker=maker, seconds=budget, steps=steps, cuts=cuts or {}).run()


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes the parts of a pipeline, following references to earlier ones."""

    pipeline: Pipeline
    registry: Registry
    on_event: Callable[[Event], None] | None

    def tell(self, event: Event) -> None:
        if self.on_event is not None:
            self.on_event(event)

    def make(self, use: Use, parts: Mapping[str, object], *, by_name: bool = False) -> Any:
        """Build one component.

        Args:
            use: what the pipeline says; `@part` and `@part.output` stand for parts made before.
            parts: those.
            by_name: whether inputs not assigned are the dataset's outputs of the same name.
        """
        self.tell(Event(what="making", part=use.key))
        values = {name: _followed(value, parts) for name, value in use.settings.items()}
        if by_name:
            outputs = cast(Mapping[str, object], parts.get("dataset", {}))
            for parameter in self.registry.signature(use.key).inputs:
                if parameter.name in outputs:
                    values.setdefault(parameter.name, outputs[parameter.name])
        with blaming(use.key):
            return self.registry.build(use.key, **values)


@contextmanager
def blaming(key: str) -> Generator[None, None, None]:
    """Turn what a component raises over its input into one error that names the component."""
    try:
        yield
    except GroundstateError:
        raise
    except (ValueError, TypeError, OSError) as error:
        if os.environ.get(TRACEBACK):
            raise
        raise InputError(f"{key}: {error}") from error


def _followed(value: object, parts: Mapping[str, object]) -> object:
    """A setting with its references replaced by what they stand for."""
    found = reference(value)
    if found is not None:
        part = parts[found.part]
        return cast(Mapping[str, object], part)[found.output] if found.output else part
    if isinstance(value, dict):
        items = cast(dict[str, object], value).items()
        return {key: _followed(item, parts) for key, item in items}
    if isinstance(value, list):
        return [_followed(item, parts) for item in cast(list[object], value)]
    return literal(value)


@dataclass(frozen=True, kw_only=True)
class _Runner:
    maker: Maker
    seconds: float | None
    steps: Mapping[str, int] | None
    cuts: Mapping[str, int]

    def run(self) -> Run:
        began = time.perf_counter()
        pipeline = self.maker.pipeline
        dataset: Dataset | None = None
        parts: dict[str, object] = {}
        if "dataset" in pipeline.parts:
            dataset = cast(Dataset, self.maker.make(pipeline.parts["dataset"], {}))
            with blaming(pipeline.parts["dataset"].key):
                parts["dataset"] = dataset.load()
        energy = cast(Energy, self.maker.make(pipeline.parts["energy"], parts))
        parts["energy"] = energy
        metrics = {
            use.key.partition("/")[2]: cast(Metric, self.maker.make(use, parts, by_name=True))
            for use in pipeline.metrics
        }
        results, interrupted = self.solve_all(energy, metrics, parts)
        return Run(
            pipeline=pipeline,
            registry=self.maker.registry,
            dataset=dataset,
            outputs=cast(Mapping[str, object], parts.get("dataset", {})),
            energy=energy,
            results=tuple(results),
            interrupted=interrupted,
            seconds=time.perf_counter() - began,
        )

    def solve_all(
        self, energy: Energy, metrics: Mapping[str, Metric], parts: Mapping[str, object]
    ) -> tuple[Sequence[Result], bool]:
        """Results until the end or Ctrl-C, and whether that came."""
        results: list[Result] = []
        problems: list[tuple[Use | None, Energy]] = [(None, energy)]
        try:
            for name, use in named_solvers(self.maker.pipeline):
                problem = self.problem(use.energy, problems, parts)
                result = self.solve(name, use, problems[problem][1], parts)
                results.append(replace(result, problem=problem))
                results[-1] = measured(results[-1], metrics)
                if results[-1].interrupted:
                    return results, True
        except KeyboardInterrupt:
            # between two solves, such as while one is being made: keep those that are done
            if not results:
                raise
            return results, True
        return results, False

    def problem(
        self,
        use: Use | None,
        problems: list[tuple[Use | None, Energy]],
        parts: Mapping[str, object],
    ) -> int:
        """Where the energy of a solver is among those made, which it is added to if it is new."""
        for place, (made, _) in enumerate(problems):
            if (made and (made.key, made.settings)) == (use and (use.key, use.settings)):
                return place
        assert use is not None  # the pipeline's own is the first of them
        problems.append((use, cast(Energy, self.maker.make(use, parts))))
        return len(problems) - 1

    def solve(self, name: str, use: Use, energy: Energy, parts: Mapping[str, object]) -> Result:
        maker = self.maker

        def build() -> tuple[Solver[Any], Adapter | None]:
            through = None if use.through is None else maker.make(use.through, parts)
            return maker.make(use, parts), through

        return attempt(
            name,
            energy,
            build,
            steps=(self.steps or {}).get(name, maker.pipeline.steps or STEPS),
            seconds=None if self.steps else self.seconds,
            cut=self.cuts.get(name),
            seed=maker.pipeline.seed,
            on_event=maker.on_event,
        )


def measured(result: Result, metrics: Mapping[str, Metric]) -> Result:
    """The result with its metrics; one that raises costs only itself."""
    if result.solution is None:
        return result
    found: dict[str, Tensor] = {}
    errors: list[str] = []
    for name, metric in metrics.items():
        try:
            found[name] = metric(result.solution.x)
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            errors.append(f"metric/{name}: {_told(error)}")
    return replace(result, metrics=found, error="; ".join(errors) or None)


def attempt(
    name: str,
    energy: Energy,
    build: Callable[[], tuple[Solver[Any], Adapter | None]],
    *,
    steps: int,
    seconds: float | None,
    seed: int,
    on_event: Callable[[Event], None] | None,
    cut: int | None = None,
) -> Result:
    """One solver's result; an error of its own is kept in it, not raised."""

    def tell(event: Event) -> None:
        if on_event is not None:
            on_event(event)

    try:
        solver, through = build()
        tell(Event(what="solving", part=name))
        solution: Solution[State] = solve(
            energy,
            solver,
            steps=steps,
            seconds=seconds,
            seed=seed,
            cut=cut,
            through=through,
            throw=False,
            keep_interrupted=True,
            on_record=lambda record: tell(Event(what="record", part=name, record=record)),
        )
    except Exception as error:
        # one solver's fault, whatever it is, must not cost the others their results
        if os.environ.get(TRACEBACK):
            raise
        tell(Event(what="failed", part=name))
        # the row is headed by the name already
        why = _told(error).removeprefix(f"{name.partition('#')[0].partition(' on ')[0]}: ")
        return Result(solver=name, solution=None, error=why, metrics={})
    tell(Event(what="solved", part=name, record=solution.trace[-1]))
    return Result(solver=name, solution=solution, error=None, metrics={})


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, GroundstateError) else f"{type(error).__name__}: {error}"


def named_solvers(pipeline: Pipeline) -> tuple[tuple[str, Use], ...]:
    """The solvers of a pipeline with names that tell them apart."""
    uses = (pipeline.parts["solver"], *pipeline.compare)
    keys = [use.key if use.energy is None else f"{use.key} on {use.energy.key}" for use in uses]
    names: list[tuple[str, Use]] = []
    for place, (key, use) in enumerate(zip(keys, uses, strict=True)):
        again = keys[:place].count(key)
        names.append((key if not again else f"{key}#{again + 1}", use))
    return tuple(names)
