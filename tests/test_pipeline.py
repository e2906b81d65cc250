"""Running a pipeline from Python."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.cli import conftest as cli
from tests.toys import F64, Scripted, bowl, table, tensor
from torch import Tensor

import groundstate as gs
from groundstate.adapter import Adapted
from groundstate.component import Component
from groundstate.energy import Energy
from groundstate.errors import ConfigurationError, InputError
from groundstate.pipeline import TRACEBACK, Event, named_solvers, run
from groundstate.record import record
from groundstate.registry import Registry
from groundstate.report import is_best, rows
from groundstate.status import Status


@pytest.fixture
def registry(working_directory: Path) -> Registry:
    shutil.copy(cli.HERE / "workshop.py", working_directory)
    (working_directory / "registry.toml").write_text(cli.REGISTRY)
    return gs.load(warn=False)


def of(registry: Registry, text: str, **parts: Callable[..., object]) -> Registry:
    """The registry with components made on the spot, and the pipeline `p` of a registry text."""
    for name, target in parts.items():
        kind, word = name.split("_", 1)
        component = Component(
            kind=kind,
            name=word.replace("_", "-"),
            target=target,
            summary="for this test",
            examples=lambda: [1],
            gives=("out", "more") if kind == "dataset" else (),
        )
        registry = registry.with_component(component)
    path = Path("p.toml")
    path.write_text(f"schema = 1\n[pipelines.p]\n{text}")
    configuration = gs.load(path, warn=False).configuration
    assert not configuration.faults, configuration.faults
    return gs.Registry(names=registry.names, configuration=configuration, plugins=registry.plugins)


def test_results_come_in_order_with_metrics_and_names(registry: Registry) -> None:
    done = run("dots", registry)
    assert [result.solver for result in done.results] == ["solver/wander", "solver/wander#2"]
    for result in done.results:
        assert result.solution is not None
        assert result.solution.status == Status.OUT_OF_STEPS
        assert float(result.metrics["distance"]) < 0.2
        assert not result.failed
    assert not done.failed
    assert not done.interrupted
    assert done.seconds > 0
    assert isinstance(done.outputs["target"], Tensor)


def test_events_tell_what_happens(registry: Registry) -> None:
    events: list[Event] = []
    run("dots", registry, on_event=events.append, steps={"solver/wander": 2, "solver/wander#2": 1})
    assert [(event.what, event.part) for event in events] == [
        ("making", "dataset/dots"),
        ("making", "energy/bowl"),
        ("making", "metric/distance"),
        ("making", "solver/wander"),
        ("solving", "solver/wander"),
        *[("record", "solver/wander")] * 3,
        ("solved", "solver/wander"),
        ("making", "solver/wander"),
        ("solving", "solver/wander#2"),
        *[("record", "solver/wander#2")] * 2,
        ("solved", "solver/wander#2"),
    ]
    assert events[-1].record is not None and events[-1].record.step == 1


def test_steps_given_for_a_repeat_go_before_the_clock(registry: Registry) -> None:
    steps = {"solver/wander": 3, "solver/wander#2": 5}
    done = run("dots", registry, steps=steps, seconds=1e-9)
    assert {r.solver: r.solution.steps for r in done.results if r.solution} == steps


def test_seconds_go_before_those_of_the_pipeline(registry: Registry) -> None:
    pipeline = registry.configuration.find("dots").with_values({"seconds": 1000.0})
    done = run(pipeline, registry, seconds=0.0)
    assert [r.solution.steps for r in done.results if r.solution] == [0, 0]


def test_the_same_solver_more_than_once_has_names_apart(registry: Registry) -> None:
    text = (
        'energy = "energy/x"\nsolver = "solver/a"\ncompare = ["solver/b", "solver/a", "solver/a"]'
    )
    pipeline = of(registry, text).configuration.find("p")
    assert [name for name, _ in named_solvers(pipeline)] == [
        "solver/a",
        "solver/b",
        "solver/a#2",
        "solver/a#3",
    ]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Two outputs."""

    def load(self) -> Mapping[str, object]:
        return {"out": tensor(1.0), "more": "text"}

    def pictures(self, outputs: Mapping[str, object], x: Tensor | None) -> Mapping[str, Tensor]:
        return {}


def test_references_are_followed_and_texts_are_texts(registry: Registry) -> None:
    seen: dict[str, object] = {}

    def energy(out: Tensor, whole: object, listed: object, word: str) -> Energy:
        seen.update(out=out, whole=whole, listed=listed, word=word)
        return bowl(out)

    def solver(energy: Energy) -> Scripted:
        seen["energy"] = energy
        return Scripted(xs=tensor([1.0]))

    text = (
        'dataset = "dataset/source"\n'
        'energy = { use = "energy/seen", out = "@dataset.out", whole = "@dataset", '
        'listed = ["@dataset.more", "plain"], word = "@@home" }\n'
        'solver = { use = "solver/seen", energy = "@energy" }\n'
    )
    made = of(registry, text, dataset_source=Source, energy_seen=energy, solver_seen=solver)
    done = run("p", made)
    assert isinstance(seen["out"], Tensor)
    assert seen["whole"] == {"out": seen["out"], "more": "text"}
    assert seen["listed"] == ["text", "plain"]
    assert seen["word"] == "@home"
    assert seen["energy"] is done.energy


