"""What can go wrong, as types: catch `GroundstateError` for all of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class GroundstateError(Exception):
    """Any error that groundstate raises on its own account."""


class RegistryError(GroundstateError, KeyError):
    """A name that the registry cannot answer: unknown, claimed twice, or not installed."""

    # A Mapping must raise KeyError, whose own __str__ would print the message in quotes.
    __str__ = Exception.__str__


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with one installed plugin, and what to do about it.

    Attributes:
        distribution: The distribution to blame, as `pip` calls it.
        version: Its version; empty for local modules and components given in a script.
        entry_point: The plugin's name within the distribution.
        cause: What happened.
        cure: What to do.
    """

    distribution: str
    version: str
    entry_point: str
    cause: str
    cure: str

    def __str__(self) -> str:
        """The fault on one line."""
        name = f"{self.distribution} {self.version}".strip()
        stop = "" if self.cause.endswith(("?", ".")) else "."
        text = f"{name} (plugin {self.entry_point!r}): {self.cause}{stop} {self.cure}"
        return " ".join(text.split())


class PluginError(GroundstateError):
    """A plugin is broken, and it was asked for (or `GROUNDSTATE_STRICT` is set)."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class PluginWarning(UserWarning):
    """A plugin is broken or a listed plugin does not exist; everything else works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationFault:
    """One thing that is wrong in a registry file.

    Attributes:
        file: The file, or None for settings that came from a call.
        line: Line in the file, from 1, where known.
        path: Dotted path of the entry, such as `pipelines.segment.solver.tolerance`.
        message: What must hold, what there is, what to do.
    """

    file: Path | None
    line: int | None
    path: str
    message: str

    def __str__(self) -> str:
        """The fault on one line, in the form that editors turn into a link."""
        line = f":{self.line}" if self.line is not None else ""
        place = f"{self.file}{line}: " if self.file is not None else ""
        path = f"{self.path}: " if self.path else ""
        return place + path + " ".join(self.message.split())


class ConfigurationError(GroundstateError, ValueError):
    """Settings, inputs or a registry file are wrong; carries every fault found, not the first."""

    def __init__(self, faults: Sequence[ConfigurationFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class InputError(GroundstateError, ValueError):
    """What a component was given cannot be used; names the component."""


class OutputError(GroundstateError):
    """The place where output should go cannot be written, or is not ours to replace."""


class ViewError(GroundstateError, TypeError):
    """An energy does not have the structure that was asked for."""


class CertificationError(GroundstateError):
    """A plugin claims what is not true."""


class GradientError(GroundstateError):
    """A gradient was asked for that is not to be had."""


class FormatError(GroundstateError, ValueError):
    """A file does not hold what its format asks for.

    Attributes:
        path: The file.
        line: Line in the file, from 1; None for binary files.
        expected: What should stand there.
    """

    def __init__(self, path: Path, line: int | None, expected: str, found: str) -> None:
        self.path = path
        self.line = line
        self.expected = expected
        place = str(path) if line is None else f"{path}:{line}"
        super().__init__(f"{place}: expected {expected}, found {found}")


def nearest(name: str, names: Sequence[str], limit: int = 3) -> str:
    """A sentence that offers the names closest to `name`; empty when none is close."""
    from difflib import get_close_matches  # slow to import, and only errors need it

    known = sorted(set(names))
    if "/" not in name:
        close = get_close_matches(name, known, limit, 0.6)
        close += [key for key in known if key.endswith(f"/{name}") and key not in close]
    else:  # a kind in common makes all names look alike: compare what follows it
        kind, word = name.rsplit("/", 1)
        alike = {key.rsplit("/", 1)[1]: key for key in known if key.startswith(f"{kind}/")}
        close = [alike[found] for found in get_close_matches(word, list(alike), limit, 0.6)]
        close += [key for key in known if key.endswith(f"/{word}") and key not in close]
    if not close:
        return ""
    return f" Did you mean {' or '.join(repr(word) for word in close[:limit])}?"
