"""What a component may be given: settings (written in TOML, checked) and inputs (passed by name).

Both are read off the target's own signature, so that nothing is declared twice. A parameter whose
annotation is a scalar, a string, a choice, a path, or a list, tuple or optional of those is a
setting; everything else (tensors, energies, callables) is an input. A union of both kinds, such as
`float | Tensor`, is a setting when it is given a plain value and an input otherwise.
"""

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from groundstate.errors import nearest

_SCALARS = (bool, int, float, str, Path)
_PLAIN = (bool, int, float, str, PurePath, Enum, list, tuple, type(None))
_MISSING = inspect.Parameter.empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a target.

    Attributes:
        name: Its name.
        annotation: Its annotation, as written.
        default: Its default; `inspect.Parameter.empty` where it has none.
        setting: The type that pydantic checks it with; None for a pure input.
        mixed: Whether it takes an object instead of a plain value, too.
        text: What the target's docstring says of it.
    """

    name: str
    annotation: object
    default: object
    setting: object | None
    mixed: bool
    text: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is _MISSING

    def takes(self, value: object) -> bool:
        """Whether a value goes to the settings model rather than straight to the target."""
        return self.setting is not None and (not self.mixed or isinstance(value, _PLAIN))


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with what was given: where below the component, and what."""

    path: tuple[str | int, ...]
    message: str


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Values after the check, split; usable only where `problems` is empty."""

    settings: Mapping[str, Any]
    inputs: Mapping[str, Any]
    problems: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """All parameters of one target, and the check of values against them."""

    key: str
    parameters: Mapping[str, Parameter]

    @property
    def settings(self) -> tuple[Parameter, ...]:
        """Those that a registry file may set."""
        return tuple(p for p in self.parameters.values() if p.setting is not None)

    @property
    def inputs(self) -> tuple[Parameter, ...]:
        """Those that only code, or an `@` reference, can give."""
        return tuple(p for p in self.parameters.values() if p.setting is None)

    @cached_property
    def model(self) -> type[BaseModel]:
        """The pydantic model of the settings: strict, and closed."""
        # Fields carry aliases: pydantic reserves names such as `copy` and `model_x` for itself.
        fields: dict[str, Any] = {
            f"field_{i}": (p.setting, Field(_default(p), alias=p.name, description=p.text or None))
            for i, p in enumerate(self.settings)
        }
        return create_model(
            self.key, __config__=ConfigDict(strict=True, extra="forbid", frozen=True), **fields
        )

    def schema(self) -> dict[str, Any]:
        """The JSON schema of the settings, for editors and `--json`."""
        found: object = _finite(self.model.model_json_schema(by_alias=True))
        assert isinstance(found, dict)
        return cast(dict[str, Any], found)

    def check(self, values: Mapping[str, object], *, later: Collection[str] = ()) -> Checked:
        """Check values and find every fault.

        Args:
            values: Settings and inputs by name.
            later: Names whose values come later, such as the `@` references of a pipeline.
        """
        problems = [
            self._unknown(name) for name in (*values, *later) if name not in self.parameters
        ]
        given = {
            name: value
            for name, value in values.items()
            if name in self.parameters and name not in later
        }
        plain = {n: v for n, v in given.items() if self.parameters[n].takes(v)}
        settings, faults = self._validate(plain)
        problems += faults
        inputs = {n: v for n, v in given.items() if n not in plain}
        problems += [
            self._absent(parameter)
            for name, parameter in self.parameters.items()
            if parameter.required and name not in given and name not in later
        ]
        return Checked(settings=settings, inputs=inputs, problems=tuple(problems))

    def _validate(self, plain: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
        names = {f"field_{i}": p.name for i, p in enumerate(self.settings)}
        stand_in = {p.name for p in self.settings if p.required and p.name not in plain}
        try:
            model = self.model.model_validate(dict(plain))
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            missing = {("missing", (name,)) for name in stand_in}
            told = [d for d in details if (d["type"], d["loc"]) not in missing]
            if told:
                return {}, _problems(told)
            return dict(plain), []  # only absent ones, which `check` reports together with inputs
        return {names[field]: getattr(model, field) for field in model.model_fields_set}, []

    def _unknown(self, name: str) -> Problem:
        settings = ", ".join(sorted(p.name for p in self.settings)) or "none"
        inputs = ", ".join(sorted(p.name for p in self.inputs)) or "none"
        hint = nearest(name, list(self.parameters))
        text = f"unknown name.{hint} {self.key!r} has the settings {settings}; inputs: {inputs}."
        return Problem(path=(name,), message=text)

    def _absent(self, parameter: Parameter) -> Problem:
        what = "setting" if parameter.setting is not None else "input"
        text = f"{self.key!r} needs this {what}, and it is missing: pass `{parameter.name}=...`."
        return Problem(path=(parameter.name,), message=text)


def describe(key: str, target: Callable[..., object]) -> Signature:
    """Read settings and inputs off a class or function.

    Args:
        key: What to call it in messages.
        target: A dataclass, a module, any class with an annotated constructor, or a function.
    """
    hints = _hints(target)
    texts = _texts(inspect.getdoc(target) or "")
    return Signature(
        key=key,
        parameters={
            name: _parameter(name, hints.get(name, Any), default, texts.get(name, ""))
            for name, default in _defaults(target).items()
        },
    )


def _parameter(name: str, annotation: Any, default: object, text: str) -> Parameter:
    if isinstance(annotation, dataclasses.InitVar):
        annotation = cast(Any, annotation).type
    setting, mixed = _setting(annotation)
    return Parameter(
        name=name, annotation=annotation, default=default, setting=setting, mixed=mixed, text=text
    )


def _defaults(target: Any) -> dict[str, object]:
    """Parameter -> default, in order; `_MISSING` for none."""
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        factories = {
            field.name: field.default_factory()
            for field in dataclasses.fields(target)
            if field.default_factory is not dataclasses.MISSING and field.init
        }
    else:
        factories = {}
    skip = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    found = inspect.signature(cast(Any, target)).parameters.values()
    return {p.name: factories.get(p.name, p.default) for p in found if p.kind not in skip}


def _hints(target: Any) -> dict[str, object]:
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        owners: list[Any] = [base for base in reversed(target.__mro__) if base is not object]
    elif isinstance(target, type):
        owners = [inspect.unwrap(target.__init__)]
    else:
        owners = [inspect.unwrap(cast(Any, target))]
    hints: dict[str, object] = {}
    for owner in owners:
        try:
            hints |= typing.get_type_hints(owner, include_extras=True)
        except NameError:  # a name that only the type checker imports: judge the others alone
            hints |= _one_by_one(owner)
    return hints


def _one_by_one(owner: Any) -> dict[str, object]:
    module = inspect.getmodule(owner)
    names = {**vars(typing), **(vars(module) if module else {})}
    hints: dict[str, object] = {}
    for name, annotation in getattr(owner, "__annotations__", {}).items():
        probe = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= typing.get_type_hints(probe, globalns=names, include_extras=True)
        except NameError:
            hints[name] = Any
    return hints


def _setting(annotation: Any) -> tuple[Any, bool]:
    """The type that checks a setting, or None for an input; and whether objects fit, too."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS or origin is Literal:
        # Strictness would refuse the strings and lists that TOML has for paths and tuples.
        return (_lax(annotation) if annotation is Path else annotation), False
    if isinstance(annotation, type) and origin is None and issubclass(annotation, Enum | PurePath):
        return _lax(annotation), False
    if origin is Annotated:
        inner, mixed = _setting(arguments[0])
        return (None if inner is None else Annotated[(inner, *arguments[1:])]), mixed
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin in (tuple, list, Sequence):
        inners = [part if part is ... else _setting(part) for part in arguments]
        if any(part is not ... and (part[0] is None or part[1]) for part in inners):
            return None, False
        parts = tuple(part if part is ... else part[0] for part in inners)
        generic: Any = origin
        return _lax(generic[parts]), False
    return None, False


