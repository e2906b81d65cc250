"""All plugins in one go: those installed and the local modules that registry files name."""

from collections.abc import Sequence
from dataclasses import dataclass

from groundstate.component import Registered, normalized
from groundstate.configuration import Configuration, PluginEntry
from groundstate.discovery import Offer, Source, ask, import_entry_point, register, scan
from groundstate.errors import Fault
from groundstate.selection import Selection
from groundstate.targets import promised, source_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One row of `groundstate plugins`.

    Attributes:
        name: Its entry point, or its entry in a registry file.
        distribution: What pip calls it; for a local module, its name.
        version: Empty for a local module and for what is not installed.
        origin: Where it was found.
        state: ready, partial (some of it is broken), broken, disabled, local, or not installed.
        provides: Keys of its components: registered ones, or what a registry file says.
        install: The command that installs it, for what is not installed.
    """

    name: str
    distribution: str
    version: str
    origin: str
    state: str
    provides: tuple[str, ...]
    install: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What was found, names not settled yet.

    Attributes:
        records: Every component.
        plugins: Every plugin, those that are broken, disabled or not installed as well.
        faults: What is wrong with them.
        unknown: Sentences on listed plugins that do not exist.
    """

    records: tuple[Registered, ...]
    plugins: tuple[Plugin, ...]
    faults: tuple[Fault, ...]
    unknown: tuple[str, ...]


def gather(configuration: Configuration, selection: Selection) -> Gathered:
    """Ask every wanted plugin what it offers."""
    sources, faults = scan() if selection.plugins else ((), ())
    records: list[Registered] = []
    rows: list[Plugin] = []
    trouble = [f for f in faults if selection.wants(f.entry_point, f.distribution)]
    for source in sources:
        if not selection.wants(source.name, source.distribution):
            rows.append(_row(source, "disabled", _indexed(configuration, source.distribution)))
            continue
        offer = ask(source, lambda source=source: import_entry_point(source))
        records += register(source, offer.components)
        trouble += offer.faults
        keys = [component.key for component in offer.components]
        if offer.faults:  # what it would provide if it worked helps to say why a name is missing
            keys += [key for key in _indexed(configuration, source.distribution) if key not in keys]
        rows.append(_row(source, _state(offer), tuple(keys)))
    installed = {normalized(source.distribution) for source in sources}
    for entry in configuration.plugins.values():
        if entry.module is not None:
            wanted = selection.wants(entry.name, entry.name)
            records += promised(entry) if wanted else ()
            state = "local" if wanted else "disabled"
            rows.append(_row(source_of(entry), state, entry.provides))
        elif entry.distribution and normalized(entry.distribution) not in installed:
            rows.append(_uninstalled(entry, selection))
    return Gathered(
        records=tuple(records),
        plugins=tuple(sorted(rows, key=lambda row: (row.name, row.distribution))),
        faults=tuple(trouble),
        unknown=selection.unknown(*_known(sources, configuration)),
    )


def _state(offer: Offer) -> str:
    if not offer.faults:
        return "ready"
    return "partial" if offer.components else "broken"


def _row(source: Source, state: str, provides: tuple[str, ...]) -> Plugin:
    return Plugin(
        name=source.name,
        distribution=source.distribution,
        version=source.version,
        origin=source.origin,
        state=state,
        provides=provides,
    )


def _uninstalled(entry: PluginEntry, selection: Selection) -> Plugin:
    # With plugins switched off, nobody looked whether it is installed.
    return Plugin(
        name=entry.name,
        distribution=entry.distribution or "",
        version="",
        origin=f"known from {entry.where.file.path}",
        state="not installed" if selection.plugins else "disabled",
        provides=entry.provides,
        install=entry.install if selection.plugins else "",
    )


def _indexed(configuration: Configuration, distribution: str) -> tuple[str, ...]:
    found = [
        entry.provides
        for entry in configuration.plugins.values()
        if entry.distribution and normalized(entry.distribution) == normalized(distribution)
    ]
    return found[0] if found else ()


def _known(
    sources: Sequence[Source], configuration: Configuration
) -> tuple[list[str], dict[str, str]]:
    entries = configuration.plugins.values()
    installed = [name for source in sources for name in (source.name, source.distribution)]
    installed += [entry.name for entry in entries if entry.module is not None]
    indexed = {
        name: f"Install it: `{entry.install}`."
        for entry in entries
        if entry.distribution
        for name in (entry.name, entry.distribution)
    }
    return installed, indexed
