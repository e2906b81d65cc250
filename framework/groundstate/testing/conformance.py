"""Holding a plugin to the laws: with pytest (`parametrize_laws`), or without (`check`)."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from groundstate.component import Component, Registered
from groundstate.registry import Registry
from groundstate.testing.cases import Case, components_of, expected, laws_for
from groundstate.testing.laws.tables import CLAIMS, claimed
from groundstate.testing.reports import Outcome, Report, Result, run_case
from groundstate.testing.saying import Skip

__all__ = [
    "Case",
    "Outcome",
    "Report",
    "Result",
    "check",
    "components_of",
    "expected",
    "known_claims",
    "laws_for",
    "parametrize_laws",
    "run_case",
]


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


def known_claims() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The claims of each kind, with the laws that each switches on."""
    return CLAIMS
