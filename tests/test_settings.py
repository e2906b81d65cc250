"""Settings and inputs are read off a signature; every fault is found at once."""

import json
import math
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, InitVar, dataclass, field
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float, install_import_hook
from torch import Tensor, nn

from groundstate.settings import describe


class Rule(Enum):
    FIRST = "first"
    BEST = "best"


@dataclass(frozen=True, kw_only=True)
class Everything:
    """One of each.

    Attributes:
        rate: Step size, in x² per nat;
            must be small.
        copy: A name that pydantic keeps for itself.
    """

    kind: ClassVar[str] = "x"
    rate: Annotated[float, Gt(0), Lt(1)]
    steps: Annotated[int, Ge(1)] = 10
    quiet: bool = False
    copy: str = "a"
    order: Literal["up", "down"] = "up"
    rule: Rule = Rule.BEST
    folder: Path = Path(".")
    window: tuple[int, int] = (3, 3)
    weights: tuple[float, ...] = ()
    names: list[str] = field(default_factory=list[str])
    limit: float | None = None
    seconds: float = math.inf
    image: Float[Tensor, "height width 3"]
    mask: Float[Tensor, "height width"] | None = None
    smoothness: float | Float[Tensor, ""] = 1.0
    hidden: int = field(default=3, init=False)


def problems(
    target: Callable[..., object], values: dict[str, object], later: Collection[str] = ()
) -> dict[str, str]:
    checked = describe("solver/x", target).check(values, later=later)
    return {".".join(map(str, p.path)): p.message for p in checked.problems}


def test_settings_and_inputs_are_told_apart() -> None:
    signature = describe("solver/x", Everything)
    assert [p.name for p in signature.inputs] == ["image", "mask"]
    assert "smoothness" in {p.name for p in signature.settings}
    assert "hidden" not in signature.parameters
    assert "kind" not in signature.parameters
    assert signature.parameters["image"].required
    assert not signature.parameters["mask"].required


def test_what_toml_has_becomes_what_the_target_wants() -> None:
    values = {
        "rate": 0.5, "rule": "first", "folder": "a/b", "window": [5, 7], "weights": [1, 2.5],
        "names": ["a"], "limit": 3, "image": torch.zeros(2, 2, 3),
    }  # fmt: skip
    checked = describe("solver/x", Everything).check(values)
    assert checked.problems == ()
    built = Everything(**checked.settings, **checked.inputs)
    assert built.rule is Rule.FIRST
    assert built.folder == Path("a/b")
    assert built.window == (5, 7)
    assert built.weights == (1.0, 2.5)
    assert (built.limit, type(built.limit)) == (3.0, float)
    assert built.names == ["a"]


def test_only_what_was_given_is_passed_on() -> None:
    assert describe("solver/x", Everything).check({"rate": 0.5, "image": 0}).settings == {
        "rate": 0.5
    }


def test_values_of_python_fit_as_well() -> None:
    values = {"rate": 0.5, "rule": Rule.FIRST, "folder": Path("a"), "window": (1, 2), "image": 0}
    assert describe("solver/x", Everything).check(values).problems == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("rate", "1e-6", "must be a valid number; got '1e-6'"),
        ("rate", True, "must be a valid number; got True"),
        ("rate", 0, "must be greater than 0; got 0"),
        ("rate", 1.5, "must be less than 1; got 1.5"),
        ("steps", True, "must be a valid integer; got True"),
        ("steps", 1.0, "must be a valid integer; got 1.0"),
        ("steps", "3", "must be a valid integer; got '3'"),
        ("quiet", 1, "must be a valid boolean; got 1"),
        ("copy", 3, "must be a valid string; got 3"),
        ("order", "left", "must be 'up' or 'down'; got 'left'"),
        ("rule", "worst", "must be 'first' or 'best'; got 'worst'"),
        ("limit", "x", "must be a valid number; got 'x'"),
        ("smoothness", "x", "must be a valid number; got 'x'"),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: object, words: str) -> None:
    assert words in problems(Everything, {"rate": 0.5, "image": 0, name: value})[name]


def test_faults_inside_a_tuple_have_their_index() -> None:
    found = problems(Everything, {"rate": 0.5, "image": 0, "window": [1, "2"]})
    assert found == {"window.1": "must be a valid integer; got '2'."}


