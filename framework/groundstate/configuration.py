"""What the registry files say: plugins known by name, presets, pipelines; read, not yet judged.

The file that ships with groundstate is read first and the user's is layered over it, whole entries
replacing whole entries. Every entry remembers where it is written, so that every fault can name
file, line and path. Whether the names exist is `groundstate.validation`'s question.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from groundstate.errors import ConfigurationError, ConfigurationFault, nearest
from groundstate.locate import KeyPath, lines_of, written

SCHEMA = 1
"""The version of the file format that this core reads."""

FILE = "registry.toml"
VARIABLE = "GROUNDSTATE_REGISTRY"

PARTS: Mapping[str, tuple[str, ...]] = {
    "dataset": ("dataset",),
    "validation": ("dataset",),
    "model": ("model", "energy", "generator"),
    "energy": ("energy", "model"),
    "solver": ("solver",),
    "loss": ("loss",),
    "negatives": ("generator", "solver"),
    "learner": ("learner",),
    "metrics": ("metric",),
    "compare": ("solver",),
}
"""The parts of a pipeline in the order they are made, and the kinds of component that fit each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A registry file that was read.

    Attributes:
        path: Where it is.
        text: What it holds.
        shipped: Whether it came with groundstate: its names belong to their distributions.
    """

    path: Path
    text: str = field(repr=False)
    shipped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A place in a file."""

    file: File
    path: KeyPath

    def below(self, *parts: str | int) -> "Where":
        """A place further in."""
        return replace(self, path=(*self.path, *parts))

    @property
    def line(self) -> int | None:
        """The line of this key, or of the nearest key that encloses it."""
        lines = lines_of(self.file.text)
        for end in range(len(self.path), 0, -1):
            if (line := lines.get(self.path[:end])) is not None:
                return line
        return None

    def fault(self, message: str) -> ConfigurationFault:
        """Say that something is wrong here."""
        return ConfigurationFault(
            file=self.file.path, line=self.line, path=written(self.path), message=message
        )

    def __str__(self) -> str:
        return f"{self.file.path}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEntry:
    """A plugin that a file knows: a distribution that can be installed, or a local module."""

    name: str
    distribution: str | None
    module: Path | None
    provides: tuple[str, ...]
    status: str
    where: Where

    @property
    def install(self) -> str:
        """The command that installs it; empty for a local module."""
        return f"pip install {self.distribution}" if self.distribution else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Settings that a component has unless others are given."""

    name: str
    settings: Mapping[str, object]
    extends: str | None
    where: Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One component in a pipeline.

    Attributes:
        key: `kind/name`, or `distribution:kind/name`.
        settings: Settings and `@` references by name.
        through: The adapter between the energy and this solver.
        energy: What this solver of `compare` minimises, where it is not the pipeline's energy.
        by_hand: Names of settings that a call or the command line set, which no line of a file did.
        where: Where it is written.
    """

    key: str
    settings: Mapping[str, object]
    through: "Use | None" = None
    energy: "Use | None" = None
    by_hand: frozenset[str] = frozenset()
    where: Where

    def fault(self, message: str, *path: str | int) -> ConfigurationFault:
        """Say that something is wrong with this use, or with a setting of it."""
        fault = self.where.below(*path).fault(message)
        if path and path[0] in self.by_hand:
            return replace(fault, file=None, line=None)
        return fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A named composition of components.

    Attributes:
        parts: dataset, model, energy, solver, loss, ... by the names of `PARTS`, except the lists.
        metrics: What is measured on each result.
        compare: Further solvers for the same problem.
        steps: Budget in steps; None for the default.
        seconds: Budget in seconds; None for the default.
    """

    name: str
    summary: str = ""
    seed: int = 0
    parts: Mapping[str, Use]
    metrics: tuple[Use, ...] = ()
    compare: tuple[Use, ...] = ()
    steps: int | None = None
    seconds: float | None = None
    where: Where

    def uses(self) -> Iterator[tuple[str, Use]]:
        """Each part with its role, in the order they are made; what a solver needs before it."""
        for role in PARTS:
            listed = {"metrics": self.metrics, "compare": self.compare}.get(role, ())
            for use in (*filter(None, [self.parts.get(role)]), *listed):
                if use.energy is not None:
                    yield "energy", use.energy
                if use.through is not None:
                    yield "through", use.through
                yield role, use

    def with_values(self, values: Mapping[str, object]) -> "Pipeline":
        """The pipeline with settings replaced, such as `{"solver.tolerance": 1e-3, "seed": 1}`."""
        pipeline, faults = self, list[ConfigurationFault]()
        for name, value in values.items():
            try:
                pipeline = _assigned(pipeline, name.split("."), value)
            except ValueError as error:
                faults.append(
                    ConfigurationFault(file=None, line=None, path=name, message=str(error))
                )
        if faults:
            raise ConfigurationError(faults)
        return pipeline


def _assigned(pipeline: Pipeline, path: list[str], value: object) -> Pipeline:
    head, *rest = path
    if not rest:
        return _with_scalar(pipeline, head, value)
    if head in ("metrics", "compare"):
        listed = list(pipeline.metrics if head == "metrics" else pipeline.compare)
        index = int(rest[0]) if rest[0].isdecimal() else -1
        if not 0 <= index < len(listed) or len(rest) < 2:
            raise ValueError(f"write `{head}.INDEX.SETTING`, the index below {len(listed)}.")
        listed[index] = _set(listed[index], rest[1:], value)
        changed = tuple(listed)
        if head == "metrics":
            return replace(pipeline, metrics=changed)
        return replace(pipeline, compare=changed)
    if head not in pipeline.parts:
        hint = nearest(head, list(pipeline.parts))
        known = ", ".join(pipeline.parts)
        raise ValueError(f"the pipeline {pipeline.name!r} has no {head!r}.{hint} It has {known}.")
    return replace(
        pipeline, parts={**pipeline.parts, head: _set(pipeline.parts[head], rest, value)}
    )


def _with_scalar(pipeline: Pipeline, name: str, value: object) -> Pipeline:
    trouble = scalar_trouble(name, value)
    if trouble:
        raise ValueError(trouble)
    match name, value:
        case "summary", str():
            return replace(pipeline, summary=value)
        case "seed", int():
            return replace(pipeline, seed=value)
        case "steps", int():
            return replace(pipeline, steps=value)
        case "seconds", int() | float():
            return replace(pipeline, seconds=float(value))
        case _:
            raise ValueError("write `PART.SETTING`, or one of summary, seed, steps, seconds.")


def scalar_trouble(name: str, value: object) -> str:
    """What is wrong with a pipeline's own number or text; empty if nothing."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or isinstance(value, float)
    if name == "summary" and not isinstance(value, str):
        return f"must be a line of text; got {value!r}."
    if name == "seed" and not (whole and isinstance(value, int) and 0 <= value < 2**63):
        return f"must be a whole number from 0 to 2^63 - 1; got {value!r}."
    if name == "steps" and not (whole and isinstance(value, int) and value >= 1):
        return f"must be a whole number from 1; got {value!r}."
    if name == "seconds" and not (number and isinstance(value, int | float) and value > 0):
        return f"must be a number above 0; got {value!r}."
    return ""


