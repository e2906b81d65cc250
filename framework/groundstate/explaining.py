"""What each name of a pipeline resolves to, and why: data for `groundstate explain` and `show`."""

from collections.abc import Iterator
from dataclasses import dataclass

from groundstate.configuration import Pipeline, Use
from groundstate.errors import ConfigurationError, PluginError, RegistryError
from groundstate.locate import lines_of
from groundstate.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingReason:
    """One setting: its value, and which file or default gave it."""

    name: str
    value: object
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReason:
    """One part of a pipeline.

    Attributes:
        role: dataset, energy, solver, through, ...
        use: The name as written.
        written: File and line.
        qualified: What the name resolves to; empty if to nothing.
        distribution: Who provides it.
        version: Which version of that.
        origin: How it was found, in words.
        settings: Each setting, and why it has its value.
        trouble: Why the name resolves to nothing, or the preset is broken; empty if all is well.
    """

    role: str
    use: str
    written: str
    qualified: str
    distribution: str
    version: str
    origin: str
    settings: tuple[SettingReason, ...]
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """All that can be said of a pipeline without importing anything."""

    name: str
    summary: str
    reason: str
    parts: tuple[PartReason, ...]


def explain(registry: Registry, pipeline: Pipeline, *, deep: bool = False) -> Explanation:
    """Say what each name of a pipeline resolves to, and why.

    Args:
        registry: Where names are looked up.
        pipeline: The pipeline.
        deep: Whether to import the components to list the defaults, too.
    """
    file = pipeline.where.file
    reason = f"{'shipped' if file.shipped else 'yours'}, {pipeline.where}"
    shipped = [other for other in registry.configuration.files if other.shipped]
    if not file.shipped and any(
        ("pipelines", pipeline.name) in lines_of(other.text) for other in shipped
    ):
        reason += ", in place of the shipped one"
    return Explanation(
        name=pipeline.name,
        summary=pipeline.summary,
        reason=reason,
        parts=tuple(_part(registry, role, use, deep) for role, use in pipeline.uses()),
    )


def _part(registry: Registry, role: str, use: Use, deep: bool) -> PartReason:
    try:
        record, trouble = registry[use.key], ""
    except RegistryError as error:
        record, trouble = None, str(error)
    settings: tuple[SettingReason, ...] = ()
    try:
        settings = tuple(_settings(registry, use, deep and record is not None))
    except (ConfigurationError, PluginError) as error:
        trouble = trouble or str(error)
    return PartReason(
        role=role,
        use=use.key,
        written=str(use.where),
        qualified=record.qualified if record else "",
        distribution=record.distribution if record else "",
        version=record.version if record else "",
        origin=record.origin if record else "",
        settings=settings,
        trouble=trouble,
    )


def _settings(registry: Registry, use: Use, deep: bool) -> Iterator[SettingReason]:
    for name, value in use.settings.items():
        place = "set by hand" if name in use.by_hand else f"{use.where.below(name)}"
        yield SettingReason(name=name, value=value, reason=place)
    try:
        preset = registry.preset(use.key)
    except RegistryError:
        return
    for name, (value, where) in preset.items():
        if name not in use.settings:
            yield SettingReason(name=name, value=value, reason=f"preset, {where}")
    for parameter in registry.signature(use.key).settings if deep else ():
        if parameter.name not in use.settings and parameter.name not in preset:
            default = "required" if parameter.required else parameter.default
            yield SettingReason(name=parameter.name, value=default, reason="default")
