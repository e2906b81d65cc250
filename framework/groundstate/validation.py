"""Whether what the registry files say can be: every name, reference, view and setting.

Nothing is imported to find out, except with `deep`, which asks every component's own signature.
"""

from collections.abc import Collection, Iterator

from groundstate.component import Registered
from groundstate.configuration import PARTS, Pipeline, PluginEntry, Preset, Use
from groundstate.errors import (
    ConfigurationError,
    ConfigurationFault,
    PluginError,
    RegistryError,
    nearest,
)
from groundstate.locate import written
from groundstate.references import Reference, literal, references
from groundstate.registry import Registry
from groundstate.targets import execute

_ENOUGH = "either `energy` and `solver`, or `model`, `loss` and `learner`"


def validate(
    registry: Registry, *, deep: bool = False, pipelines: Collection[str] | None = None
) -> tuple[ConfigurationFault, ...]:
    """Every fault in the registry files.

    Args:
        registry: The registry whose `configuration` is judged.
        deep: Whether to import the components and check settings against their signatures, too.
        pipelines: Only these pipelines; None for everything.
    """
    configuration = registry.configuration
    faults = list(configuration.faults)
    if pipelines is None:
        for entry in configuration.plugins.values():
            faults += _plugin(entry, deep)
        for preset in configuration.presets.values():
            faults += _preset(registry, preset, deep)
    else:
        heads = {("pipelines", name) for name in pipelines}
        wanted = {written(head) for head in heads}
        faults = [f for f in faults if any(_within(f.path, name) for name in wanted)]
    for pipeline in configuration.pipelines.values():
        if pipelines is None or pipeline.name in pipelines:
            faults += check_pipeline(registry, pipeline, deep=deep)
    return tuple(sorted(set(faults), key=lambda f: (str(f.file), f.line or 0, f.path, f.message)))


def _within(path: str, head: str) -> bool:
    return path == head or path.startswith((f"{head}.", f"{head}["))


def _plugin(entry: PluginEntry, deep: bool) -> Iterator[ConfigurationFault]:
    if entry.module is None:
        return
    if not entry.module.is_file():
        message = f"there is no file {entry.module}; the path starts at this file's folder."
        yield entry.where.below("module").fault(message)
    elif deep:
        for fault in execute(entry).faults:
            yield entry.where.fault(str(fault))


def _preset(registry: Registry, preset: Preset, deep: bool) -> Iterator[ConfigurationFault]:
    try:
        settings = registry.configuration.preset(preset.name)
    except ConfigurationError as error:
        yield from error.faults
        return
    if "/" not in preset.name:
        return  # a group of settings for others to extend
    record, faults = _known(registry, preset.name)
    for message in faults:
        yield preset.where.fault(message)
    if record is None or not deep:
        return
    try:
        signature = registry.signature(preset.name)
    except PluginError as error:
        yield preset.where.fault(str(error))
        return
    for problem in signature.check({name: value for name, (value, _) in settings.items()}).problems:
        name = str(problem.path[0])
        if name in settings:  # what is missing may be given later
            yield settings[name][1].below(*problem.path[1:]).fault(problem.message)


def _known(registry: Registry, key: str) -> tuple[Registered | None, tuple[str, ...]]:
    try:
        return registry[key], ()
    except RegistryError as error:
        return None, (str(error),)


def _record(registry: Registry, key: str, deep: bool) -> Registered | None:
    """A component's record if it can be had: what is wrong with it is told elsewhere."""
    try:
        return registry.loaded(key) if deep else registry[key]
    except (RegistryError, PluginError):
        return None


def check_pipeline(
    registry: Registry, pipeline: Pipeline, *, deep: bool = False
) -> tuple[ConfigurationFault, ...]:
    """Every fault in one pipeline, which need not be in a file as it is."""
    faults: list[ConfigurationFault] = []
    parts = set(pipeline.parts)
    if not ({"energy", "solver"} <= parts or {"model", "loss", "learner"} <= parts):
        has = ", ".join(role for role in PARTS if role in parts) or "no part"
        faults.append(pipeline.where.fault(f"a pipeline needs {_ENOUGH}; this one has {has}."))
    for role, use in pipeline.uses():
        faults += _use(registry, pipeline, role, use, deep)
    faults += _views(registry, pipeline, deep)
    return tuple(faults)


