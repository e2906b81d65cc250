"""Which plugins are wanted: one vocabulary for the registry file, the environment and a call.

A listed name is a plugin's name (its entry point, or its entry in a registry file) or its
distribution. What is disabled in any of the three places stays off; of the allow-lists, the call's
goes before the environment's, which goes before the file's.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from groundstate.component import normalized
from groundstate.errors import nearest

DISABLE = "GROUNDSTATE_DISABLE"
ALLOW = "GROUNDSTATE_ALLOW"
NO_PLUGINS = "GROUNDSTATE_NO_PLUGINS"
STRICT = "GROUNDSTATE_STRICT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What is switched off, and what alone is switched on.

    Attributes:
        disable: Name -> where it was listed.
        allow: The same, or None where nothing is listed and so everything is allowed.
        plugins: False loads none at all.
    """

    disable: Mapping[str, str]
    allow: Mapping[str, str] | None
    plugins: bool

    def wants(self, name: str, distribution: str) -> bool:
        """Whether a plugin is to be loaded."""
        names = {normalized(name), normalized(distribution)}
        if not self.plugins or names & set(self.disable):
            return False
        return self.allow is None or bool(names & set(self.allow))

    def unknown(self, installed: Collection[str], indexed: Mapping[str, str]) -> tuple[str, ...]:
        """One sentence for each listed name that is no plugin.

        Args:
            installed: Names and distributions of what is there.
            indexed: Names and distributions in the registry files -> what installs them.
        """
        if not self.plugins:
            return ()
        known = {normalized(name) for name in installed}
        index = {normalized(name): line for name, line in indexed.items()}
        lines: list[str] = []
        for name, place in {**self.disable, **(self.allow or {})}.items():
            if name in known or (name in index and name in self.disable):
                continue
            text = f"{place} lists the plugin {name!r}, but no such plugin is installed."
            hint = f" {index[name]}" if name in index else nearest(name, [*known, *index])
            lines.append(text + hint)
        return tuple(lines)


def select(
    *,
    file_disable: Mapping[str, str],
    file_allow: Mapping[str, str] | None,
    disable: Collection[str] = (),
    allow: Collection[str] | None = None,
    plugins: bool = True,
) -> Selection:
    """Combine what the registry file, the environment and a call say."""
    off = {normalized(name): place for name, place in file_disable.items()}
    off |= dict.fromkeys(_listed(DISABLE), DISABLE)
    off |= {normalized(name): "`disable`" for name in disable}
    only = file_allow
    if names := _listed(ALLOW):
        only = dict.fromkeys(names, ALLOW)
    if allow is not None:
        only = dict.fromkeys(allow, "`allow`")
    if only is not None:
        only = {normalized(name): place for name, place in only.items()}
    return Selection(disable=off, allow=only, plugins=plugins and not switched_on(NO_PLUGINS))


def switched_on(variable: str) -> bool:
    """Whether an environment variable is set to anything but a no."""
    return os.environ.get(variable, "").strip().lower() not in ("", "0", "false", "no", "off")


def _listed(variable: str) -> list[str]:
    words = os.environ.get(variable, "").replace(",", " ").split()
    return [normalized(word) for word in words]
