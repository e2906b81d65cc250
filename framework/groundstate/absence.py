"""Why a name is not in the registry, and what to do about it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from groundstate.component import normalized
from groundstate.errors import nearest
from groundstate.naming import cure

if TYPE_CHECKING:
    from groundstate.gathering import Plugin
    from groundstate.registry import Registry


def why_absent(registry: "Registry", key: str) -> str:
    """One sentence or two: claimed twice, not installed, disabled, broken, or misspelt."""
    if key in registry.names.contested:
        return _contested(registry, key)
    plain = key.rpartition(":")[2]
    rows = [plugin for plugin in registry.plugins if plain in plugin.provides]
    if rows and ":" not in key:
        return f"No component {key!r}. {_reason(registry, rows[0])}"
    known = [*registry.names.plain, *(name for row in registry.plugins for name in row.provides)]
    if ":" in key:
        known += registry.names.qualified
    hint = nearest(key, known).strip() or _overview(registry.names.plain, key)
    return f"No component {key!r}. {hint}"


def _contested(registry: "Registry", key: str) -> str:
    claimants = registry.names.contested[key]
    who = " and by ".join(f"{r.distribution} {r.version}".strip() for r in claimants)
    choice = cure(key, claimants)
    owner = registry.configuration.owners.get(key)
    if owner is not None and len(claimants) == 1:
        absent = f"{key!r} belongs to {owner}, which does not provide it here"
        return f"{absent} (`pip install {owner}`). {who} claims it: {choice}"
    return f"{key!r} is claimed by {who}. {choice}"


def _reason(registry: "Registry", plugin: "Plugin") -> str:
    if plugin.state == "disabled":
        return f"The plugin {plugin.name!r}, which has it, is disabled."
    if plugin.install:
        return f"It comes with {plugin.distribution}: `{plugin.install}`."
    name = normalized(plugin.distribution)
    broken = [fault for fault in registry.faults if normalized(fault.distribution) == name]
    come = f"It comes with {plugin.distribution} {plugin.version}".rstrip()
    if not broken:
        return f"{come}, which does not register it."
    return f"{come}, which is broken: {broken[0].cause}. {broken[0].cure}"


def _overview(names: Iterable[str], key: str) -> str:
    kind = key.split("/")[0]
    alike = sorted(name for name in names if name.startswith(f"{kind}/"))[:10]
    if alike:
        return f"Registered: {', '.join(alike)}."
    return "`groundstate components` lists what there is."
