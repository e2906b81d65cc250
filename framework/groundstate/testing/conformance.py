"""Holding a plugin to the laws: with pytest (`parametrize_laws`), or without (`check`)."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from groundstate.component import Component, Registered, normalized
from groundstate.energy import Energy
from groundstate.errors import PluginError, RegistryError, ViewError, nearest
from groundstate.examples import GeneratorExample, ModelExample
from groundstate.generator import Generator
from groundstate.registry import Registry, load
from groundstate.targets import examples_of
from groundstate.testing.laws.component import EXPECTED
from groundstate.testing.laws.law import Law
from groundstate.testing.laws.tables import (
    CLAIMS,
    LAWS,
    LAWS_OF_ENERGIES,
    LAWS_OF_RECORDS,
    PER_PROBLEM,
    claimed,
    laws_for_kind,
)
from groundstate.testing.problems import Problem, fitting, of_example
from groundstate.testing.saying import Broken, Skip
from groundstate.testing.trees import kept_randomness

_OWN = 2
"""How many examples of an energy become problems of its own plugin's solvers."""

Outcome = Literal["passed", "skipped", "expected failure", "failed"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One law for one example of one component; calling it raises where the law does not hold.

    Attributes:
        component: key of the component.
        example: number of its example; None for laws about the record.
        law: the law.
        instance: what the law is tried on.
        problems: the kit's problems it is tried with, for solvers and adapters.
        claimed: whether a claim switched it on, so that skipping would be a failure.
    """

    component: str
    example: int | None
    law: Law
    instance: object = field(repr=False)
    problems: tuple[Problem, ...] | None = field(default=None, repr=False)
    claimed: bool = False

    @property
    def id(self) -> str:
        middle = "" if self.example is None else f"-{self.example}"
        return f"{self.component}{middle}-{self.law.name}"

    def __call__(self) -> int:
        """Try the law, in a world of its own as far as global random numbers go.

        Returns:
            How many checks were made: one, or one per problem.

        Raises:
            Broken: the law does not hold, or a claim switched it on and nothing could be tried.
            Skip: there is nothing here to try it on.
        """
        try:
            with kept_randomness():
                return self._try()
        except Skip as skip:
            if self.claimed:
                raise Broken(
                    f"a claim switches this law on, but it was not tried: {skip}"
                ) from skip
            raise

    def _try(self) -> int:
        if self.problems is None:
            self.law.check(self.instance)
            return 1
        made = 0
        reasons: list[str] = []
        for problem in self.problems:
            try:
                self.law.check(self.instance, problem)
                made += 1
            except (ViewError, Skip) as refusal:
                reasons.append(f"{problem.name}: {refusal}")
            except Broken as error:
                raise Broken(f"on {problem.name!r}: {error}") from error
        if not made:
            raise Skip("; ".join(reasons) or "no problem of the kit is of the sort it is about")
        return made


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one case.

    Attributes:
        id: of the case.
        component: key of the component.
        law: name of the law.
        outcome: passed, skipped, expected failure or failed.
        checks: how many checks were made: one, or one per problem.
        reason: why it was skipped, failed, or is expected to fail; empty where it passed.
        claimed: whether a claim switched it on.
        seconds: how long it took.
    """

    id: str
    component: str
    law: str
    outcome: Outcome
    checks: int
    reason: str
    claimed: bool
    seconds: float

    def to_dict(self) -> dict[str, object]:
        return {
            "id": self.id,
            "component": self.component,
            "law": self.law,
            "outcome": self.outcome,
            "checks": self.checks,
            "reason": self.reason,
            "claimed": self.claimed,
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole check.

    Attributes:
        plugin: what was checked.
        components: keys of its components.
        results: one per law and example.
        implied: how many checks the claims imply.
        seconds: how long it took.
    """

    plugin: str
    components: tuple[str, ...]
    results: tuple[Result, ...]
    implied: int
    seconds: float

    def count(self, outcome: Outcome) -> int:
        """How many laws ended that way."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def run(self) -> int:
        """How many laws were tried; skipped ones were not."""
        return len(self.results) - self.count("skipped")

    @property
    def implied_run(self) -> int:
        """How many of the laws that claims switch on were tried."""
        return sum(r.claimed and r.outcome != "skipped" for r in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome == "failed")

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and everything that the claims imply was tried."""
        return bool(self.results) and not self.failures and self.implied_run >= self.implied

    def to_dict(self) -> dict[str, object]:
        return {
            "plugin": self.plugin,
            "components": list(self.components),
            "ok": self.ok,
            "run": self.run,
            "passed": self.count("passed"),
            "skipped": self.count("skipped"),
            "expected_failures": self.count("expected failure"),
            "failed": self.count("failed"),
            "checks": sum(result.checks for result in self.results),
            "implied": self.implied,
            "implied_run": self.implied_run,
            "seconds": round(self.seconds, 3),
            "results": [result.to_dict() for result in self.results],
        }


def components_of(plugin: str, registry: Registry | None = None) -> tuple[Registered, ...]:
    """The components of an installed plugin or distribution, or of a local module.

    Raises:
        RegistryError: no such plugin, or it has no components.
        PluginError: it is broken.
    """
    registry = load(warn=False) if registry is None else registry
    wanted = normalized(plugin)
    found = [
        record
        for record in registry.components()
        if wanted in (normalized(record.plugin), normalized(record.distribution))
    ]
    faults = [
        fault
        for fault in registry.faults
        if wanted in (normalized(fault.entry_point), normalized(fault.distribution))
    ]
    if faults:
        raise PluginError(faults)
    if not found:
        names = sorted({r.plugin for r in registry.components()})
        raise RegistryError(
            f"No components of a plugin {plugin!r}.{nearest(plugin, names)} "
            f"Plugins with components: {', '.join(names) or 'none'}."
        )
    return tuple(registry.loaded(record.qualified) for record in found)


def laws_for(
    source: str | Component | Registered | Iterable[Component | Registered],
    registry: Registry | None = None,
) -> list[Case]:
    """Every case for a plugin by name, a component, or several."""
    if isinstance(source, str):
        records: Iterable[Component | Registered] = components_of(source, registry)
    elif isinstance(source, Component | Registered):
        records = [source]
    else:
        records = source
    registered = [_registered(record) for record in records]
    own = _own_problems(registered)
    return [case for record in registered for case in _cases(record, own)]


def _own_problems(records: Sequence[Registered]) -> tuple[Problem, ...]:
    """The examples of the energies under test: a solver may have a special way with them."""
    found: list[Problem] = []
    for record in records:
        if record.component.kind != "energy":
            continue
        try:
            examples = examples_of(record)
        except PluginError:
            continue  # the laws of that record say so
        for index, example in enumerate(examples[:_OWN]):
            if isinstance(example, Energy):
                problem = of_example(f"{record.key} example {index}", example)
                found += [problem] if problem is not None else []
    return tuple(found)


def _registered(record: Component | Registered) -> Registered:
    if isinstance(record, Registered):
        return record
    return Registered(
        component=record,
        distribution="script",
        version="",
        origin="handed to the test kit",
        plugin="script",
    )


def _cases(record: Registered, own: tuple[Problem, ...]) -> list[Case]:
    component = record.component
    cases = [
        Case(component=record.key, example=None, law=law, instance=record)
        for law in LAWS_OF_RECORDS[component.kind]
    ]
    try:
        examples = examples_of(record)
    except PluginError:
        return cases  # `examples_are_of_the_kind` is among the cases, and says so
    for index, example in enumerate(examples):
        cases += _cases_of_example(record, index, example, own)
    return cases


def _cases_of_example(
    record: Registered, index: int, example: object, own: tuple[Problem, ...]
) -> list[Case]:
    component = record.component
    kind, implied = component.kind, claimed(component.kind, component.claims)
    instance = _wrapped(kind, example)
    if not isinstance(instance, EXPECTED[kind]):
        return []  # `examples_are_of_the_kind` is among the cases, and says so
    cases: list[Case] = []
    problems: tuple[Problem, ...] | None = None
    if kind in PER_PROBLEM:
        needed = set(component.needs)
        problems = tuple(fitting(component.needs))
        problems += tuple(problem for problem in own if needed <= problem.views)
    for law in laws_for_kind(kind, component.claims):
        case = Case(
            component=record.key,
            example=index,
            law=law,
            instance=instance,
            problems=None,
            claimed=law.name in implied,
        )
        if problems is not None:
            chosen = tuple(problem for problem in problems if law.applies(problem))
            if chosen or case.claimed or not problems:
                cases.append(replace(case, problems=chosen))
        elif case.claimed or law.applies(instance):
            cases.append(case)
    if isinstance(example, ModelExample):
        cases += _cases_of_model(record, index, example)
    return cases


def _wrapped(kind: str, example: object) -> object:
    """Generators may be given bare."""
    if kind == "generator" and isinstance(example, Generator):
        return GeneratorExample(generator=example)
    return example


def _cases_of_model(record: Registered, index: int, example: ModelExample) -> list[Case]:
    """The laws of energies, for the energy that the model makes."""
    try:
        made = example.model(example.batch)
    except Exception:  # `makes_an_energy_or_a_generator` is among the cases, and shows it
        return []
    if not isinstance(made, Energy):
        return []
    return [
        Case(component=record.key, example=index, law=law, instance=made)
        for law in LAWS_OF_ENERGIES
        if law.applies(made)
    ]


def expected(
    cases: Sequence[Case], expected_failures: Mapping[str, str]
) -> list[tuple[Case, str | None]]:
    """Each case with the reason why it is expected to fail, if it is.

    Raises:
        ValueError: a name that fits no case, or an empty reason.
    """
    for name, reason in expected_failures.items():
        if not reason.strip():
            raise ValueError(f"the expected failure {name!r} needs a reason, got an empty one")
        if not any(name in _names(case) for case in cases):
            known = sorted({each for case in cases for each in _names(case)})
            raise ValueError(
                f"the expected failure {name!r} fits no case of these components."
                f"{nearest(name, known)} Write a law's name, or 'kind/name:law'."
            )
    return [
        (case, next((expected_failures[n] for n in _names(case) if n in expected_failures), None))
        for case in cases
    ]


def _names(case: Case) -> tuple[str, str, str]:
    """How an expected failure may name a case, from the most special."""
    return (case.id, f"{case.component}:{case.law.name}", case.law.name)


def parametrize_laws(
    source: str | Component | Iterable[Component | Registered],
    *,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """A decorator that runs a test once per case: a plugin's whole conformance file.

    Args:
        source: a plugin's or distribution's name, or components.
        expected_failures: law name, or `"kind/name:law"`, to the reason why it fails. Strict: a law
            that holds after all is a failure, an unknown name is an error.
    """
    import pytest

    cases = laws_for(source)
    parameters: list[Any] = []
    for case, reason in expected(cases, expected_failures or {}):
        marks = [pytest.mark.xfail(strict=True, reason=reason)] if reason is not None else []
        parameters.append(pytest.param(_PytestCase(case), id=case.id, marks=marks))
    return pytest.mark.parametrize("case", parameters)


@dataclass(frozen=True)
class _PytestCase:
    """A case that tells pytest of a skip in pytest's own way."""

    case: Case

    def __call__(self) -> None:
        import pytest

        try:
            self.case()
        except Skip as skip:
            pytest.skip(str(skip))


def check(
    plugin: str | Component | Iterable[Component | Registered],
    *,
    registry: Registry | None = None,
    expected_failures: Mapping[str, str] | None = None,
    progress: Callable[[int, int, Result], None] | None = None,
) -> Report:
    """Hold a plugin to every law of its kinds and claims.

    Args:
        plugin: name of a plugin or distribution, or components.
        registry: where to look names up; by default what `groundstate.load` finds.
        expected_failures: as in `parametrize_laws`.
        progress: called after each law with its number (from 1), their count and the result.

    Raises:
        RegistryError: no such plugin.
        PluginError: it cannot be loaded.
    """
    began = time.perf_counter()
    cases = laws_for(plugin, registry)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same result on every machine, and no contention on small tensors
    results: list[Result] = []
    try:
        for case, reason in expected(cases, expected_failures or {}):
            results.append(run_case(case, reason))
            if progress is not None:
                progress(len(results), len(cases), results[-1])
    finally:
        torch.set_num_threads(threads)
    return Report(
        plugin=plugin if isinstance(plugin, str) else "components",
        components=tuple(dict.fromkeys(case.component for case in cases)),
        results=tuple(results),
        implied=_implied(cases),
        seconds=time.perf_counter() - began,
    )


def _implied(cases: Sequence[Case]) -> int:
    """How many cases the claims of these components imply, counted from the claims themselves."""
    examples = {(case.component, case.example) for case in cases if case.example is not None}
    records = {
        case.component: case.instance
        for case in cases
        if case.example is None and isinstance(case.instance, Registered)
    }
    total = 0
    for component, _ in examples:
        record = records[component].component
        total += len(claimed(record.kind, record.claims))
    return total


def run_case(case: Case, reason: str | None = None) -> Result:
    """Try one case and say what came of it.

    Args:
        case: the case.
        reason: why it is expected to fail; None where it is not.
    """
    began = time.perf_counter()
    checks, outcome, text = 0, "failed", ""
    try:
        checks = case()
        outcome = "passed"
        if reason is not None:
            outcome, text = "failed", f"holds after all, though it is expected to fail: {reason}"
    except Skip as skip:
        outcome, text = "skipped", str(skip)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # a plugin may fail in any way
        text = str(error) if isinstance(error, Broken) else _told(error)
        if reason is not None:
            outcome, text = "expected failure", f"{reason} ({text})"
    return Result(
        id=case.id,
        component=case.component,
        law=case.law.name,
        outcome=outcome,
        checks=checks if checks else int(outcome != "skipped"),
        reason=text,
        claimed=case.claimed,
        seconds=time.perf_counter() - began,
    )


def _told(error: Exception) -> str:
    """An error that is no `Broken`, with the place where it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def known_laws() -> dict[str, list[str]]:
    """The names of the laws of each kind, for listings."""
    return {kind: [law.name for law in LAWS[kind]] for kind in LAWS}


def known_claims() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The claims of each kind, with the laws that each switches on."""
    return CLAIMS
