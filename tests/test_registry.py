"""Names are settled the same in every order; building checks everything and tells all at once."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from annotated_types import Gt

import groundstate as gs
from groundstate.component import Registered
from groundstate.naming import Names, settle

Install = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("working_directory")


@dataclass(frozen=True, kw_only=True)
class Descent:
    rate: Annotated[float, Gt(0)] = 0.1
    steps: int = 10
    start: object = None


@dataclass(frozen=True, kw_only=True)
class Bowl:
    scale: float
    image: object


def component(key: str, target: Callable[..., object] = Descent, **changes: Any) -> gs.Component:
    kind, name = key.split("/")
    values: dict[str, Any] = {
        "target": target,
        "summary": "s",
        "examples": lambda: [target()],
        **changes,
    }
    return gs.Component(kind=kind, name=name, **values)


def record(distribution: str, key: str = "solver/cg", **changes: Any) -> Registered:
    return Registered(
        component=component(key, **changes),
        distribution=distribution,
        version="1.0",
        origin="test",
        plugin=distribution,
    )


@pytest.fixture
def empty() -> gs.Registry:
    return gs.load(plugins=False)


@pytest.fixture
def registry(empty: gs.Registry) -> gs.Registry:
    return (
        empty.with_component(component("solver/descent", needs=("Quadratic",)))
        .with_component(component("solver/sweep", needs=("FactorGraph",)))
        .with_component(component("solver/any"))
        .with_component(component("energy/bowl", Bowl, gives=("Quadratic",)))
        .with_component(component("energy/table", Bowl, gives=("FactorGraph",)))
        .with_component(component("adapter/round", needs=("FactorGraph",), gives=("Quadratic",)))
    )


# -- the mapping


def test_it_is_a_mapping_of_sorted_names(registry: gs.Registry) -> None:
    assert list(registry)[:2] == ["adapter/round", "energy/bowl"]
    assert len(registry) == 6
    assert "solver/any" in registry
    assert "solver/none" not in registry
    assert registry.get("solver/none") is None


def test_a_registry_does_not_change(empty: gs.Registry) -> None:
    more = empty.with_component(component("solver/any"))
    assert len(more) == len(empty) + 1
    with pytest.raises(AttributeError):
        empty.faults = ()  # pyright: ignore[reportAttributeAccessIssue]


def test_components_are_listed_by_kind(registry: gs.Registry) -> None:
    assert [r.component.name for r in registry.components("solver")] == ["any", "descent", "sweep"]
    assert len(registry.components()) == 6


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("solver/descnt", "No component 'solver/descnt'. Did you mean 'solver/descent'?"),
        ("energy/descent", "Did you mean 'solver/descent'?"),
        ("solver/xyz", "Registered: solver/any, solver/descent, solver/sweep."),
        ("nothing", "`groundstate components` lists what there is."),
        ("script:solver/descnt", "Did you mean"),
        ("other:solver/descent", "Did you mean 'script:solver/descent'"),
    ],
)
def test_an_unknown_name_gets_the_nearest(registry: gs.Registry, key: str, words: str) -> None:
    with pytest.raises(gs.RegistryError) as error:
        registry[key]
    assert words in str(error.value)


def test_a_known_name_that_is_not_installed_gets_the_install_line(working_directory: Path) -> None:
    text = (
        'schema = 1\n[plugins.far]\ndistribution = "groundstate-far"\nprovides = ["solver/far"]\n'
    )
    (working_directory / "registry.toml").write_text(text)
    registry = gs.load(warn=False)
    with pytest.raises(gs.RegistryError, match="groundstate-far: `pip install groundstate-far`"):
        registry["solver/far"]
    with pytest.raises(gs.RegistryError, match="Did you mean 'solver/far'"):
        registry["solver/fra"]


def test_a_disabled_plugin_is_the_reason_for_a_missing_name() -> None:
    with pytest.raises(gs.RegistryError, match=r"'gcrf', which has it, is disabled"):
        gs.load(plugins=False)["solver/cg"]


def test_the_reason_for_a_missing_name_may_be_that_its_plugin_is_broken(
    install: Install, working_directory: Path
) -> None:
    text = 'schema = 1\n[plugins.bad]\ndistribution = "bad"\nprovides = ["solver/bad"]\n'
    (working_directory / "registry.toml").write_text(text)
    install("bad", "raise ImportError('no luck')")
    with pytest.raises(
        gs.RegistryError, match=r"comes with bad 1.0, which is broken: .*ImportError: no luck"
    ):
        gs.load(warn=False)["solver/bad"]


# -- who has a name

OWNER = {"solver/cg": "groundstate-gcrf"}


def settled(records: Sequence[Registered], owners: Mapping[str, str]) -> Names:
    """The outcome, after a look that it is the same in every order."""
    outcomes = [settle(order, owners) for order in itertools.permutations(records)]
    assert all(outcome == outcomes[0] for outcome in outcomes)
    return outcomes[0]


def test_a_name_claimed_twice_is_nobodys() -> None:
    names = settled([record("alpha"), record("Beta_Solvers")], {})
    assert names.plain == {}
    assert set(names.qualified) == {"alpha:solver/cg", "beta-solvers:solver/cg"}
    (fault,) = names.faults
    assert "claims 'solver/cg', and so does Beta_Solvers 1.0" in str(fault)
    assert "Write 'alpha:solver/cg' or 'beta-solvers:solver/cg'" in str(fault)


def test_using_a_name_claimed_twice_names_both(empty: gs.Registry) -> None:
    code = component("solver/twin")
    both = empty.with_component(code, "alpha").with_component(code, "Beta_Solvers")
    assert "solver/twin" not in both
    for use in (both.__getitem__, both.build, both.resolve):
        with pytest.raises(gs.RegistryError) as error:
            use("solver/twin")
        for piece in ("alpha", "Beta_Solvers", "'alpha:solver/twin'", "'beta-solvers:solver/twin'"):
            assert piece in str(error.value)
    assert isinstance(both.build("Beta.Solvers:solver/twin"), Descent)
    assert both.spelling(both["alpha:solver/twin"]) == "alpha:solver/twin"


def test_overriding_is_explicit() -> None:
    override = record("beta", replaces="alpha:solver/cg")
    names = settled([record("alpha"), override], {})
    assert names.plain["solver/cg"].distribution == "beta"
    assert names.qualified["alpha:solver/cg"].distribution == "alpha"
    assert names.faults == ()


def test_two_that_override_the_same_are_in_doubt() -> None:
    two = [record(name, replaces="alpha:solver/cg") for name in ("beta", "gamma")]
    names = settled([record("alpha"), *two], {})
    assert names.plain == {}
    assert len(names.contested["solver/cg"]) == 3


def test_overriding_each_other_leaves_the_name_in_doubt() -> None:
    two = [record("a", replaces="b:solver/cg"), record("b", replaces="a:solver/cg")]
    names = settled(two, {})
    assert names.plain == {}
    assert len(names.faults) == 1


def test_a_shipped_name_belongs_to_its_distribution() -> None:
    names = settled([record("groundstate_gcrf"), record("alpha")], OWNER)
    assert names.plain["solver/cg"].distribution == "groundstate_gcrf"
    (fault,) = names.faults
    assert fault.distribution == "alpha"
    assert "belongs to groundstate-gcrf" in fault.cause
    assert "'alpha:solver/cg'" in fault.cure


def test_a_shipped_name_is_kept_for_its_distribution_when_that_is_absent(
    empty: gs.Registry,
) -> None:
    names = settled([record("alpha")], OWNER)
    assert names.plain == {}
    registry = empty.with_component(component("solver/cg"), "alpha")
    with pytest.raises(gs.RegistryError, match=r"belongs to groundstate-gcrf.*'alpha:solver/cg'"):
        registry["solver/cg"]
    assert registry["alpha:solver/cg"].key == "solver/cg"


def test_a_shipped_name_can_be_overridden_and_that_in_turn() -> None:
    alpha = record("alpha", replaces="groundstate-gcrf:solver/cg")
    names = settled([record("groundstate-gcrf"), alpha, record("other")], OWNER)
    assert names.plain["solver/cg"].distribution == "alpha"
    assert [fault.distribution for fault in names.faults] == ["other"]
    beta = record("beta", replaces="alpha:solver/cg")
    names = settled([record("groundstate-gcrf"), alpha, beta], OWNER)
    assert names.plain["solver/cg"].distribution == "beta"
    assert names.faults == ()


def test_the_same_component_given_twice_is_refused(registry: gs.Registry) -> None:
    with pytest.raises(gs.RegistryError, match="in the registry already"):
        registry.with_component(component("solver/any"))


# -- building


def test_settings_and_inputs_are_passed_by_name(registry: gs.Registry) -> None:
    image = object()
    made = registry.build("energy/bowl", scale=2, image=image)
    assert made == Bowl(scale=2.0, image=image)
    assert registry.build("script:solver/descent", rate=0.5) == Descent(rate=0.5)


def test_every_fault_of_a_call_is_told(registry: gs.Registry) -> None:
    with pytest.raises(gs.ConfigurationError) as error:
        registry.build("solver/descent", rate=0, steps="3", strat=1)
    told = {fault.path: fault.message for fault in error.value.faults}
    assert set(told) == {"solver/descent.rate", "solver/descent.steps", "solver/descent.strat"} or (
        set(told) == {'"solver/descent".rate'}
    )
    assert "Did you mean 'start'" in told["solver/descent.strat"]
    assert str(error.value).count("\n") == 2


def test_a_missing_input_is_told(registry: gs.Registry) -> None:
    with pytest.raises(gs.ConfigurationError, match=r"energy/bowl.image: .*needs this input"):
        registry.build("energy/bowl", scale=1.0)


def test_an_error_of_the_component_itself_passes(empty: gs.Registry) -> None:
    def refuse(steps: int = 1) -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        empty.with_component(component("solver/x", refuse)).build("solver/x")


def test_an_optional_part_that_only_the_constructor_imports(empty: gs.Registry) -> None:
    def make() -> int:
        raise ModuleNotFoundError("No module named 'rawpy'", name="rawpy")

    extras = ("groundstate-vision[raw]: rawpy, other",)
    registry = empty.with_component(component("reader/raw", make, extras=extras))
    with pytest.raises(gs.PluginError, match=r"pip install 'groundstate-vision\[raw\]'"):
        registry.build("reader/raw")


def test_a_setting_named_like_a_parameter_of_build(empty: gs.Registry) -> None:
    def make(self: int = 1, key: int = 2) -> int:
        return key

    registry = empty.with_component(component("solver/x", make))
    assert registry.build("solver/x", key=5) == 5


def test_presets_apply_and_what_is_given_goes_before(working_directory: Path) -> None:
    (working_directory / "registry.toml").write_text(
        "schema = 1\n[presets.careful]\nsteps = 99\nrate = 0.5\n"
        '[presets."solver/descent"]\nextends = "careful"\nrate = 0.25\n'
    )
    registry = gs.load(plugins=False).with_component(component("solver/descent"))
    assert registry.build("solver/descent") == Descent(rate=0.25, steps=99)
    assert registry.build("script:solver/descent", rate=0.1) == Descent(rate=0.1, steps=99)


def test_a_wrong_preset_is_told_with_its_line(working_directory: Path) -> None:
    file = working_directory / "registry.toml"
    file.write_text('schema = 1\n[presets."solver/descent"]\nrate = -1\nsteeps = 3\n')
    registry = gs.load(plugins=False).with_component(component("solver/descent"))
    with pytest.raises(gs.ConfigurationError) as error:
        registry.build("solver/descent")
    assert f'{file}:3: presets."solver/descent".rate: must be greater than 0' in str(error.value)
    assert f'{file}:4: presets."solver/descent".steeps: unknown' in str(error.value)


def test_the_schema_is_that_of_the_settings(registry: gs.Registry) -> None:
    schema = registry.schema("solver/descent")
    assert set(schema["properties"]) == {"rate", "steps"}


def test_a_setting_that_cannot_be_checked_is_a_fault_of_the_plugin(empty: gs.Registry) -> None:
    def make(steps: Annotated[int, Gt("x")] = 1) -> int:
        return steps

    registry = empty.with_component(component("solver/x", make))
    with pytest.raises(gs.PluginError, match="its settings cannot be read"):
        registry.build("solver/x")


# -- views


def test_solvers_that_fit_the_views(registry: gs.Registry) -> None:
    assert [r.key for r in registry.matching(["Quadratic"])] == ["solver/any", "solver/descent"]
    assert [r.key for r in registry.matching([])] == ["solver/any"]


def test_what_fits_has_no_mismatch(registry: gs.Registry) -> None:
    assert registry.mismatch("energy/bowl", "solver/descent") is None
    assert registry.mismatch("energy/table", "solver/descent", "adapter/round") is None


def test_a_mismatch_says_what_was_needed_what_there_is_and_what_fits(registry: gs.Registry) -> None:
    told = registry.mismatch("energy/table", "solver/descent")
    assert told == (
        "'solver/descent' needs the view Quadratic, and 'energy/table' gives FactorGraph. "
        "An adapter bridges them: add `through = 'adapter/round'`. "
        "Of kind solver, solver/any, solver/sweep would fit."
    )
    told = registry.mismatch("energy/bowl", "solver/sweep", "adapter/round")
    assert told is not None
    assert "'adapter/round' needs the view FactorGraph, and 'energy/bowl' gives Quadratic" in told
    assert "would fit" in told


# -- local modules

LOCAL = """
from dataclasses import dataclass
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from groundstate import Component, hookimpl

