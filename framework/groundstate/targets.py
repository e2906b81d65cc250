"""From a component's record to the thing itself: the only place that imports what plugins name."""

import importlib
import importlib.util
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from groundstate.component import Component, Registered
from groundstate.configuration import PluginEntry
from groundstate.discovery import Offer, Source, ask, register, told
from groundstate.errors import Fault, PluginError, nearest


def source_of(entry: PluginEntry) -> Source:
    """A local module as a source of components."""
    return Source(
        name=entry.name,
        distribution=entry.name,
        version="",
        value=str(entry.module),
        place=str(entry.where),
        local=True,
    )


def promised(entry: PluginEntry) -> tuple[Registered, ...]:
    """What a local module says it provides, without executing it."""
    components = [
        Component(
            kind=key.rsplit(":", 1)[-1].split("/")[0],
            name=key.split("/")[1],
            target=_unread,
            summary=f"from {entry.module}, which is executed on first use",
            examples=_unread,
        )
        for key in entry.provides
    ]
    return tuple(replace(r, loaded=False) for r in register(source_of(entry), components))


def _unread() -> Sequence[object]:
    raise RuntimeError("a local module's component was used before the module was executed")


def execute(entry: PluginEntry) -> Offer:
    """Execute a local module, and hold what it offers against what the file promised."""
    source = source_of(entry)
    offer = ask(source, lambda: _module(Path(source.value)))
    if offer.faults:
        return offer
    offered, named = {c.key for c in offer.components}, set(entry.provides)
    if offered == named:
        return offer
    cause = (
        f"{entry.where} says that it provides {', '.join(sorted(named))}, and its hook gave "
        f"{', '.join(sorted(offered)) or 'nothing'}"
    )
    fault = source.fault(cause, "Make the list `provides` and the hook agree.")
    return Offer(components=offer.components, faults=(fault,))


def _module(path: Path) -> ModuleType:
    # The name holds the path, so that two files of one name do not share a module; staying in
    # sys.modules is what makes a class from the file equal to itself and picklable.
    name = _module_name(path)
    stamp = path.stat().st_mtime_ns
    known = sys.modules.get(name)
    if known is not None and vars(known).get("__stamp__") == stamp:
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    vars(module)["__stamp__"] = stamp
    return module


def _module_name(path: Path) -> str:
    return f"groundstate_local_{path.stem}_{zlib.crc32(str(path.resolve()).encode()):08x}"


def target_of(record: Registered) -> Callable[..., object]:
    """The class or function that makes the component.

    Raises:
        PluginError: It does not exist, is not callable, or needs what is not installed.
    """
    return _object(record, "target", record.component.target)


def examples_of(record: Registered) -> Sequence[object]:
    """The component's small instances.

    Raises:
        PluginError: There are none, or making them failed.
    """
    make = _object(record, "examples", record.component.examples)
    try:
        found = list(cast(Sequence[object], make()))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise broken(record, f"its examples failed with {told(error)}", error) from error
    if not found:
        raise broken(record, "its `examples` gave none; a component must show at least one")
    return found


def _object(record: Registered, field: str, named: object) -> Callable[..., object]:
    if not isinstance(named, str):
        return cast(Callable[..., object], named)
    module, _, attribute = named.partition(":")
    try:
        value: Any = _imported(record, module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise broken(record, _import_cause(field, named, error), error) from error
    for part in attribute.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            hint = nearest(part, dir(value))
            cause = f"its {field} {named!r} does not exist: {module!r} has no {part!r}.{hint}"
            raise broken(record, cause) from None
        except ImportError as error:  # a lazy module resolves the name only now
            raise broken(record, _import_cause(field, named, error), error) from error
    if not callable(value):
        raise broken(record, f"its {field} {named!r} is {value!r}, not a class or function")
    return value


def _imported(record: Registered, module: str) -> ModuleType:
    if record.local is not None and module in (Path(record.local).stem, "__main__"):
        return _module(Path(record.local))
    return importlib.import_module(module)


def missing_module(record: Registered, error: ModuleNotFoundError) -> PluginError:
    """The error that a component needs what is not installed, with the line that installs it."""
    return broken(record, f"it needs the module {error.name!r}, which is not installed", error)


def _import_cause(field: str, named: str, error: BaseException) -> str:
    module = named.partition(":")[0]
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing is not None and (module == missing or module.startswith(f"{missing}.")):
        return f"its {field} {named!r} does not exist: there is no module {missing!r}"
    if missing is not None:
        return f"it needs the module {missing!r}, which is not installed"
    return f"its {field} {named!r} could not be imported: {told(error)}"


def broken(record: Registered, cause: str, error: BaseException | None = None) -> PluginError:
    """The error that one component cannot be used."""
    fault = Fault(
        distribution=record.distribution,
        version=record.version,
        entry_point=record.plugin,
        cause=f"{record.key!r} cannot be used: {cause}",
        cure=_cure(record, error),
    )
    return PluginError([fault])


def _cure(record: Registered, error: BaseException | None) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    root = (missing or "").split(".")[0]
    target = record.component.target
    own = isinstance(target, str) and target.split(":")[0].split(".")[0] == root
    if root and not own:
        for extra in record.component.extras:
            requirement, _, modules = extra.partition(":")
            if not modules.strip() or root in modules.replace(",", " ").split():
                return f"Install the optional part: `pip install '{requirement.strip()}'`."
        name = record.distribution
        return f"Install what provides it: `pip install {name}` does if its author declared it."
    if record.local is not None:
        return f"Correct {record.local}."
    if not record.version:
        return "Correct the component that was handed in."
    name = record.distribution
    return f"Upgrade it, `pip install --upgrade {name}`, or report it to its author."
