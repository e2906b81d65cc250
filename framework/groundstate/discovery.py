"""Finding installed plugins and asking each, inside its own guard, what it offers.

One broken plugin must not take the others down, so that entry points are loaded one by one, each
hook is called and iterated apart, and what goes wrong becomes a `Fault` that names who and how to
cure it. Nothing is remembered between calls: a plugin installed a second ago is seen.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from inspect import isroutine
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy

from groundstate import hooks
from groundstate.component import API, Component, Registered, normalized
from groundstate.errors import Fault, nearest

GROUP = "groundstate"
HOOK = "groundstate_components"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a plugin comes from: what a fault blames and what a listing shows.

    Attributes:
        name: The plugin's name: its entry point, or its entry in a registry file.
        distribution: What pip calls it; for a local module, the plugin's name.
        version: Empty for a local module.
        value: The module to import, or the file of a local module.
        place: Folder of the distribution's metadata, or the registry file.
        local: Whether it is a local module.
    """

    name: str
    distribution: str
    version: str
    value: str
    place: str
    local: bool = False

    @property
    def origin(self) -> str:
        """In words, for listings."""
        if self.local:
            return f"module {self.value}, named in {self.place}"
        return f"entry point {self.name} = {self.value}"

    def fault(self, cause: str, cure: str) -> Fault:
        """Blame this source."""
        return Fault(
            distribution=self.distribution,
            version=self.version,
            entry_point=self.name,
            cause=cause,
            cure=cure,
        )

    @property
    def way_out(self) -> str:
        """The cure that always works."""
        if self.local:
            return f"Correct {self.value}, or disable it with GROUNDSTATE_DISABLE={self.name}."
        return (
            f"Upgrade it, `pip install --upgrade {self.distribution}`, or disable it with "
            f"GROUNDSTATE_DISABLE={self.name}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one plugin offered, and what was wrong with it."""

    components: tuple[Component, ...]
    faults: tuple[Fault, ...]


def scan() -> tuple[tuple[Source, ...], tuple[Fault, ...]]:
    """Every entry point of the group, sorted, without importing any of them."""
    from importlib.metadata import distributions

    importlib.invalidate_caches()
    found: dict[str, tuple[str, tuple[Source, ...]]] = {}
    faults: list[Fault] = []
    for distribution in distributions():
        text = distribution.read_text("entry_points.txt") or ""
        if f"[{GROUP}]" not in text.replace(" ", ""):
            continue
        sources = _sources(distribution)
        if not sources:
            continue
        key = normalized(sources[0].distribution)
        if key not in found:
            found[key] = (sources[0].place, sources)
            continue
        faults += _stale(found[key], sources)
    every = [source for _, sources in found.values() for source in sources]
    return tuple(sorted(every, key=lambda s: (normalized(s.distribution), s.name))), tuple(faults)


def _sources(distribution: Any) -> tuple[Source, ...]:
    # The Distribution API parses the whole of METADATA as an e-mail, which takes as long as all
    # the rest of the scan, and fails where the file is missing.
    metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    header: dict[str, str] = {}
    for line in metadata.split("\n\n", 1)[0].splitlines():
        field, _, text = line.partition(": ")
        header.setdefault(field, text.strip())
    place = str(getattr(distribution, "_path", ""))  # for messages only: public API hides it
    folder = place.replace("\\", "/").rsplit("/", 1)[-1]
    name = header.get("Name") or folder.split("-", 1)[0] or "unknown"
    return tuple(
        Source(
            name=entry_point.name,
            distribution=name,
            version=header.get("Version", ""),
            value=entry_point.value,
            place=place,
        )
        for entry_point in distribution.entry_points
        if entry_point.group == GROUP
    )


def _stale(first: tuple[str, tuple[Source, ...]], again: tuple[Source, ...]) -> list[Fault]:
    place, used = first
    mine = [(s.name, s.value, s.version) for s in used]
    if again[0].place == place or [(s.name, s.value, s.version) for s in again] == mine:
        return []  # one folder seen twice, or an editable install's twin: no contradiction
    ignored = again[0]
    cause = (
        f"its metadata is installed twice: version {used[0].version} in {place}, which is used, "
        f"and version {ignored.version} in {ignored.place}, which is ignored"
    )
    cure = (
        f"Delete the stale folder, or `pip uninstall {ignored.distribution}` twice and reinstall."
    )
    return [ignored.fault(cause, cure)]


def ask(source: Source, load: Callable[[], ModuleType]) -> Offer:
    """Import one plugin with `load` and collect its components, guarded."""
    try:
        with redirect_stdout(sys.stderr):  # a chatty import must not spoil `--json`
            module = load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _refused(source, *_import_trouble(source, error))
    try:
        return _collect(source, module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _refused(source, f"its hook could not be called: {told(error)}", source.way_out)


def _refused(source: Source, cause: str, cure: str) -> Offer:
    return Offer(components=(), faults=(source.fault(cause, cure),))


def told(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _import_trouble(source: Source, error: BaseException) -> tuple[str, str]:
    cause = f"importing {source.value!r} failed with {told(error)}"
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if not missing or source.local:
        return cause, source.way_out
    if missing.split(".")[0] == source.value.split(":")[0].split(".")[0]:
        name = source.distribution
        return (
            cause,
            f"Its files are gone: `pip install --force-reinstall {name}`, or uninstall it.",
        )
    # What pip calls the module's distribution is not known: PIL is pillow, and guessing invites
    # strangers' packages.
    return cause, (
        f"Install what provides {missing.split('.')[0]!r}: `pip install {source.distribution}` "
        "does if its author declared it; or disable the plugin with "
        f"GROUNDSTATE_DISABLE={source.name}."
    )


def _collect(source: Source, module: ModuleType) -> Offer:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    marked = _marked(module)
    # pluggy reads every name of `dir(module)`, which would trigger a plugin's lazy imports.
    plugin = SimpleNamespace(**marked)
    manager.register(plugin, source.name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        return _refused(source, *_misspelt(source, marked))
    if not manager.hook.groundstate_components.get_hookimpls():
        cause = f"{source.value!r} implements no hook `{HOOK}`"
        cure = f"Decorate `def {HOOK}()` with `@groundstate.hookimpl`. {source.way_out}"
        return _refused(source, cause, cure)
    answers: list[object] = manager.hook.groundstate_components()
    if not answers:  # pluggy drops None
        cause = f"its hook `{HOOK}` returned None"
        return _refused(source, cause, f"It must return or yield Components. {source.way_out}")
    return _taken(source, answers)


def _marked(module: ModuleType) -> dict[str, object]:
    """What `hookimpl` decorated in a module."""
    return {
        name: value
        for name, value in list(vars(module).items())
        if isroutine(value) and getattr(value, f"{GROUP}_impl", None) is not None
    }


def _misspelt(source: Source, marked: dict[str, object]) -> tuple[str, str]:
    wrong = sorted(name for name in marked if name != HOOK)
    hint = nearest(wrong[0], [HOOK]).strip() or f"The only hook is '{HOOK}'."
    cause = f"it implements an unknown hook `{wrong[0]}`"
    return cause, f"{hint} {source.way_out}"


def _taken(source: Source, answers: list[object]) -> Offer:
    components: list[Component] = []
    faults: list[Fault] = []
    for component in _each(source, answers, faults):
        trouble = _unfit(source, component, {known.key for known in components})
        if trouble is None and isinstance(component, Component):
            components.append(component)
        elif trouble is not None:
            faults.append(source.fault(*trouble))
    return Offer(components=tuple(components), faults=tuple(faults))


def _each(source: Source, answers: list[object], faults: list[Fault]) -> Iterator[object]:
    """Iterate what the hook returned; what it yielded before it broke stays."""
    for answer in answers:
        if isinstance(answer, Component | str) or not isinstance(answer, Iterable):
            cause = f"its hook `{HOOK}` returned {_short(answer)}, not an iterable of Components"
            faults.append(source.fault(cause, f"Return a list or yield. {source.way_out}"))
            continue
        try:
            with redirect_stdout(sys.stderr):
                yield from answer
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            cause = f"its hook `{HOOK}` failed with {told(error)}"
            cure = source.way_out
            if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
                cure = f"It may be written for a newer core: {_upgrade()} {cure}"
            faults.append(source.fault(cause, cure))


def _unfit(source: Source, value: object, taken: set[str]) -> tuple[str, str] | None:
    if not isinstance(value, Component):
        return f"its hook `{HOOK}` gave {_short(value)}, not a Component", source.way_out
    if value.api > API:
        cause = (
            f"{value.kind}/{value.name} is written for version {value.api} of the plugin "
            f"interface, and this groundstate speaks version {API}"
        )
        return cause, _upgrade()
    if value.key in taken:
        return f"it offers {value.key!r} twice; the first is kept", source.way_out
    return None


def _upgrade() -> str:
    return "Upgrade groundstate: `pip install --upgrade groundstate`."


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def import_entry_point(source: Source) -> ModuleType:
    """Import what an entry point names: a module, or a namespace object within one."""
    module, _, attribute = source.value.partition(":")
    value: Any = importlib.import_module(module.strip())
    for part in filter(None, attribute.split(".")):
        value = getattr(value, part)
    return value


def register(source: Source, components: Iterable[Component]) -> tuple[Registered, ...]:
    """Note with each component where it came from."""
    return tuple(
        Registered(
            component=component,
            distribution=source.distribution,
            version=source.version,
            origin=source.origin,
            plugin=source.name,
            local=source.value if source.local else None,
        )
        for component in components
    )
