"""What a plugin says about one thing it offers: data, readable without importing the thing."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

API = 1
"""The version of the plugin interface that this core speaks."""

KINDS = (
    "energy",
    "solver",
    "loss",
    "generator",
    "learner",
    "model",
    "dataset",
    "metric",
    "adapter",
    "reader",
)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OBJECT = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_REPLACES = re.compile(r"[A-Za-z0-9][\w.-]*:[a-z]+/[a-z0-9-]+")
_WORDS = ("gives", "needs", "claims", "extras")


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """A record of one component: what it is, where it is, what it gives and needs.

    Attributes:
        kind: One of `KINDS`.
        name: Lower-case words joined by `-`, unique within the kind.
        target: `"module:Attribute"`, imported on first use, or the object itself.
        summary: One line for listings.
        source: Where the method is from, a paper for instance; may be empty.
        gives: Names of the views an energy, model or adapter gives, or of a dataset's outputs.
        needs: Names of the views it needs.
        claims: Capabilities such as `exact` or `bound`; each switches on its law in the test kit.
        examples: `"module:function"` or a function that returns small instances, at least one.
        extras: Optional dependencies, as `"requirement: module, module"`, for instance
            `"groundstate-vision[raw]: rawpy"`. What precedes the colon is what pip installs.
        api: The version of the plugin interface that it was written for.
        replaces: `"distribution:kind/name"` of a component that it overrides.
    """

    kind: str
    name: str
    target: str | Callable[..., object]
    summary: str
    source: str = ""
    gives: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    examples: str | Callable[[], Sequence[object]]
    extras: tuple[str, ...] = ()
    api: int = API
    replaces: str | None = None

    def __post_init__(self) -> None:
        if type(self.api) is not int or self.api < 1:
            raise ValueError(f"`api` must be a whole number from 1, got {self.api!r}.")
        if self.api > API:
            return  # written for a newer core: its rules are not ours, discovery refuses it
        for field in _WORDS:
            object.__setattr__(self, field, _words(field, getattr(self, field)))
        _check_name(self.kind, self.name)
        where = f"`Component` {self.key!r}: "
        _check_summary(where, self.summary)
        _check_object(where, "target", self.target)
        if not self.examples:
            raise ValueError(
                f"{where}`examples` is empty, but a component without an example cannot be "
                'tested and so not be registered. Name a function, `examples="module:function"`, '
                "that returns a list of small instances."
            )
        _check_object(where, "examples", self.examples)
        _check_replaces(where, self.key, self.replaces)

    @property
    def key(self) -> str:
        """`kind/name`, the name that registry files and calls use."""
        return f"{self.kind}/{self.name}"


def _check_name(kind: object, name: object) -> None:
    if kind not in KINDS:
        raise ValueError(
            f"`kind` must be one of {', '.join(KINDS)}; got {kind!r} for component {name!r}."
        )
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"`name` must be lower-case words joined by `-`, such as 'mean-field'; got {name!r} "
            f"for a component of kind {kind!r}."
        )


def _check_summary(where: str, summary: object) -> None:
    if not isinstance(summary, str) or not summary.strip():
        raise ValueError(f"{where}`summary` must say in one line what it is; got {summary!r}.")


def _check_object(where: str, field: str, value: object) -> None:
    if isinstance(value, str) and not _OBJECT.fullmatch(value):
        raise ValueError(
            f"{where}`{field}` must be 'module:Attribute', such as "
            f"'groundstate_gcrf.cg:ConjugateGradients'; got {value!r}."
        )
    if not isinstance(value, str) and not callable(value):
        raise TypeError(
            f"{where}`{field}` must be 'module:Attribute' or a class or function; got {value!r}."
        )


def _check_replaces(where: str, key: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not _REPLACES.fullmatch(value):
        raise ValueError(f"{where}`replaces` must be 'distribution:{key}'; got {value!r}.")
    if value.split(":", 1)[1] != key:
        raise ValueError(
            f"{where}`replaces` must name a component of the same kind and name, "
            f"'distribution:{key}'; got {value!r}."
        )


def _words(field: str, value: object) -> tuple[str, ...]:
    # ("Quadratic") is a string, not a tuple: the slip everybody makes once.
    if isinstance(value, str):
        raise TypeError(f"`{field}` must be a tuple of words: write ({value!r},), not {value!r}.")
    if not isinstance(value, Sequence):
        raise TypeError(f"`{field}` must be a tuple of words; got {value!r}.")
    words: list[str] = []
    for word in value:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(word, str) or not word:
            raise TypeError(f"`{field}` must be a tuple of words; got {value!r}.")
        words.append(word)
    return tuple(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A component together with where it came from.

    Attributes:
        component: The record that the plugin gave.
        distribution: The distribution that it came with, or the local plugin's name, or `script`.
        version: The distribution's version; empty where there is none.
        origin: How it got here, in words, such as `entry point gcrf = groundstate_gcrf`.
        plugin: The plugin's name: its entry point, or its entry in a registry file.
        local: File of the local module that defines it; None for all others.
        loaded: False for a local module that was not executed yet, which happens on first use:
            `component` knows no more than kind and name.
    """

    component: Component
    distribution: str
    version: str
    origin: str
    plugin: str
    local: str | None = None
    loaded: bool = True

    @property
    def key(self) -> str:
        """`kind/name`."""
        return self.component.key

    @property
    def qualified(self) -> str:
        """`distribution:kind/name`, which names this component whatever else is installed."""
        return f"{normalized(self.distribution)}:{self.component.key}"


def normalized(distribution: str) -> str:
    """A distribution's name as packaging compares names: lower case, joined by single `-`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
