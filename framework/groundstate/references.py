"""`@part.output` in a pipeline: the value that an earlier part will give.

`"@dataset.image"` is an output of the dataset, `"@energy"` the energy itself, and `"@@text"` the
plain text `@text`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from groundstate.locate import KeyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One reference.

    Attributes:
        text: As written.
        part: The part of the pipeline it names.
        output: The output of that part; empty for the part itself.
        path: Where in the settings it stands.
    """

    text: str
    part: str
    output: str
    path: KeyPath


def reference(value: object, path: KeyPath = ()) -> Reference | None:
    """The reference that a value is, if it is one."""
    if not isinstance(value, str) or not value.startswith("@") or value.startswith("@@"):
        return None
    part, _, output = value[1:].partition(".")
    return Reference(text=value, part=part, output=output, path=path)


def references(value: object, path: KeyPath = ()) -> Iterator[Reference]:
    """All references in a value, lists and tables within it included."""
    found = reference(value, path)
    if found is not None:
        yield found
    elif isinstance(value, dict):
        for key, item in cast(dict[str, object], value).items():
            yield from references(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[object], value)):
            yield from references(item, (*path, index))


def literal(value: object) -> object:
    """A value that is no reference, with the escaped `@@` undone."""
    if isinstance(value, str) and value.startswith("@@"):
        return value[1:]
    return value