def test_metrics_take_the_datasets_outputs_by_name_unless_told(registry: Registry) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Metric:
        out: object
        more: object

        @property
        def higher_is_better(self) -> bool:
            return True

        def __call__(self, x: Tensor, /) -> Tensor:
            return torch.tensor(1.0 if (self.more, self.out) == ("text", "mine") else 0.0)

    text = (
        'dataset = "dataset/source"\n'
        'energy = { use = "energy/e", out = "@dataset.out" }\n'
        'solver = "solver/s"\nmetrics = [{ use = "metric/m", out = "mine" }]\n'
    )

    def energy(out: Tensor) -> Energy:
        return bowl(out)

    def solver() -> Scripted:
        return Scripted(xs=tensor([1.0]))

    parts: dict[str, Any] = {
        "dataset_source": Source,
        "energy_e": energy,
        "solver_s": solver,
        "metric_m": Metric,
    }
    (result,) = run("p", of(registry, text, **parts)).results
    assert float(result.metrics["m"]) == 1.0


def test_a_solver_goes_through_its_adapter(registry: Registry) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Rounded:
        scale: float = 1.0

        def adapt(self, energy: Energy) -> Adapted:
            inner = bowl(tensor(self.scale))
            return Adapted(energy=inner, decode=lambda x: (x > 0.5).long(), bound_transfers=False)

    def labels() -> Energy:
        return table([5.0, 3.0])

    def solver() -> Scripted:
        return Scripted(xs=tensor([0.0], [1.0]))

    text = (
        'energy = "energy/labels"\n'
        'solver = { use = "solver/s", through = { use = "adapter/rounded", scale = 2.0 } }\n'
    )
    made = of(registry, text, energy_labels=labels, solver_s=solver, adapter_rounded=Rounded)
    (result,) = run("p", made).results
    assert result.solution is not None, result.error
    assert result.solution.x.tolist() == [1]
    assert float(result.solution.energy) == 3.0


BASE = """
dataset = "dataset/d"
energy = { use = "energy/e", out = "@dataset.out" }
solver = "solver/s"
"""


@pytest.mark.parametrize(
    "error", [ValueError("`photo` is too dark"), TypeError("wrong"), FileNotFoundError(2, "gone")]
)
def test_what_a_part_raises_names_the_part(
    error: Exception, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Dark(Source):
        def load(self) -> Mapping[str, object]:
            raise error

    def energy(out: Tensor) -> Energy:
        return bowl(out)

    parts: dict[str, Any] = {"dataset_d": Dark, "energy_e": energy, "solver_s": Scripted}
    made = of(registry, BASE, **parts)
    text = made.configuration.find("p").with_values({"solver.xs": "@energy"})
    with pytest.raises(InputError, match=r"^dataset/d: ") as told:
        run(text, made)
    assert str(error) in str(told.value)
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(type(error)) as raw:
        run(text, made)
    assert raw.value is error


def test_a_solvers_own_error_comes_through_for_whoever_writes_it(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = registry.configuration.find("dots").with_values({"solver.fault": "raises"})
    done = run(pipeline, registry)
    assert done.results[0].error == "ZeroDivisionError: the third step divides by zero"
    assert done.failed
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(ZeroDivisionError):
        run(pipeline, registry)


@pytest.mark.parametrize(
    ("name", "words"),
    [("learn", "one that learns is run with `groundstate fit`"), ("dotz", "Did you mean 'dots'?")],
)
def test_what_cannot_be_run_is_told(name: str, words: str, registry: Registry) -> None:
    with pytest.raises(ConfigurationError) as told:
        run(name, registry)
    assert words in str(told.value)


def test_the_registry_is_found_where_none_is_given(registry: Registry) -> None:
    assert len(run("dots").results) == 2
    assert registry["solver/wander"].distribution == "workshop"
    assert F64 == torch.float64


def test_a_solver_of_compare_may_have_an_energy_of_its_own(registry: Registry) -> None:
    def flat(level: float = 0.0) -> object:
        return bowl(tensor(level, level))

    made = of(
        registry,
        """
        energy = "energy/flat"
        solver = "solver/scripted"
        compare = [
            { use = "solver/scripted", energy = { use = "energy/flat", level = 2.0 } },
            "solver/scripted",
            { use = "solver/scripted", energy = { use = "energy/flat", level = 3.0 } },
            { use = "solver/scripted", energy = { use = "energy/flat", level = 2.0 } },
        ]
        """,
        energy_flat=flat,
        solver_scripted=lambda: Scripted(xs=tensor(2.0, 2.0).expand(2, 2)),
    )
    pipeline = made.configuration.find("p")
    assert [role for role, _ in pipeline.uses()] == [
        *("energy", "solver"),
        *("energy", "compare", "compare", "energy", "compare", "energy", "compare"),
    ]
    done = run(pipeline, made)
    assert [(result.solver, result.problem) for result in done.results] == [
        ("solver/scripted", 0),
        ("solver/scripted on energy/flat", 1),
        ("solver/scripted#2", 0),
        ("solver/scripted on energy/flat#2", 2),
        ("solver/scripted on energy/flat#3", 1),
    ]
    assert [r.error for r in done.results] == [None] * 5
    energies = [float(r.solution.energy) for r in done.results if r.solution is not None]
    assert energies == [4, -4, 4, -8, -4]
    table = rows(done)
    assert all(is_best(row, table) for row in table)
    again = pipeline.with_values({"compare.0.energy.level": 0.0})
    assert run(again, made).results[1].solution is not None
    saved = record(done)["pipeline"]["compare"]
    assert saved[0]["energy"] == {"use": "energy/flat", "level": 2.0}
    assert "energy" not in saved[1]
