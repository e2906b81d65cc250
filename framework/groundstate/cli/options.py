"""Options that several commands have, each declared once."""

import tomllib
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from groundstate.errors import ConfigurationError, ConfigurationFault

Json = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]
RegistryFile = Annotated[
    str | None,
    typer.Option("--registry", help="Registry file to use instead of ./registry.toml."),
]
NoPlugins = Annotated[bool, typer.Option("--no-plugins", help="Load no plugin at all.")]
Seconds = Annotated[
    float | None, typer.Option("--seconds", min=0.0, help="The most time for each solver.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a setting: PART.SETTING=VALUE. May be repeated."),
]


def settings(assignments: Sequence[str] | None) -> dict[str, Any]:
    """`a.b=value` as names and values; a value is read as TOML, and else is a text.

    Raises:
        ConfigurationError: for what is no assignment.
    """
    found: dict[str, Any] = {}
    faults: list[ConfigurationFault] = []
    for assignment in assignments or ():
        name, equals, text = assignment.partition("=")
        if not equals or not name:
            message = f"--set must be PART.SETTING=VALUE, got {assignment!r}."
            faults.append(ConfigurationFault(file=None, line=None, path="", message=message))
            continue
        try:
            found[name.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = text
    if faults:
        raise ConfigurationError(faults)
    return found
