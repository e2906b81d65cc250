"""Registry files: layers, and every fault with file, line and path."""

import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Gt

import groundstate as gs
from groundstate.configuration import Use, read, shipped_file
from groundstate.errors import ConfigurationFault
from groundstate.explaining import explain
from groundstate.validation import check_pipeline, validate

pytestmark = pytest.mark.usefixtures("working_directory")

Load = Callable[[str], gs.Registry]
Case = dict[str, Any]

COMPONENTS: list[tuple[str, dict[str, Any]]] = [
    ("dataset/photo", {"gives": ("image", "unary")}),
    ("energy/table", {"gives": ("FactorGraph",)}),
    ("energy/bowl", {"gives": ("Quadratic",)}),
    ("solver/sweep", {"needs": ("FactorGraph",)}),
    ("solver/descent", {"needs": ("Quadratic",)}),
    ("adapter/round", {"needs": ("FactorGraph",), "gives": ("Quadratic",)}),
    ("metric/accuracy", {}),
    ("model/net", {"gives": ("Density",)}),
    ("loss/likelihood", {"needs": ("Density",)}),
    ("loss/score", {"needs": ("Score",)}),
    ("learner/gradient", {}),
    ("learner/taught", {}),
]


@dataclass(frozen=True, kw_only=True)
class Thing:
    rate: Annotated[float, Gt(0)] = 0.1
    window: tuple[int, int] = (1, 1)
    image: object = None


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    unary: object
    truth: object = None


@dataclass(frozen=True, kw_only=True)
class Taught:
    loss: object


@pytest.fixture
def load(working_directory: Path) -> Load:
    """Load a registry file of the given text, with components whose names nobody else has."""

    def from_text(text: str) -> gs.Registry:
        (working_directory / "registry.toml").write_text(text)
        registry = gs.load(plugins=False)
        for key, words in COMPONENTS:
            kind, name = key.split("/")
            target = {"accuracy": Accuracy, "taught": Taught}.get(name, Thing)
            component = gs.Component(
                kind=kind, name=f"my-{name}", target=target, summary="s",
                examples=lambda: [Thing()], **words,
            )  # fmt: skip
            registry = registry.with_component(component)
        return registry

    return from_text


def mine(faults: Iterable[ConfigurationFault]) -> list[tuple[int | None, str, str]]:
    """Line, path and message of the faults in the user's file."""
    return [(f.line, f.path, f.message) for f in faults if f.file != shipped_file()]


def key_through(use: Use) -> tuple[str, dict[str, object]]:
    """The adapter that a use has, and its settings."""
    assert use.through is not None
    return use.through.key, dict(use.through.settings)


PIPELINE = """
schema = 1

[pipelines.segment]
summary = "label"
seed = 3
seconds = 2
dataset = { use = "dataset/my-photo" }
energy = { use = "energy/my-table", image = "@dataset.image" }
solver = { use = "solver/my-descent", rate = 0.5, through = "adapter/my-round" }
metrics = ["metric/my-accuracy"]
compare = [
    "solver/my-sweep",
    { use = "script:solver/my-descent", through = { use = "adapter/my-round", rate = 1 } },
]
"""


def test_a_right_file_has_no_fault(load: Load) -> None:
    registry = load(PIPELINE)
    assert mine(validate(registry)) == []
    assert mine(validate(registry, deep=True)) == []
    pipeline = registry.configuration.find("segment")
    assert (pipeline.summary, pipeline.seed, pipeline.seconds) == ("label", 3, 2)
    assert pipeline.parts["solver"].settings == {"rate": 0.5}
    assert key_through(pipeline.parts["solver"]) == ("adapter/my-round", {})
    assert key_through(pipeline.compare[1]) == ("adapter/my-round", {"rate": 1})
    roles = [role for role, _ in pipeline.uses()]
    assert roles == [
        "dataset",
        "energy",
        "through",
        "solver",
        "metrics",
        "compare",
        "through",
        "compare",
    ]


