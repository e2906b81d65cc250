"""The machinery that runs laws: counting, skipping, expecting failures."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from groundstate.component import Component
from groundstate.errors import RegistryError
from groundstate.testing.conformance import (
    Case,
    Outcome,
    Report,
    Result,
    check,
    expected,
    laws_for,
    parametrize_laws,
    run_case,
)
from groundstate.testing.laws.law import Law
from groundstate.testing.saying import Broken, Skip
from groundstate.testing.zoo import energies, groups, toys


def holds(instance: object) -> None:
    """Always."""


def is_broken(instance: object) -> None:
    """Never."""
    raise Broken("expected 1, got 2")


def does_not_apply(instance: object) -> None:
    """Nowhere."""
    raise Skip("nothing to try")


def crashes(instance: object) -> None:
    """With another error."""
    raise KeyError("lost")


def case_of(check_function: Callable[..., None], *, claimed: bool = False) -> Case:
    law = Law(check=check_function)
    return Case(component="energy/toy", example=0, law=law, instance=None, claimed=claimed)


def test_outcomes_are_counted_apart() -> None:
    outcomes = [run_case(case_of(law)).outcome for law in (holds, is_broken, does_not_apply)]
    assert outcomes == ["passed", "failed", "skipped"]


def test_skip_keeps_its_reason() -> None:
    assert run_case(case_of(does_not_apply)).reason == "nothing to try"


def test_law_that_a_claim_switches_on_may_not_be_skipped() -> None:
    result = run_case(case_of(does_not_apply, claimed=True))
    assert result.outcome == "failed"
    assert "claim" in result.reason


def test_crash_is_a_failure_with_its_place() -> None:
    result = run_case(case_of(crashes))
    assert result.outcome == "failed"
    assert "KeyError" in result.reason
    assert "test_conformance.py" in result.reason


def test_expected_failure_is_counted_apart_and_is_strict() -> None:
    assert run_case(case_of(is_broken), "known").outcome == "expected failure"
    assert run_case(case_of(holds), "known").outcome == "failed"


def test_expected_failure_must_name_a_law_and_a_reason() -> None:
    cases = [case_of(holds)]
    with pytest.raises(ValueError, match="fits no case"):
        expected(cases, {"hold": "a slip"})
    with pytest.raises(ValueError, match="needs a reason"):
        expected(cases, {"holds": " "})
    assert expected(cases, {"energy/toy:holds": "why"})[0][1] == "why"


def _result(outcome: Outcome, *, claimed: bool = False) -> Result:
    return Result(
        id="x",
        component="solver/x",
        law="y",
        outcome=outcome,
        checks=1,
        reason="",
        claimed=claimed,
        seconds=0.0,
    )


def _report(results: list[Result], implied: int) -> Report:
    return Report(
        plugin="p", components=("solver/x",), results=tuple(results), implied=implied, seconds=0.0
    )


def test_report_fails_when_claims_imply_more_than_was_tried() -> None:
    assert _report([_result("passed", claimed=True)], implied=1).ok
    assert not _report([_result("passed", claimed=True)], implied=2).ok
    assert not _report([], implied=0).ok


def test_report_can_be_written_as_json() -> None:
    report = _report([_result("passed"), _result("skipped")], implied=0)
    read = json.loads(json.dumps(report.to_dict()))
    assert (read["run"], read["skipped"], read["failed"]) == (1, 1, 0)


def test_progress_is_told_after_each_law() -> None:
    told: list[tuple[int, int, str]] = []
    report = check(
        groups.tables(), progress=lambda done, of, result: told.append((done, of, result.law))
    )
    assert [number for number, _, _ in told] == list(range(1, len(report.results) + 1))
    assert {of for _, of, _ in told} == {len(report.results)}


def test_unknown_plugin_is_named_with_what_there_is() -> None:
    with pytest.raises(RegistryError, match="no-such-plugin"):
        check("no-such-plugin")


def test_unknown_claim_is_a_failure() -> None:
    boastful = dataclasses.replace(groups.tables(), claims=("best",))
    failed = [result.law for result in check(boastful).failures]
    assert failed == ["claims_are_known"]


def test_component_without_examples_fails_and_is_not_silently_passed() -> None:
    silent = dataclasses.replace(groups.tables(), examples=list)
    assert "examples_are_of_the_kind" in [result.law for result in check(silent).failures]


def test_example_of_another_kind_is_told() -> None:
    strange = dataclasses.replace(groups.tables(), examples=lambda: [3])
    failed = {result.law: result.reason for result in check(strange).failures}
    assert "int" in failed["examples_are_of_the_kind"]


def test_solver_is_tried_on_the_problems_that_its_needs_select() -> None:
    by_view: dict[str, set[str]] = {}
    for name in ("descent", "greedy"):
        component: Component = toys.correct()[name]
        problems = [case.problems or () for case in laws_for(component)]
        by_view[name] = {problem.name for chosen in problems for problem in chosen}
    assert "tree" in by_view["greedy"]
    assert "system" in by_view["descent"]
    assert not by_view["greedy"] & by_view["descent"]


def test_ids_name_component_example_and_law() -> None:
    ids = [case.id for case in laws_for(toys.correct()["descent"])]
    assert "solver/descent-0-batch_equals_loop" in ids
    assert "solver/descent-target_resolves" in ids
    assert len(ids) == len(set(ids))


def test_parametrize_laws_makes_one_test_per_case() -> None:
    mark = parametrize_laws(groups.tables()).mark
    assert len(mark.args[1]) == len(laws_for(groups.tables()))


def test_solvers_are_tried_on_the_energies_of_their_own_plugin() -> None:
    records = [energies.dense(), toys.correct()["descent"], toys.correct()["greedy"]]
    cases = [case for case in laws_for(records) if case.law.name == "same_seed_same_result"]
    own = {c.component: {p.name for p in c.problems or () if p.own} for c in cases}
    assert own == {
        "solver/descent": {"energy/dense example 0", "energy/dense example 1"},
        "solver/greedy": set(),
    }


def test_rare_needs_are_tried_on_more_examples_of_each_energy() -> None:
    many = [dataclasses.replace(energies.dense(), name=f"dense-{index}") for index in range(7)]
    records = [*many, groups.tables(), toys.correct()["descent"], toys.correct()["greedy"]]
    cases = [case for case in laws_for(records) if case.law.name == "same_seed_same_result"]
    own = {c.component: [p.name for p in c.problems or () if p.own] for c in cases}
    assert own["solver/descent"] == [f"energy/dense-{index} example 0" for index in range(7)]
    assert own["solver/greedy"] == ["energy/tables example 0", "energy/tables example 1"]
