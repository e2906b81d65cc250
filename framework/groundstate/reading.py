"""One registry file, from text to entries; every fault of form is found and none is fatal.

Only what makes the whole file unreadable raises: no such file, text that is not TOML, a schema
from the future.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from groundstate.component import KINDS
from groundstate.configuration import (
    PARTS,
    SCHEMA,
    Configuration,
    File,
    Pipeline,
    PluginEntry,
    Preset,
    Use,
    Where,
    scalar_trouble,
)
from groundstate.errors import ConfigurationError, ConfigurationFault, nearest

KEY = re.compile(r"([A-Za-z0-9][\w.-]*:)?[a-z]+/[a-z][a-z0-9]*(-[a-z0-9]+)*")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_TOP = ("schema", "settings", "plugins", "presets", "pipelines")
_PLUGIN = ("distribution", "module", "provides", "status")
_STATUS = ("stable", "experimental")
_SCALARS = ("summary", "seed", "steps", "seconds")

Table = Mapping[str, object]


def read_file(path: Path, *, shipped: bool) -> Configuration:
    """Read one file."""
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = int(found.group(1)) if found else text.count("\n") + 1
        raise _unreadable(path, line, f"not valid TOML: {error}.") from None
    file = File(path=path, text=text, shipped=shipped)
    reader = _Reader(file)
    reader.schema(data)
    return reader.configuration(data)


def read_pipeline(path: Path, name: str, table: Table) -> Pipeline:
    """A pipeline that stands in another file than a registry, such as the record of a run.

    Raises:
        ConfigurationError: The table is no pipeline.
    """
    reader = _Reader(File(path=path, text="", shipped=False))
    pipeline = reader.configuration({"pipelines": {name: table}}).pipelines.get(name)
    if reader.faults or pipeline is None:
        raise ConfigurationError(reader.faults)
    return pipeline


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, None, f"cannot be read: {error.strerror}.") from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, line, f"must be UTF-8 text: {error.reason}.") from None


def _unreadable(path: Path, line: int | None, message: str) -> ConfigurationError:
    return ConfigurationError([ConfigurationFault(file=path, line=line, path="", message=message)])


class _Reader:
    """Turns the parsed tables of one file into entries, collecting faults on the way."""

    def __init__(self, file: File) -> None:
        self.top = Where(file=file, path=())
        self.faults: list[ConfigurationFault] = []

    def schema(self, data: Table) -> None:
        where, found = self.top.below("schema"), data.get("schema")
        if found is None:
            self.faults.append(where.fault(f"the file must say `schema = {SCHEMA}` at its top."))
        elif type(found) is not int or found < 1:
            self.faults.append(where.fault(f"must be the whole number {SCHEMA}; got {found!r}."))
        elif found > SCHEMA:
            message = (
                f"is {found}, and this groundstate reads up to {SCHEMA}. Upgrade groundstate: "
                "`pip install --upgrade groundstate`."
            )
            raise ConfigurationError([where.fault(message)])

    def configuration(self, data: Table) -> Configuration:
        self._keys(data, _TOP, self.top, "A registry file")
        disable, allow = self._settings(data)
        plugins = {
            n: e for n, t, w in self._tables(data, "plugins") if (e := self._plugin(n, t, w))
        }
        file = self.top.file
        return Configuration(
            files=(file,),
            owners={
                key: entry.distribution
                for entry in plugins.values()
                for key in entry.provides
                if file.shipped and entry.distribution
            },
            disable=disable,
            allow=allow,
            plugins=plugins,
            presets={n: self._preset(n, t, w) for n, t, w in self._tables(data, "presets")},
            pipelines={n: self._pipeline(n, t, w) for n, t, w in self._tables(data, "pipelines")},
            faults=tuple(self.faults),
        )

    def _settings(self, data: Table) -> tuple[dict[str, str], dict[str, str] | None]:
        where = self.top.below("settings")
        table = self._table(data.get("settings", {}), where) or {}
        self._keys(table, ("disable", "allow"), where, "`[settings]`")
        lists: dict[str, dict[str, str]] = {}
        for name in ("disable", "allow"):
            if name in table:
                place = where.below(name)
                listed = self._names(table[name], place)
                lists[name] = dict.fromkeys(listed, f"{place} ({name})") if listed else {}
        return lists.get("disable", {}), lists.get("allow")

    def _plugin(self, name: str, table: Table, where: Where) -> PluginEntry | None:
        self._keys(table, _PLUGIN, where, "A plugin")
        distribution, module = table.get("distribution"), table.get("module")
        for key in ("distribution", "module"):
            if key in table and (not isinstance(table[key], str) or not table[key]):
                self._bad(where.below(key), f"must be a text; got {table[key]!r}.")
                return None
        if (distribution is None) == (module is None):
            self._bad(
                where,
                "must have either `distribution`, what pip installs, or `module`, the path of a "
                "Python file; it has " + ("neither." if module is None else "both."),
            )
            return None
        status = table.get("status", "stable")
        if status not in _STATUS:
            self._bad(where.below("status"), f"must be {' or '.join(_STATUS)}; got {status!r}.")
        provides = self._names(table.get("provides", []), where.below("provides"), keys=True)
        if module is not None and not provides:
            self._bad(where, "a local module must say what it `provides`, such as ['solver/mine'].")
        return PluginEntry(
            name=name,
            distribution=str(distribution) if distribution is not None else None,
            module=self.top.file.path.parent / str(module) if module is not None else None,
            provides=tuple(provides),
            status=str(status),
            where=where,
        )

    def _preset(self, name: str, table: Table, where: Where) -> Preset:
        settings = dict(table)
        extends = settings.pop("extends", None)
        if extends is not None and not isinstance(extends, str):
            self._bad(where.below("extends"), f"must be a preset's name; got {extends!r}.")
            extends = None
        return Preset(name=name, settings=settings, extends=extends, where=where)

    def _pipeline(self, name: str, table: Table, where: Where) -> Pipeline:
        self._keys(table, (*_SCALARS, *PARTS), where, "A pipeline")
        scalars: dict[str, Any] = {}
        for key in _SCALARS:
            if key in table:
                trouble = scalar_trouble(key, table[key])
                if trouble:
                    self._bad(where.below(key), trouble)
                else:
                    scalars[key] = table[key]
        parts: dict[str, Use] = {}
        for role in PARTS:
            if role in table and role not in ("metrics", "compare"):
                use = self._use(table[role], where.below(role))
                if use is not None:
                    parts[role] = use
        return Pipeline(
            name=name,
            parts=parts,
            metrics=self._uses(table.get("metrics", []), where.below("metrics")),
            compare=self._compared(table.get("compare", []), where.below("compare")),
            where=where,
            **scalars,
        )

    def _uses(self, value: object, where: Where) -> tuple[Use, ...]:
        if not isinstance(value, list):
            self._bad(where, f"must be a list of components; got {value!r}.")
            return ()
        items = enumerate(cast(list[object], value))
        uses = [self._use(item, where.below(index)) for index, item in items]
        return tuple(use for use in uses if use is not None)

    def _compared(self, value: object, where: Where) -> tuple[Use, ...]:
        """Solvers, each of which may name another energy than the pipeline's."""
        found: list[Use] = []
        for use in self._uses(value, where):
            settings = dict(use.settings)
            energy = settings.pop("energy", None)
            if energy is not None:
                other = self._use(energy, use.where.below("energy"))
                use = replace(use, settings=settings, energy=other)
            found.append(use)
        return tuple(found)

    def _use(self, value: object, where: Where) -> Use | None:
        if isinstance(value, str):
            value = {"use": value}
        if not isinstance(value, dict) or "use" not in value:
            self._bad(where, f"must be 'kind/name' or {{ use = 'kind/name', ... }}; got {value!r}.")
            return None
        settings = dict(cast(dict[str, object], value))
        key, through = settings.pop("use"), settings.pop("through", None)
        if not self._key(key, where.below("use")):
            return None
        adapter = self._use(through, where.below("through")) if through is not None else None
        return Use(key=str(key), settings=settings, through=adapter, where=where)

    def _key(self, key: object, where: Where) -> bool:
        if not isinstance(key, str) or not KEY.fullmatch(key):
            self._bad(where, f"must be 'kind/name' or 'distribution:kind/name'; got {key!r}.")
            return False
        kind = key.rsplit(":", 1)[-1].split("/")[0]
        if kind not in KINDS:
            hint = nearest(kind, KINDS)
            self._bad(where, f"{kind!r} is no kind.{hint} Kinds: {', '.join(sorted(KINDS))}.")
            return False
        return True

    def _names(self, value: object, where: Where, *, keys: bool = False) -> list[str]:
        if not isinstance(value, list):
            self._bad(where, f"must be a list of texts; got {value!r}.")
            return []
        names: list[str] = []
        for index, item in enumerate(cast(list[object], value)):
            if keys and not self._key(item, where.below(index)):
                continue
            if isinstance(item, str):
                names.append(item)
            else:
                self._bad(where.below(index), f"must be a text; got {item!r}.")
        return names

    def _tables(self, data: Table, name: str) -> list[tuple[str, Table, Where]]:
        where = self.top.below(name)
        entries = self._table(data.get(name, {}), where) or {}
        found: list[tuple[str, Table, Where]] = []
        for key, value in entries.items():
            table = self._table(value, where.below(key))
            if table is not None:
                found.append((key, table, where.below(key)))
        return found

    def _table(self, value: object, where: Where) -> Table | None:
        if isinstance(value, dict):
            return cast(dict[str, object], value)
        self._bad(where, f"must be a table; got {value!r}.")
        return None

    def _keys(self, table: Table, known: tuple[str, ...], where: Where, owner: str) -> None:
        for key in table:
            if key not in known:
                hint = nearest(key, known)
                text = f"unknown key.{hint} {owner} has {', '.join(known)}."
                self._bad(where.below(key), text)

    def _bad(self, where: Where, message: str) -> None:
        self.faults.append(where.fault(message))