def _use(
    registry: Registry, pipeline: Pipeline, role: str, use: Use, deep: bool
) -> Iterator[ConfigurationFault]:
    kinds = PARTS.get(role, ("adapter",))
    kind = use.key.rpartition(":")[2].split("/")[0]
    if kind not in kinds:
        yield use.fault(f"must be of kind {' or '.join(kinds)}; got {use.key!r}.", "use")
    for found in references(dict(use.settings)):
        trouble = _reference(registry, pipeline, role, found, deep)
        if trouble:
            yield use.fault(trouble, *found.path)
    record, messages = _known(registry, use.key)
    for message in messages:
        yield use.fault(message, "use")
    if record is not None and deep:
        yield from _deep(registry, pipeline, role, use)


def _reference(
    registry: Registry, pipeline: Pipeline, role: str, found: Reference, deep: bool
) -> str:
    """What is wrong with a reference; empty if nothing."""
    order = list(PARTS)
    own = order.index("energy") if role == "through" else order.index(role)
    earlier = [part for part in order[:own] if part in pipeline.parts]
    if found.part not in earlier:
        names = ", ".join(f"@{part}" for part in earlier) or "none"
        later = found.part in pipeline.parts
        why = "is not made before this part" if later else "is no part of this pipeline"
        hint = nearest(found.part, earlier)
        return f"{found.text!r}: {found.part!r} {why}.{hint} Earlier parts: {names}."
    if not found.output:
        return ""
    record = _record(registry, pipeline.parts[found.part].key, deep)
    if record is None or not record.loaded:
        return ""  # an unknown component is its own fault; a local module is read on use
    outputs = record.component.gives if record.component.kind == "dataset" else ()
    if found.output in outputs:
        return ""
    hint = nearest(found.output, outputs)
    gives = ", ".join(outputs) or "no outputs by name"
    return f"{found.text!r}: {record.key!r} gives no {found.output!r}.{hint} It gives {gives}."


def _views(registry: Registry, pipeline: Pipeline, deep: bool) -> Iterator[ConfigurationFault]:
    """Energies and solvers that do not fit, models and losses that do not."""
    energy, model = pipeline.parts.get("energy"), pipeline.parts.get("model")
    pairs: list[tuple[Use, Use]] = []
    solvers = [*filter(None, [pipeline.parts.get("solver")]), *pipeline.compare]
    pairs += [(giver, use) for use in solvers if (giver := use.energy or energy or model)]
    pairs += [(model, use) for use in [pipeline.parts.get("loss")] if model and use]
    for giver, use in pairs:
        through = use.through.key if use.through is not None else None
        if through is not None and "adapter/" not in through:
            continue  # a wrong kind is a fault already
        try:
            message = registry.mismatch(giver.key, use.key, through, deep=deep)
        except (RegistryError, PluginError):
            continue  # an unknown name, or a broken local module, is a fault already
        if message:
            yield use.fault(message)


def _deep(
    registry: Registry, pipeline: Pipeline, role: str, use: Use
) -> Iterator[ConfigurationFault]:
    try:
        signature = registry.signature(use.key)
        preset = registry.preset(use.key)
    except PluginError as error:
        yield use.fault(str(error), "use")
        return
    except ConfigurationError:
        return  # a broken preset is a fault already
    later = {found.path[0] for found in references(dict(use.settings))}
    bound = _bound(registry, pipeline, role)
    values = {name: value for name, (value, _) in preset.items()}
    values |= {name: literal(v) for name, v in use.settings.items() if name not in later}
    names = {str(name) for name in later} | (bound & set(signature.parameters))
    for problem in signature.check(values, later=names - set(values)).problems:
        name = str(problem.path[0])
        if name in use.settings:
            yield use.fault(problem.message, *problem.path)
        elif name in preset:
            yield preset[name][1].fault(problem.message)
        else:
            yield use.fault(f"`{name}`: {problem.message}")


def _bound(registry: Registry, pipeline: Pipeline, role: str) -> set[str]:
    """Inputs that need no mention, since a metric takes the dataset's outputs by name."""
    dataset = pipeline.parts.get("dataset")
    record = _record(registry, dataset.key, True) if dataset and role == "metrics" else None
    return set(record.component.gives) if record is not None else set()