def _set(use: Use, path: list[str], value: object) -> Use:
    name, *rest = path
    if name == "through" and rest and use.through is not None:
        return replace(use, through=_set(use.through, rest, value))
    if name == "energy" and rest and use.energy is not None:
        return replace(use, energy=_set(use.energy, rest, value))
    if rest or name == "through":
        raise ValueError(f"write `PART.SETTING`: {use.key!r} has no setting {'.'.join(path)!r}.")
    if name == "use":
        if not isinstance(value, str):
            raise ValueError(f"`use` must be 'kind/name'; got {value!r}.")
        return replace(use, key=value, by_hand=use.by_hand | {name})
    settings = {**use.settings, name: value}
    return replace(use, settings=settings, by_hand=use.by_hand | {name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """All registry files, layered.

    Attributes:
        files: Those read, the shipped one first.
        owners: Component -> distribution, by the shipped file.
        disable: Plugin -> the place that lists it.
        allow: The same, or None where no file has an allow-list.
        faults: What the reading itself found wrong; names are judged by `validation`.
    """

    files: tuple[File, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict[str, str])
    disable: Mapping[str, str] = field(default_factory=dict[str, str])
    allow: Mapping[str, str] | None = None
    plugins: Mapping[str, PluginEntry] = field(default_factory=dict[str, PluginEntry])
    presets: Mapping[str, Preset] = field(default_factory=dict[str, Preset])
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict[str, Pipeline])
    faults: tuple[ConfigurationFault, ...] = ()

    def find(self, name: str) -> Pipeline:
        """The pipeline of a name."""
        if name in self.pipelines:
            return self.pipelines[name]
        known = ", ".join(sorted(self.pipelines)) or "none"
        message = f"No pipeline {name!r}.{nearest(name, list(self.pipelines))} There are: {known}."
        raise ConfigurationError(
            [ConfigurationFault(file=None, line=None, path="", message=message)]
        )

    def chain(self, preset: str) -> tuple[Preset, ...]:
        """A preset and those it extends, the farthest first; empty where there is none.

        Raises:
            ConfigurationError: It extends itself, or something that does not exist.
        """
        chain: list[Preset] = []
        name: str | None = preset
        while name is not None and (chain or name in self.presets):
            circle = [p.name for p in chain]
            if name in circle:
                loop = " -> ".join([*circle[circle.index(name) :], name])
                message = f"the presets extend each other in a circle: {loop}. Break it."
                raise ConfigurationError([chain[-1].where.below("extends").fault(message)])
            if name not in self.presets:
                hint = nearest(name, list(self.presets))
                message = f"extends the preset {name!r}, which does not exist.{hint}"
                raise ConfigurationError([chain[-1].where.below("extends").fault(message)])
            chain.append(self.presets[name])
            name = self.presets[name].extends
        return tuple(reversed(chain))

    def preset(self, name: str) -> Mapping[str, tuple[object, Where]]:
        """Setting -> its value and where it is written, with all that the preset extends."""
        return {
            setting: (value, preset.where.below(setting))
            for preset in self.chain(name)
            for setting, value in preset.settings.items()
        }

    def installs(self, key: str) -> str:
        """What to install for a component that a file knows; empty where none does."""
        for entry in self.plugins.values():
            if key in entry.provides and entry.install:
                return f"It comes with {entry.distribution}: `{entry.install}`."
        return ""


def shipped_file() -> Path:
    """The registry file that comes with groundstate."""
    return Path(__file__).with_name(FILE).resolve()


def user_file(path: str | os.PathLike[str] | None = None) -> Path | None:
    """The user's registry file: the one given, the environment's, or the working directory's."""
    named, by = (path, "`registry`") if path is not None else (os.environ.get(VARIABLE), VARIABLE)
    if named:
        if not os.path.isfile(named):
            message = f"{by} names a registry file that does not exist."
            fault = ConfigurationFault(file=Path(named), line=None, path="", message=message)
            raise ConfigurationError([fault])
        return Path(named).absolute()
    here = Path.cwd() / FILE
    return here if here.is_file() and here.resolve() != shipped_file() else None


def read(path: str | os.PathLike[str] | None = None) -> Configuration:
    """Read the shipped file and the user's over it.

    Args:
        path: The user's file; None looks at `GROUNDSTATE_REGISTRY` and the working directory.

    Raises:
        ConfigurationError: A file cannot be read at all: it is missing, is no TOML, or has a
            schema from the future. Faults within a readable file are in `faults`.
    """
    from groundstate.reading import read_file

    shipped, mine = shipped_file(), user_file(path)
    layers: list[Configuration] = []
    if shipped.is_file():
        layers.append(read_file(shipped, shipped=True))
    if mine is not None and mine.resolve() != shipped:
        layers.append(read_file(mine, shipped=False))
    return layered(layers)


def layered(layers: list[Configuration]) -> Configuration:
    """Whole entries of later files replace whole entries of earlier ones."""
    result = Configuration()
    for layer in layers:
        result = Configuration(
            files=(*result.files, *layer.files),
            owners={**result.owners, **layer.owners},
            disable=layer.disable or result.disable,
            allow=layer.allow if layer.allow is not None else result.allow,
            plugins={**result.plugins, **layer.plugins},
            presets={**result.presets, **layer.presets},
            pipelines={**result.pipelines, **layer.pipelines},
            faults=(*result.faults, *layer.faults),
        )
    return result
