"""A component's record refuses what could not be used, and says how to write it."""

import dataclasses
from typing import Any

import pytest

import groundstate as gs
from groundstate.component import API, KINDS, normalized

RIGHT: dict[str, Any] = {
    "kind": "solver",
    "name": "cg",
    "target": "plugin.cg:ConjugateGradients",
    "summary": "solves",
    "examples": "plugin.cg:examples",
}


def component(**changes: Any) -> gs.Component:
    return gs.Component(**{**RIGHT, **changes})


def test_the_key_is_kind_and_name() -> None:
    assert component().key == "solver/cg"


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        component().name = "other"  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_taken(kind: str) -> None:
    assert component(kind=kind).kind == kind


@pytest.mark.parametrize("name", ["cg", "grid-gcrf", "hop2", "a-1"])
def test_names_of_the_right_form(name: str) -> None:
    assert component(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", "CG", "a_b", "-a", "a-", "a--b", "a b", "2cg", "a/b", 3, None]
)
def test_names_of_the_wrong_form(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case words joined by `-`"):
        component(name=name)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"kind": "optimizer"}, ValueError, "`kind` must be one of energy, solver"),
        ({"summary": " "}, ValueError, "`summary` must say in one line"),
        ({"examples": ""}, ValueError, "without an example cannot be tested"),
        ({"examples": ()}, ValueError, "without an example cannot be tested"),
        ({"examples": "module.function"}, ValueError, "must be 'module:Attribute'"),
        ({"target": "plugin.cg"}, ValueError, "must be 'module:Attribute'"),
        ({"target": 3}, TypeError, "or a class or function; got 3"),
        ({"gives": "Quadratic"}, TypeError, r"write \('Quadratic',\)"),
        ({"needs": 3}, TypeError, "`needs` must be a tuple of words; got 3"),
        ({"claims": (1,)}, TypeError, "`claims` must be a tuple of words"),
        ({"api": 0}, ValueError, "`api` must be a whole number from 1; got 0|got 0"),
        ({"api": True}, ValueError, "`api` must be a whole number"),
        ({"replaces": "solver/cg"}, ValueError, "`replaces` must be 'distribution:solver/cg'"),
        ({"replaces": "other:solver/x"}, ValueError, "of the same kind and name"),
    ],
)
def test_what_is_wrong_is_refused_with_the_right_form(
    changes: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        component(**changes)


def test_lists_become_tuples() -> None:
    assert component(gives=["Quadratic"]).gives == ("Quadratic",)


def test_objects_serve_as_target_and_examples() -> None:
    made = component(target=dict, examples=lambda: [1])
    assert made.target is dict


def test_a_record_from_the_future_is_read_without_judging_it() -> None:
    assert component(kind="oracle", examples="", api=API + 1).key == "oracle/cg"


def test_distributions_are_compared_as_packaging_does() -> None:
    assert normalized("Ground_State..gcrf") == "ground-state-gcrf"


def test_lazy_names_are_listed_and_unknown_ones_refused() -> None:
    assert {"Component", "Registry", "load", "hookimpl"} <= set(dir(gs))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        gs.nothing  # noqa: B018