def test_all_faults_are_reported_at_once() -> None:
    found = problems(Everything, {"rate": 2.0, "steps": 0, "order": "left", "copi": "a"})
    assert set(found) == {"rate", "steps", "order", "copi", "image"}
    assert "Did you mean 'copy'" in found["copi"]
    assert "needs this input" in found["image"]


def test_a_missing_setting_is_a_fault_of_its_own() -> None:
    assert problems(Everything, {"image": 0}) == {
        "rate": "'solver/x' needs this setting, and it is missing: pass `rate=...`."
    }


def test_a_value_that_comes_later_counts_as_given() -> None:
    assert problems(Everything, {}, later=["rate", "image"]) == {}
    assert set(problems(Everything, {}, later=["rate", "image", "imago"])) == {"imago"}


def test_a_union_with_a_tensor_takes_both() -> None:
    signature = describe("solver/x", Everything)
    tensor = torch.tensor(2.0)
    given = {"rate": 0.5, "image": 0}
    assert signature.check({**given, "smoothness": tensor}).inputs["smoothness"] is tensor
    assert signature.check({**given, "smoothness": 2}).settings["smoothness"] == 2.0


def test_schema_is_json_with_bounds_and_descriptions() -> None:
    schema = describe("solver/x", Everything).schema()
    properties = json.loads(json.dumps(schema, allow_nan=False))["properties"]
    assert properties["rate"]["exclusiveMinimum"] == 0
    assert properties["rate"]["description"] == "Step size, in x² per nat; must be small."
    assert properties["copy"]["default"] == "a"
    assert properties["seconds"]["default"] == "inf"
    assert "image" not in properties
    assert schema["additionalProperties"] is False


class Layer(nn.Module):
    def __init__(self, width: int, *, scale: float = 1.0, prior: Tensor | None = None) -> None:
        super().__init__()


def test_a_module_is_read_off_its_constructor() -> None:
    signature = describe("model/x", Layer)
    assert [p.name for p in signature.settings] == ["width", "scale"]
    assert [p.name for p in signature.inputs] == ["prior"]
    assert problems(Layer, {"width": 3.0}).keys() == {"width"}


def test_a_function_is_read_off_its_signature() -> None:
    def make(
        steps: int, energy: object, *rest: int, rng: torch.Generator | None = None, **more: Any
    ) -> int:
        return steps

    signature = describe("solver/x", make)
    assert [p.name for p in signature.settings] == ["steps"]
    assert [p.name for p in signature.inputs] == ["energy", "rng"]


def test_inherited_and_init_only_fields_are_read() -> None:
    @dataclass(frozen=True)
    class Base:
        a: int
        _: KW_ONLY
        b: float = 1.0

    @dataclass(frozen=True)
    class Derived(Base):
        c: InitVar[int] = 0

    assert [p.name for p in describe("solver/x", Derived).settings] == ["a", "c", "b"]


LATER = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn
if TYPE_CHECKING:
    from somewhere import Energy

@dataclass(frozen=True, kw_only=True)
class Plain:
    rate: Annotated[float, Gt(0)] = 1.0
    image: Float[Tensor, "height width"]

@dataclass(frozen=True, kw_only=True)
class Checked:
    rate: Annotated[float, Gt(0)] = 1.0
    energy: Energy
    window: tuple[int, ...] = ()

class Module(nn.Module):
    def __init__(self, rate: Annotated[float, Gt(0)], energy: Energy) -> None:
        super().__init__()

def function(rate: Annotated[float, Gt(0)], image: Float[Tensor, "a b"]) -> Plain: ...
"""


@pytest.mark.parametrize("hooked", [False, True])
def test_postponed_annotations_and_the_import_hook_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hooked: bool
) -> None:
    name = f"postponed_{hooked}"
    (tmp_path / f"{name}.py").write_text(LATER)
    monkeypatch.syspath_prepend(tmp_path)
    if hooked:
        with install_import_hook(name, "beartype.beartype"):
            module = __import__(name)
    else:
        module = __import__(name)
    for target in (module.Plain, module.Checked, module.Module, module.function):
        signature = describe("solver/x", target)
        assert signature.settings[0].name == "rate"
        assert len(signature.inputs) == 1
        assert "rate" in {p.path[0] for p in signature.check({"rate": -1.0}).problems}
    assert [p.name for p in describe("solver/x", module.Checked).settings] == ["rate", "window"]