def _union(arguments: tuple[Any, ...]) -> tuple[Any, bool]:
    optional = type(None) in arguments
    found = [_setting(part) for part in arguments if part is not type(None)]
    fitting = [setting for setting, _ in found if setting is not None]
    if not fitting:
        return None, False
    mixed = len(fitting) < len(found) or any(part for _, part in found)
    return Union[(*fitting, *((None,) if optional else ()))], mixed


def _lax(annotation: Any) -> Any:
    return Annotated[annotation, Field(strict=False)]


def _default(parameter: Parameter) -> Any:
    if parameter.required:
        return ...
    plain = isinstance(parameter.default, _PLAIN)
    return cast(Any, parameter.default) if plain else None


def _problems(details: Sequence[Any]) -> list[Problem]:
    """Pydantic's errors in our words; one per place, whatever a union's branches say."""
    told: dict[tuple[str | int, ...], tuple[list[str], object]] = {}
    for detail in details:
        location = detail["loc"]
        # Settings have no keys below the first: further words name branches of a union.
        path = (location[0], *(part for part in location[1:] if isinstance(part, int)))
        message = str(detail["msg"]).replace("Input should be", "must be", 1)
        messages, _ = told.setdefault(path, ([], detail["input"]))
        if message not in messages:
            messages.append(message)
    return [
        Problem(path=path, message=f"{', or '.join(messages)}; got {value!r}.")
        for path, (messages, value) in told.items()
    ]


def _finite(value: object) -> object:
    """JSON has no infinities: write them as words."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast(dict[str, object], value).items()}
    if isinstance(value, list):
        return [_finite(item) for item in cast(list[object], value)]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _texts(docstring: str) -> dict[str, str]:
    """What the `Args` or `Attributes` section of a Google docstring says of each name."""
    texts: dict[str, str] = {}
    inside, name = False, ""
    for line in docstring.splitlines():
        indent = len(line) - len(line.lstrip())
        if indent == 0:
            inside = line.strip() in ("Args:", "Attributes:") or (inside and not line.strip())
        elif inside and indent <= 4 and ":" in line:
            name, _, text = line.strip().partition(":")
            texts[name] = text.strip()
        elif inside and name and line.strip():
            texts[name] += " " + line.strip()
    return texts
