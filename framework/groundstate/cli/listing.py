"""`plugins` and `components`: plain text or JSON, nothing heavy imported.

`answer` takes the usual spellings of these two commands; anything else (such as `--help`) is left
to the full command line in `groundstate.cli.app`, which calls the same functions.
"""

import json
from collections.abc import Sequence

from groundstate.component import KINDS
from groundstate.errors import GroundstateError, RegistryError, nearest
from groundstate.registry import Registry, load

_VALUED = ("--registry",)
_FLAGS = ("--json", "--no-plugins")


def answer(arguments: Sequence[str]) -> int | None:
    """Answer a plain listing; None if the arguments are none.

    Returns:
        The exit code.
    """
    if not arguments or arguments[0] not in ("plugins", "components"):
        return None
    command, *rest = arguments
    words: list[str] = []
    options: dict[str, str] = {}
    while rest:
        head = rest.pop(0)
        if head in _FLAGS:
            options[head] = ""
        elif head in _VALUED and rest:
            options[head] = rest.pop(0)
        elif head.startswith("-"):
            return None
        else:
            words.append(head)
    if len(words) > (command == "components"):
        return None
    try:
        registry = open_registry(options.get("--registry"), plugins="--no-plugins" not in options)
        as_json = "--json" in options
        if command == "plugins":
            text = plugins_text(registry, as_json=as_json)
        else:
            text = components_text(registry, words[0] if words else None, as_json=as_json)
    except GroundstateError:
        return None  # the full command line tells it with an exit code
    print(text)
    return 0


def open_registry(path: str | None, *, plugins: bool = True) -> Registry:
    """The registry, with nothing warned about: commands print the faults themselves."""
    return load(path, plugins=plugins, warn=False)


def plugins_text(registry: Registry, *, as_json: bool) -> str:
    """Every plugin, its state, and what is wrong."""
    if as_json:
        rows = [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "version": plugin.version,
                "state": plugin.state,
                "origin": plugin.origin,
                "provides": list(plugin.provides),
                "install": plugin.install,
            }
            for plugin in registry.plugins
        ]
        faults = [
            {
                "distribution": fault.distribution,
                "version": fault.version,
                "entry_point": fault.entry_point,
                "cause": fault.cause,
                "cure": fault.cure,
            }
            for fault in registry.faults
        ]
        return json.dumps({"plugins": rows, "faults": faults}, indent=1)
    lines = columns(
        ("PLUGIN", "VERSION", "STATE", "PROVIDES"),
        [
            (
                plugin.name,
                plugin.version or "-",
                plugin.state,
                plugin.install or f"{len(plugin.provides)} components",
            )
            for plugin in registry.plugins
        ],
    )
    lines += [f"! {fault}" for fault in registry.faults]
    lines += [f"! {sentence}" for sentence in registry.unknown]
    return "\n".join(lines)


def components_text(registry: Registry, kind: str | None, *, as_json: bool) -> str:
    """Every component of a kind, or of all.

    Raises:
        RegistryError: there is no such kind.
    """
    if kind is not None and kind not in KINDS:
        kinds = ", ".join(sorted(KINDS))
        raise RegistryError(f"No kind {kind!r}.{nearest(kind, sorted(KINDS))} Kinds: {kinds}.")
    records = registry.components(kind)
    if as_json:
        return json.dumps(
            [
                {
                    "key": registry.spelling(record),
                    "kind": record.component.kind,
                    "name": record.component.name,
                    "distribution": record.distribution,
                    "version": record.version,
                    "summary": record.component.summary,
                    "gives": list(record.component.gives),
                    "needs": list(record.component.needs),
                    "claims": list(record.component.claims),
                }
                for record in records
            ],
            indent=1,
        )
    if not records:
        what = f"of kind {kind!r}" if kind else "registered"
        return f"No component {what}. `groundstate plugins` shows what is installed."
    return "\n".join(
        columns(
            ("COMPONENT", "FROM", "SUMMARY"),
            [(registry.spelling(r), r.distribution, r.component.summary) for r in records],
        )
    )


def columns(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Text in columns, the last one ragged."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head) - 1)]
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in table
    ]
