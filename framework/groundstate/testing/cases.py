"""What a plugin is held to: one case for each law and each example."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    LAWS_OF_ENERGIES,
    LAWS_OF_RECORDS,
    PER_PROBLEM,
    claimed,
    laws_for_kind,
)
from groundstate.testing.problems.choosing import fitting, of_example
from groundstate.testing.problems.problem import Problem
from groundstate.testing.saying import Broken, Skip
from groundstate.testing.trees import kept_randomness

_OWN = 12
"""About how many examples of a plugin's energies become problems of each of its own solvers."""


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


def _own_problems(records: Sequence[Registered]) -> list[list[Problem]]:
    """The examples of each energy under test: a solver may have a special way with them."""
    found: list[list[Problem]] = []
    for record in records:
        if record.component.kind != "energy":
            continue
        try:
            examples = examples_of(record)
        except PluginError:
            continue  # the laws of that record say so
        made = [
            of_example(f"{record.key} example {index}", example)
            for index, example in enumerate(examples[:2])
            if isinstance(example, Energy)
        ]
        found.append([problem for problem in made if problem is not None])
    return found


def _own_fitting(own: Sequence[Sequence[Problem]], needs: Sequence[str]) -> tuple[Problem, ...]:
    """Those with the views needed, one of each energy at least.

    Two where there are few such energies: a batch, or a form of its own, is often the second.
    """
    fit = [[each for each in problems if set(needs) <= each.views] for problems in own]
    fit = [problems for problems in fit if problems]
    count = max(1, min(2, _OWN // max(1, len(fit))))
    return tuple(problem for problems in fit for problem in problems[:count])


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


def _cases(record: Registered, own: Sequence[Sequence[Problem]]) -> list[Case]:
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
    record: Registered, index: int, example: object, own: Sequence[Sequence[Problem]]
) -> list[Case]:
    component = record.component
    kind, implied = component.kind, claimed(component.kind, component.claims)
    instance = _wrapped(kind, example)
    if not isinstance(instance, EXPECTED[kind]):
        return []  # `examples_are_of_the_kind` is among the cases, and says so
    cases: list[Case] = []
    problems: tuple[Problem, ...] | None = None
    if kind in PER_PROBLEM:
        problems = (*fitting(component.needs), *_own_fitting(own, component.needs))
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