def test_a_learning_pipeline_is_checked_as_well(load: Load) -> None:
    text = (
        'schema = 1\n[pipelines.learn]\nmodel = "model/my-net"\n'
        'loss = "loss/{}"\nlearner = "learner/my-gradient"\n'
    )
    assert mine(validate(load(text.format("my-likelihood")))) == []
    ((line, path, message),) = mine(validate(load(text.format("my-score"))))
    assert (line, path) == (4, "pipelines.learn.loss")
    assert "'loss/my-score' needs the view Score, and 'model/my-net' gives Density" in message
    assert "loss/my-likelihood would fit" in message


def test_a_learner_must_be_given_its_loss(load: Load) -> None:
    text = (
        'schema = 1\n[pipelines.learn]\nmodel = "model/my-net"\nloss = "loss/my-likelihood"\n'
        'learner = {{ use = "learner/my-taught"{} }}\n'
    )
    assert mine(validate(load(text.format(', loss = "@loss"')), deep=True)) == []
    ((line, path, message),) = mine(validate(load(text.format("")), deep=True))
    assert (line, path) == (5, "pipelines.learn.learner")
    assert "`loss`: 'learner/my-taught' needs this input" in message


HEAD = """schema = 1
[pipelines.p]
energy = "energy/my-table"
solver = "solver/my-sweep"
"""

FAULTS: list[Case] = tomllib.loads(
    Path(__file__).with_name("configuration_faults.toml").read_text()
)["fault"]


def text_of(case: Case) -> str:
    return HEAD * case.get("pipeline", False) + case["text"]


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: case["path"])
def test_every_fault_has_line_path_and_words(load: Load, case: Case) -> None:
    registry = load(text_of(case))
    if case.get("deep"):
        assert mine(validate(registry)) == []
    found = mine(validate(registry, deep=case.get("deep", False)))
    assert [(line, path) for line, path, _ in found] == [(case.get("line"), case["path"])]
    assert case["words"] in found[0][2]


def test_several_faults_are_told_together_in_order_of_lines(
    load: Load, working_directory: Path
) -> None:
    faults = validate(load(HEAD + "seed = -1\nsteps = 0\nfoo = 1\n"))
    told = [str(f) for f in faults if f.file != shipped_file()]
    file = working_directory / "registry.toml"
    starts = [
        f"{file}:{line}: pipelines.p.{key}: "
        for line, key in ((5, "seed"), (6, "steps"), (7, "foo"))
    ]
    assert all(line.startswith(start) for line, start in zip(told, starts, strict=True))


def test_only_the_faults_of_one_pipeline(load: Load) -> None:
    text = HEAD + "seed = -1\n[pipelines.pq]\nenergy = 'energy/none'\nsolver = 'solver/my-sweep'\n"
    registry = load(text)
    assert [p for _, p, _ in mine(validate(registry, pipelines=["p"]))] == ["pipelines.p.seed"]
    assert [p for _, p, _ in mine(validate(registry, pipelines=["pq"]))] == [
        "pipelines.pq.energy.use"
    ]


@pytest.mark.parametrize(
    ("text", "circle"),
    [
        ("[presets.a]\nextends = 'a'", "a -> a"),
        (
            "[presets.a]\nextends = 'b'\n[presets.b]\nextends = 'c'\n[presets.c]\nextends = 'b'",
            "c -> b -> c",
        ),
    ],
)  # fmt: skip
def test_a_circular_preset_is_told(load: Load, text: str, circle: str) -> None:
    found = mine(validate(load("schema = 1\n" + text)))
    assert found
    assert all(path.endswith(".extends") and "in a circle" in message for _, path, message in found)
    assert circle in found[0][2]


def test_a_preset_takes_from_what_it_extends(load: Load) -> None:
    text = "schema = 1\n[presets.a]\nx = 1\ny = 1\n[presets.b]\nextends = 'a'\ny = 2\nz = 2\n"
    configuration = load(text).configuration
    assert {n: v for n, (v, _) in configuration.preset("b").items()} == {"x": 1, "y": 2, "z": 2}
    assert {n: where.line for n, (_, where) in configuration.preset("b").items()} == {
        "x": 3,
        "y": 7,
        "z": 8,
    }
    assert configuration.preset("nothing") == {}


