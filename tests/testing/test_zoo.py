"""The kit is tested itself: every wrong plugin is caught by the law that names its fault."""

import pytest

from groundstate.component import Component
from groundstate.testing.conformance import Case, check, laws_for, parametrize_laws, run_case
from groundstate.testing.laws.tables import CLAIMS, LAWS, LAWS_OF_RECORDS
from groundstate.testing.zoo.animal import Animal
from groundstate.testing.zoo.everyone import animals, siblings


@pytest.mark.parametrize("animal", [pytest.param(a, id=a.component.key) for a in animals()])
def test_wrong_plugin_is_caught_by_the_law_that_names_its_fault(animal: Animal) -> None:
    cases = [case for case in laws_for(animal.component) if case.law.name == animal.caught_by]
    assert cases, f"{animal.caught_by} is not tried on a {animal.component.kind}"
    results = [run_case(case) for case in cases]
    assert "failed" in [result.outcome for result in results], results


@parametrize_laws(siblings())
def test_correct_sibling_obeys(case: Case) -> None:
    case()


def test_zoo_has_wrong_plugins_of_every_learning_and_solving_kind() -> None:
    kinds = [animal.component.kind for animal in animals()]
    assert len(kinds) >= 60
    assert {"energy", "solver", "loss", "generator", "learner"} <= set(kinds)
    assert len({animal.component.key for animal in animals()}) == len(kinds)


def test_every_claim_switches_on_laws_that_exist() -> None:
    for kind, claims in CLAIMS.items():
        names = {law.name for law in LAWS[kind]}
        for claim, switched in claims.items():
            assert switched, claim
            assert set(switched) <= names, claim


def test_law_names_are_unique_within_a_kind() -> None:
    for kind in LAWS:
        names = [law.name for law in (*LAWS[kind], *LAWS_OF_RECORDS[kind])]
        assert len(names) == len(set(names))


def test_unlike_its_sibling_a_wrong_plugin_fails_a_check() -> None:
    animal = next(a for a in animals() if a.component.name == "wrong-sign")
    report = check(animal.component)
    assert not report.ok
    assert "quadratic_agrees_with_energy" in {result.law for result in report.failures}


def _untested() -> Component:
    return next(c for c in siblings() if c.name == "normal")


def test_claim_without_a_trial_fails() -> None:
    import dataclasses

    boast = dataclasses.replace(_untested(), claims=("exact",), examples=lambda: [_bare()])
    report = check(boast)
    assert not report.ok
    assert any("energy" in result.reason for result in report.failures)


def _bare() -> object:
    from groundstate.testing.zoo.generators import normal

    return normal()
