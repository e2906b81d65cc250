"""`groundstate show`, `explain`, `validate` and `doctor`."""

import json
import sys
from dataclasses import asdict
from importlib import metadata
from typing import Any, cast

from groundstate.cli.listing import columns, open_registry
from groundstate.explaining import explain
from groundstate.registry import Registry
from groundstate.validation import validate

FAILED = 1


def show_command(name: str, *, deep: bool, as_json: bool, registry: str | None) -> None:
    """Everything that is known of one component."""
    opened = open_registry(registry)
    record = opened[name]
    component = record.component
    facts: dict[str, Any] = {
        "key": opened.spelling(record),
        "summary": component.summary,
        "distribution": record.distribution,
        "version": record.version,
        "origin": record.origin,
        "target": component.target if isinstance(component.target, str) else "an object",
        "source": component.source,
        "gives": list(component.gives),
        "needs": list(component.needs),
        "claims": list(component.claims),
        "extras": list(component.extras),
    }
    if deep:
        signature = opened.signature(name)
        facts["settings"] = [_parameter(each) for each in signature.settings]
        facts["inputs"] = [_parameter(each) for each in signature.inputs]
        if as_json:
            facts["schema"] = opened.schema(name)
    if as_json:
        print(json.dumps(facts, indent=1, default=str))
        return
    for label, value in facts.items():
        if label in ("settings", "inputs"):
            print(f"{label}:")
            for row in value:
                need = "required" if row["required"] else f"default {row['default']}"
                print(f"  {row['name']}  ({need})  {row['text']}")
        elif value:
            print(f"{label}: {_text(value)}")
    if not deep:
        print("(--deep imports it and lists its settings)")


def _text(value: Any) -> str:
    return ", ".join(cast(list[str], value)) if isinstance(value, list) else str(value)


def _parameter(parameter: Any) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "required": parameter.required,
        "default": None if parameter.required else repr(parameter.default),
        "text": " ".join(parameter.text.split()),
    }


def explain_command(name: str, *, deep: bool, as_json: bool, registry: str | None) -> None:
    """What each name of a pipeline resolves to, and why."""
    opened = open_registry(registry)
    found = explain(opened, opened.configuration.find(name), deep=deep)
    if as_json:
        print(json.dumps(asdict(found), indent=1, default=str))
        return
    print(f"{found.name}: {found.summary}\n  {found.reason}")
    for part in found.parts:
        where = f"{part.distribution} {part.version}".strip()
        print(f"\n{part.role}: {part.use}  ({part.written})")
        print(f"  {part.trouble or f'{part.qualified} from {where}, {part.origin}'}")
        for setting in part.settings:
            print(f"  {setting.name} = {setting.value!r}  ({setting.reason})")


def validate_command(*, deep: bool, as_json: bool, registry: str | None) -> int:
    """Every fault of the registry files."""
    opened = open_registry(registry)
    faults = validate(opened, deep=deep)
    files = [str(file.path) for file in opened.configuration.files]
    if as_json:
        rows = [
            {"file": str(f.file), "line": f.line, "path": f.path, "message": f.message}
            for f in faults
        ]
        print(json.dumps({"files": files, "faults": rows}, indent=1))
    else:
        for fault in faults:
            print(fault)
        if not faults:
            print(f"no faults in {', '.join(files)}")
    return FAILED if faults else 0


def doctor_command(*, as_json: bool, registry: str | None) -> int:
    """What is wrong with this installation: plugins, registry files, libraries."""
    opened = open_registry(registry)
    checks = list(_checks(opened))
    bad = [check for check in checks if check["cure"]]
    if as_json:
        print(json.dumps({"checks": checks, "ok": not bad}, indent=1))
        return FAILED if bad else 0
    rows = [
        ("bad" if c["cure"] else "ok", c["what"], c["found"] + (c["cure"] and f"  -> {c['cure']}"))
        for c in checks
    ]
    print("\n".join(columns(("", "WHAT", "FOUND"), rows)))
    return FAILED if bad else 0


def _checks(registry: Registry) -> list[dict[str, str]]:
    def check(what: str, found: str, cure: str = "") -> dict[str, str]:
        return {"what": what, "found": found, "cure": cure}

    checks = [check("python", sys.version.split()[0])]
    for name, extra in (
        ("groundstate", ""),
        ("torch", ""),
        ("pydantic", ""),
        ("matplotlib", "report"),
        ("pillow", "report"),
        ("hypothesis", "test"),
        ("pytest", "test"),
    ):
        try:
            checks.append(check(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            cure = f"pip install 'groundstate[{extra}]'" if extra else f"pip install {name}"
            checks.append(check(name, "not installed", cure))
    for plugin in registry.plugins:
        state = f"{plugin.state} {plugin.version}".strip()
        checks.append(check(f"plugin {plugin.name}", state, plugin.install))
    for fault in (*registry.faults, *registry.deep_faults()):
        checks.append(check(fault.distribution, fault.cause, fault.cure))
    for wrong in validate(registry, deep=True):
        checks.append(check(f"registry {wrong.path}", wrong.message, f"see {wrong.file}"))
    return checks