Path(__file__).with_suffix(".ran").touch()

@dataclass(frozen=True, kw_only=True)
class Mine:
    steps: int = 1

def examples():
    return [Mine()]

@hookimpl
def groundstate_components():
    yield Component(
        kind="solver", name="mine", target="my_solver:Mine", summary="mine", needs=("Quadratic",),
        examples=examples,
    )
"""
ENTRY = 'schema = 1\n\n[plugins.my-solver]\nmodule = "./my_solver.py"\nprovides = ["solver/mine"]\n'


@pytest.fixture
def local(working_directory: Path) -> Path:
    (working_directory / "my_solver.py").write_text(LOCAL)
    (working_directory / "registry.toml").write_text(ENTRY)
    return working_directory


def test_a_local_module_is_listed_without_being_executed(local: Path) -> None:
    registry = gs.load(allow=["my-solver"])
    assert list(registry) == ["solver/mine"]
    assert registry["solver/mine"].distribution == "my-solver"
    assert registry["solver/mine"].origin.endswith("registry.toml:3")
    assert [p.state for p in registry.plugins if p.name == "my-solver"] == ["local"]
    assert not (local / "my_solver.ran").exists()


def test_a_local_module_is_executed_on_use(local: Path) -> None:
    registry = gs.load(allow=["my-solver"])
    assert registry.loaded("solver/mine").component.needs == ("Quadratic",)
    made = registry.build("solver/mine", steps=4)
    assert made.steps == 4
    assert isinstance(registry.build("my-solver:solver/mine"), type(made))
    assert registry.deep_faults() == ()


def test_the_path_of_a_local_module_starts_at_the_file_that_names_it(
    local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = gs.load(local / "registry.toml", allow=["my-solver"])
    assert registry.build("solver/mine").steps == 1


def test_a_changed_local_module_is_executed_again(local: Path) -> None:
    registry = gs.load(allow=["my-solver"])
    assert registry.build("solver/mine").steps == 1
    file = Path(local, "my_solver.py")
    file.write_text(LOCAL.replace("steps: int = 1", "steps: int = 12345"))
    assert registry.build("solver/mine").steps == 12345


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_the_sort", "No module named 'nothing_of_the_sort'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        (LOCAL.replace('"mine", target', '"other", target'), "its hook gave solver/other"),
        (LOCAL.replace("@hookimpl", ""), "implements no hook"),
        (LOCAL.replace(":Mine", ":Mien"), "has no 'Mien'. Did you mean 'Mine'?"),
        (None, "No such file"),
    ],
)
def test_a_broken_local_module_is_told_on_use(local: Path, code: str | None, words: str) -> None:
    file = local / "my_solver.py"
    if code is None:
        file.unlink()
    else:
        file.write_text(code)
    registry = gs.load(allow=["my-solver"])
    with pytest.raises(gs.PluginError) as error:
        registry.build("solver/mine")
    assert words in str(error.value)
    assert str(error.value).startswith("my-solver (plugin 'my-solver'): ")
    assert "\n" not in str(error.value)
    assert len(registry.deep_faults()) == 1


def test_the_views_of_a_local_module_are_seen_deep(local: Path) -> None:
    table = component("energy/table", Bowl, gives=("FactorGraph",))
    registry = gs.load(allow=["my-solver"]).with_component(table)
    assert registry.mismatch("energy/table", "solver/mine") is None
    told = registry.mismatch("energy/table", "solver/mine", deep=True)
    assert told is not None
    assert "'solver/mine' needs the view Quadratic" in told


def test_a_local_module_can_be_disabled(local: Path) -> None:
    assert list(gs.load(disable=["my-solver"], allow=["my-solver"])) == []
