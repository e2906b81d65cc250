"""What holds for every component's record: it is light, it resolves, and it says what is true."""

import os
import subprocess
import sys
from functools import cache

from groundstate.adapter import Adapter
from groundstate.component import Registered
from groundstate.data import Dataset
from groundstate.energy import Energy
from groundstate.examples import (
    GeneratorExample,
    LearnerExample,
    LossExample,
    MetricExample,
    ModelExample,
    ReaderExample,
)
from groundstate.generator import Generator
from groundstate.solver import Solver
from groundstate.targets import examples_of, target_of
from groundstate.testing.laws.law import laws
from groundstate.testing.problems.choosing import fitting
from groundstate.testing.saying import require

HEAVY = ("torch", "numpy", "scipy", "jaxtyping", "pydantic", "typer", "rich", "numba", "networkx")
"""What importing a plugin's package must not load."""

EXPECTED: dict[str, type] = {
    "energy": Energy,
    "solver": Solver,
    "loss": LossExample,
    "generator": GeneratorExample,
    "learner": LearnerExample,
    "model": ModelExample,
    "dataset": Dataset,
    "metric": MetricExample,
    "adapter": Adapter,
    "reader": ReaderExample,
}
"""What the examples of each kind are."""


def package_is_light(registered: Registered) -> None:
    """Importing the plugin's package loads nothing heavy, so that listing it costs nothing."""
    target = registered.component.target
    if registered.local is not None or not isinstance(target, str) or not registered.version:
        return  # a local module is executed on use, an object is there already
    package = target.split(":")[0].split(".")[0]
    loaded = _loaded_by(package)
    require(
        not loaded,
        f"`import {package}` must load nothing heavy, it loads {', '.join(loaded)}: name targets "
        "as strings, and import in the modules that they name",
    )


@cache
def _loaded_by(package: str) -> tuple[str, ...]:
    code = (
        f"import sys, {package}; "
        f"print(*[name for name in {HEAVY!r} if name in sys.modules], sep=',')"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    require(done.returncode == 0, f"`import {package}` fails: {done.stderr.strip()[-300:]}")
    return tuple(word for word in done.stdout.strip().split(",") if word)


def target_resolves(registered: Registered) -> None:
    """The class or function that the record names is there and can be called."""
    require(callable(target_of(registered)), "the target must be a class or a function")


def settings_have_a_schema(registered: Registered) -> None:
    """Settings and inputs can be read off the target's signature."""
    from groundstate.settings import describe

    schema = describe(registered.key, target_of(registered)).schema()
    require(schema.get("type") == "object", f"the schema must be an object, got {schema!r}")


def examples_are_of_the_kind(registered: Registered) -> None:
    """There is at least one example, and each is what the laws of the kind take."""
    examples = examples_of(registered)
    kind = registered.component.kind
    for index, example in enumerate(examples):
        wanted = EXPECTED[kind]
        bare = kind == "generator" and isinstance(example, Generator)
        require(
            isinstance(example, wanted) or bare,
            f"example {index} of a {kind} must be a {wanted.__name__}, got "
            f"{type(example).__name__}: does it lack a method or property of the interface?",
        )


def making_examples_leaves_no_trace(registered: Registered) -> None:
    """Asked twice, `examples` makes fresh and equal instances."""
    from groundstate.testing.trees import equal, snapshot

    first, second = examples_of(registered), examples_of(registered)
    require(len(first) == len(second), "`examples` gave another number of instances")
    for index, (one, two) in enumerate(zip(first, second, strict=True)):
        equal(snapshot(two), snapshot(one), f"example {index} made a second time")


def claims_are_known(registered: Registered) -> None:
    """Every claim is one that switches on laws; a claim that nothing checks is no claim."""
    from groundstate.testing.laws.tables import CLAIMS

    component = registered.component
    known = CLAIMS.get(component.kind, {})
    unknown = sorted(set(component.claims) - set(known))
    require(
        not unknown,
        f"the claims {unknown} are unknown for a {component.kind}: known are "
        f"{', '.join(sorted(known)) or 'none'}",
    )


def declared_views_are_given(registered: Registered) -> None:
    """`gives` is what every example of an energy, or the outputs of a dataset, really has."""
    component = registered.component
    declared = sorted(component.gives)
    for index, example in enumerate(examples_of(registered)):
        given = _given(example)
        require(
            given == declared,
            f"the record declares {declared}, example {index} gives {given}",
        )


def _given(example: object) -> list[str]:
    """Names of an energy's views, or of a dataset's outputs."""
    if isinstance(example, Dataset):
        return sorted(example.load())
    made: object = example.model(example.batch) if isinstance(example, ModelExample) else example
    return sorted(kind.__name__ for kind in made.views) if isinstance(made, Energy) else []


def adapted_views_are_given(registered: Registered) -> None:
    """An adapter's energies give at least the views that the record declares."""
    component = registered.component
    if component.kind != "adapter":
        return
    for example in examples_of(registered):
        assert isinstance(example, Adapter)
        for problem in fitting(component.needs)[:3]:
            given = {kind.__name__ for kind in example.adapt(problem.energy).energy.views}
            lacking = sorted(set(component.gives) - given)
            require(not lacking, f"the record declares {lacking}, adapted energies lack them")


LAWS = laws(
    package_is_light,
    target_resolves,
    settings_have_a_schema,
    examples_are_of_the_kind,
    making_examples_leaves_no_trace,
    claims_are_known,
)
GIVES = laws(declared_views_are_given)
ADAPTS = laws(adapted_views_are_given)
