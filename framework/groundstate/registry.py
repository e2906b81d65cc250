"""The registry: every component that the installed plugins, local modules and scripts offer."""

import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from groundstate.absence import why_absent
from groundstate.component import Component, Registered, normalized
from groundstate.configuration import Configuration, Where, read
from groundstate.discovery import register, told
from groundstate.errors import (
    ConfigurationError,
    ConfigurationFault,
    Fault,
    PluginError,
    PluginWarning,
    RegistryError,
)
from groundstate.gathering import Plugin, gather
from groundstate.locate import written
from groundstate.naming import Names, settle
from groundstate.selection import STRICT, select, switched_on
from groundstate.targets import (
    broken,
    examples_of,
    execute,
    missing_module,
    source_of,
    target_of,
)

if TYPE_CHECKING:
    from groundstate.settings import Signature


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Registry(Mapping[str, Registered]):
    """Components by `kind/name`; immutable.

    A name claimed twice, and not settled by the rules of `groundstate.naming`, is not in the
    mapping: using it raises an error that names all claimants.
    `distribution:kind/name` works for every component.

    Attributes:
        configuration: The registry files.
        plugins: All plugins, those that are broken, disabled or not installed as well.
        faults: What is wrong with them.
        unknown: Sentences on listed plugins that do not exist.
    """

    names: Names
    configuration: Configuration = field(default_factory=Configuration)
    plugins: tuple[Plugin, ...] = ()
    faults: tuple[Fault, ...] = ()
    unknown: tuple[str, ...] = ()

    def __getitem__(self, key: str) -> Registered:
        """The record of a component; for a local module not executed yet, what is known of it."""
        if ":" in key:
            distribution, _, plain = key.partition(":")
            found = self.names.qualified.get(f"{normalized(distribution)}:{plain}")
        else:
            found = self.names.plain.get(key)
        if found is None:
            raise RegistryError(why_absent(self, key))
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names.plain))

    def __len__(self) -> int:
        return len(self.names.plain)

    def __repr__(self) -> str:
        counts = f"{len(self.names.qualified)} components, {len(self.plugins)} plugins"
        return f"Registry({counts}, {len(self.faults)} faults)"

    def components(self, kind: str | None = None) -> tuple[Registered, ...]:
        """All components, sorted, those that only their qualified name reaches as well."""
        found = sorted(self.names.qualified.values(), key=lambda r: (r.key, r.qualified))
        return tuple(r for r in found if kind is None or r.component.kind == kind)

    def spelling(self, record: Registered) -> str:
        """The shortest name that reaches a component."""
        owner = self.names.plain.get(record.key)
        mine = owner is not None and owner.qualified == record.qualified
        return record.key if mine else record.qualified

    def with_component(self, component: Component, distribution: str = "script") -> "Registry":
        """A registry that has one more component, for scripts, notebooks and tests."""
        record = Registered(
            component=component,
            distribution=distribution,
            version="",
            origin=f"handed to the registry by {distribution}",
            plugin=distribution,
        )
        if record.qualified in self.names.qualified:
            message = f"{record.qualified!r} is in the registry already; choose another name."
            raise RegistryError(message)
        records = [*self.names.qualified.values(), record]
        names = settle(records, self.configuration.owners)
        before = set(self.names.faults)
        faults = (*self.faults, *(fault for fault in names.faults if fault not in before))
        return replace(self, names=names, faults=faults)

    def loaded(self, key: str) -> Registered:
        """The full record, for which a local module is executed.

        Raises:
            RegistryError: No such component.
            PluginError: The local module is broken or does not provide it.
        """
        record = self[key]
        if record.loaded:
            return record
        entry = self.configuration.plugins[record.plugin]
        offer = execute(entry)
        for found in register(source_of(entry), offer.components):
            if found.key == record.key and not offer.faults:
                return found
        raise PluginError(offer.faults)

    def resolve(self, key: str) -> Callable[..., object]:
        """Import a component's class or function."""
        return target_of(self.loaded(key))

    def examples(self, key: str) -> Sequence[object]:
        """A component's small instances."""
        return examples_of(self.loaded(key))

    def signature(self, key: str) -> "Signature":
        """A component's settings and inputs."""
        from groundstate.settings import describe  # imports pydantic

        target = self.resolve(key)
        try:
            signature = describe(key, target)
            signature.model  # noqa: B018 - a setting of a kind that pydantic refuses shows here
        except Exception as error:
            raise broken(self[key], f"its settings cannot be read: {told(error)}") from error
        return signature

    def schema(self, key: str) -> dict[str, Any]:
        """JSON schema of a component's settings."""
        return self.signature(key).schema()

    def preset(self, key: str) -> Mapping[str, tuple[object, Where]]:
        """Settings that the registry files give a component, and where they are written."""
        record = self[key]
        names = (record.qualified, key, self.spelling(record))
        known = [name for name in names if name in self.configuration.presets]
        return self.configuration.preset(known[0]) if known else {}

    def build(self, key: str, /, **values: object) -> Any:
        """Make a component from settings and inputs, after checking all of them.

        Presets of the registry files apply; what is given here goes before them.

        Raises:
            RegistryError: No such component.
            PluginError: The component is broken.
            ConfigurationError: Settings or inputs are wrong; all faults at once.
        """
        preset = {name: item for name, item in self.preset(key).items() if name not in values}
        target, signature = self.resolve(key), self.signature(key)
        checked = signature.check({**{n: value for n, (value, _) in preset.items()}, **values})
        faults: list[ConfigurationFault] = []
        for problem in checked.problems:
            name = str(problem.path[0])
            if name in preset:
                faults.append(preset[name][1].fault(problem.message))
                continue
            path = f"{key}.{written(problem.path)}"
            message = problem.message
            faults.append(ConfigurationFault(file=None, line=None, path=path, message=message))
        if faults:
            raise ConfigurationError(faults)
        try:
            return target(**checked.settings, **checked.inputs)
        except ModuleNotFoundError as error:  # an optional part, imported only where it is used
            raise missing_module(self[key], error) from error

    def matching(self, views: Iterable[str], kind: str = "solver") -> tuple[Registered, ...]:
        """Components of a kind that need no more than the given views."""
        given = set(views)
        found = (r for r in self.components(kind) if r.loaded)
        return tuple(r for r in found if given >= set(r.component.needs))

    def bridges(self, views: Iterable[str], needs: Iterable[str]) -> tuple[Registered, ...]:
        """Adapters from what there is to what is needed."""
        wanted = set(needs)
        return tuple(r for r in self.matching(views, "adapter") if wanted <= set(r.component.gives))

    def mismatch(
        self, giver: str, needer: str, through: str | None = None, *, deep: bool = False
    ) -> str | None:
        """Why one component cannot work on another, with what would fit; None if it can.

        Local modules are taken on trust, unless `deep` has them executed.

        Args:
            giver: Key of the energy or model.
            needer: Key of the solver or loss.
            through: Key of the adapter between them.
            deep: Whether to execute local modules, which may raise `PluginError`.
        """
        if through is not None:
            first = self.mismatch(giver, through, deep=deep)
            return first or self.mismatch(through, needer, deep=deep)
        find = self.loaded if deep else self.__getitem__
        there, needing = find(giver), find(needer)
        gives, needs = set(there.component.gives), set(needing.component.needs)
        if needs <= gives or not there.loaded or not needing.loaded:
            return None
        kind = needing.component.kind
        fitting = [self.spelling(r) for r in self.matching(gives, kind)]
        adapters = [self.spelling(r) for r in self.bridges(gives, needs)]
        has = f"gives {_listed(gives)}" if gives else "gives no view"
        text = f"{needer!r} needs the view {_listed(needs - gives)}, and {giver!r} {has}."
        if kind != "adapter" and adapters:
            text += f" An adapter bridges them: add `through = {adapters[0]!r}`."
        return f"{text} Of kind {kind}, {_listed(fitting) or 'none'} would fit."

    def deep_faults(self) -> tuple[Fault, ...]:
        """Faults that only importing shows: every target, signature and example is tried.

        Raises:
            PluginError: There are some and `GROUNDSTATE_STRICT` is set.
        """
        faults: list[Fault] = []
        for record in self.components():
            try:
                self.signature(record.qualified)
                self.examples(record.qualified)
            except PluginError as error:
                faults += error.faults
        found = tuple(dict.fromkeys(faults))
        if found and switched_on(STRICT):
            raise PluginError(found)
        return found


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def load(
    path: str | os.PathLike[str] | None = None,
    *,
    disable: Collection[str] = (),
    allow: Collection[str] | None = None,
    plugins: bool = True,
    warn: bool = True,
) -> Registry:
    """Find everything that is installed or named in a registry file; import nothing heavy.

    Somebody else's broken plugin never makes this raise, unless `GROUNDSTATE_STRICT` is set: it is
    warned about, and recorded in `faults`. Nothing is remembered from call to call.

    Args:
        path: The user's registry file; by default `GROUNDSTATE_REGISTRY`, or `registry.toml` in
            the working directory.
        disable: Plugins or distributions to leave out, besides those in `GROUNDSTATE_DISABLE` and
            the registry file.
        allow: The only ones to load; None for the list in `GROUNDSTATE_ALLOW` or the registry
            file, or else all.
        plugins: False loads no plugin at all, as `GROUNDSTATE_NO_PLUGINS` does.
        warn: Whether to warn about what is broken.

    Raises:
        ConfigurationError: The user's registry file cannot be read.
        PluginError: A plugin is broken and `GROUNDSTATE_STRICT` is set.
    """
    configuration = read(path)
    selection = select(
        file_disable=configuration.disable,
        file_allow=configuration.allow,
        disable=disable,
        allow=allow,
        plugins=plugins,
    )
    found = gather(configuration, selection)
    names = settle(found.records, configuration.owners)
    registry = Registry(
        names=names,
        configuration=configuration,
        plugins=found.plugins,
        faults=(*found.faults, *names.faults),
        unknown=found.unknown,
    )
    if registry.faults and switched_on(STRICT):
        raise PluginError(registry.faults)
    for line in (*map(str, registry.faults), *registry.unknown) if warn else ():
        warnings.warn(line, PluginWarning, stacklevel=2)
    return registry