def test_a_local_module_that_breaks_its_promise_is_told_only_deep(
    load: Load, working_directory: Path
) -> None:
    (working_directory / "a.py").write_text("raise SystemExit(1)")
    registry = load("schema = 1\n[plugins.a]\nmodule = 'a.py'\nprovides = ['solver/x']")
    assert mine(validate(registry)) == []
    found = mine(validate(registry, deep=True))
    assert [(line, path) for line, path, _ in found] == [(2, "plugins.a")]
    assert "SystemExit: 1" in found[0][2]


def test_a_component_that_only_the_file_knows_comes_with_its_install_line(load: Load) -> None:
    entry = "[plugins.far]\ndistribution = 'gs-far'\nprovides = ['solver/far']"
    load(f"{HEAD}compare = ['solver/far']\n{entry}")
    found = validate(gs.load(allow=[]), pipelines=["p"])
    told = [fault.message for fault in found if "compare" in fault.path]
    assert told == ["No component 'solver/far'. It comes with gs-far: `pip install gs-far`."]


# -- files that cannot be read


def unreadable(error: pytest.ExceptionInfo[gs.ConfigurationError]) -> ConfigurationFault:
    (fault,) = error.value.faults
    return fault


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (b"schema = 1\n\n[a\n", 3, "not valid TOML"),
        (b"schema = 1\nx = \n", 2, "not valid TOML: Invalid value"),
        (b"schema = 1\n[a]\nx = 1\nx = 2\n", 4, "not valid TOML: Cannot overwrite"),
        (b'schema = 1\nx = "abc', 2, "not valid TOML"),
        (b"schema = 1\n# \xff\n", 2, "must be UTF-8"),
        (b"# new\nschema = 7\n", 2, "this groundstate reads up to 1. Upgrade groundstate"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(
    working_directory: Path, content: bytes, line: int, words: str
) -> None:
    file = working_directory / "registry.toml"
    file.write_bytes(content)
    with pytest.raises(gs.ConfigurationError) as error:
        gs.load()
    fault = unreadable(error)
    assert (fault.file, fault.line) == (file, line)
    assert words in fault.message


@pytest.mark.parametrize("by", ["call", "environment"])
def test_a_file_that_does_not_exist_is_told(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    path = working_directory / "none.toml"
    if by == "environment":
        monkeypatch.setenv("GROUNDSTATE_REGISTRY", str(path))
    with pytest.raises(gs.ConfigurationError, match="does not exist") as error:
        gs.load(path if by == "call" else None)
    named = "GROUNDSTATE_REGISTRY" if by == "environment" else "`registry`"
    assert named in str(error.value)


# -- layers


def test_whole_entries_replace_whole_entries(load: Load) -> None:
    registry = load(
        'schema = 1\n[pipelines.segment]\nenergy = "energy/my-table"\nsolver = "solver/my-sweep"\n'
    )
    pipeline = registry.configuration.find("segment")
    assert pipeline.summary == ""
    assert "dataset" not in pipeline.parts
    assert registry.configuration.plugins["gcrf"].where.file.shipped
    assert len(registry.configuration.files) == 2


def test_the_call_goes_before_the_environment_and_that_before_the_folder(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("registry", "environment", "call"):
        (working_directory / f"{name}.toml").write_text(f"schema = 1\n[presets.{name}]\n")
    assert set(read().presets) >= {"registry"}
    monkeypatch.setenv("GROUNDSTATE_REGISTRY", "environment.toml")
    assert "environment" in read().presets
    assert "registry" not in read().presets
    assert "call" in read("call.toml").presets
    assert "environment" not in read("call.toml").presets


def test_the_shipped_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shipped_file().parent)
    assert len(read().files) == 1


def test_only_the_shipped_file_owns_names(load: Load) -> None:
    text = 'schema = 1\n[plugins.x]\ndistribution = "x"\nprovides = ["solver/x"]\n'
    owners = load(text).configuration.owners
    assert owners["solver/cg"] == "groundstate-gcrf"
    assert "solver/x" not in owners


def test_the_shipped_file_itself_is_well_formed() -> None:
    assert read().faults == ()


def test_an_unknown_pipeline_gets_the_nearest() -> None:
    with pytest.raises(
        gs.ConfigurationError, match=r"No pipeline 'segmnt'. Did you mean 'segment'"
    ):
        read().find("segmnt")


# -- settings by hand


def test_settings_can_be_replaced(load: Load) -> None:
    pipeline = load(PIPELINE).configuration.find("segment")
    changed = pipeline.with_values(
        {
            "seed": 5,
            "seconds": 1,
            "solver.rate": 2.0,
            "solver.through.rate": 3.0,
            "compare.0.rate": 4.0,
            "compare.1.through.rate": 5.0,
            "energy.use": "energy/other",
        }
    )
    assert (changed.seed, changed.seconds) == (5, 1.0)
    assert changed.parts["solver"].settings == {"rate": 2.0}
    assert key_through(changed.parts["solver"]) == ("adapter/my-round", {"rate": 3.0})
    assert changed.compare[0].settings == {"rate": 4.0}
    assert key_through(changed.compare[1]) == ("adapter/my-round", {"rate": 5.0})
    assert changed.parts["energy"].key == "energy/other"
    assert pipeline.seed == 3


def test_every_wrong_setting_by_hand_is_told(load: Load) -> None:
    pipeline = load(PIPELINE).configuration.find("segment")
    with pytest.raises(gs.ConfigurationError) as error:
        pipeline.with_values(
            {"seed": -1, "slover.rate": 1, "compare.9.rate": 1, "solver.a.b": 1, "x": 1}
        )
    assert {f.path for f in error.value.faults} == {
        "seed",
        "slover.rate",
        "compare.9.rate",
        "solver.a.b",
        "x",
    }
    assert "Did you mean 'solver'" in str(error.value)


def test_a_wrong_value_by_hand_has_no_line(load: Load) -> None:
    registry = load(PIPELINE)
    pipeline = registry.configuration.find("segment").with_values({"solver.rate": -1.0})
    (fault,) = check_pipeline(registry, pipeline, deep=True)
    assert (fault.file, fault.line) == (None, None)
    assert fault.path == "pipelines.segment.solver.rate"


# -- explain


def test_explaining_says_what_each_name_resolves_to_and_why(
    load: Load, working_directory: Path
) -> None:
    registry = load(PIPELINE + "[presets.'script:solver/my-descent']\nwindow = [2, 2]\nrate = 9\n")
    pipeline = registry.configuration.find("segment").with_values({"energy.rate": 7.0})
    told = explain(registry, pipeline, deep=True)
    file = working_directory / "registry.toml"
    assert told.reason == f"yours, {file}:4, in place of the shipped one"
    solver = next(part for part in told.parts if part.role == "solver")
    assert (solver.qualified, solver.distribution) == ("script:solver/my-descent", "script")
    reasons = {s.name: (s.value, s.reason) for s in solver.settings}
    assert reasons["rate"] == (0.5, f"{file}:10")
    assert reasons["window"] == ([2, 2], f"preset, {file}:17")
    energy = next(part for part in told.parts if part.role == "energy")
    reasons = {s.name: (s.value, s.reason) for s in energy.settings}
    assert reasons["rate"] == (7.0, "set by hand")
    assert reasons["image"] == ("@dataset.image", f"{file}:9")
    assert reasons["window"] == ((1, 1), "default")


def test_explaining_an_unknown_name_says_why_it_is_unknown(load: Load) -> None:
    registry = load(HEAD.replace("my-sweep", "my-swep"))
    told = explain(registry, registry.configuration.find("p"))
    solver = told.parts[-1]
    assert solver.qualified == ""
    assert "Did you mean 'solver/my-sweep'" in solver.trouble


def test_messages_are_single_lines(load: Load) -> None:
    for case in FAULTS:
        for fault in validate(load(text_of(case)), deep=True):
            assert "\n" not in str(fault)
