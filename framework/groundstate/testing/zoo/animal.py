"""What an inhabitant of the zoo is, as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from groundstate.component import Component


@dataclass(frozen=True, kw_only=True)
class Animal:
    """A component with one fault.

    Attributes:
        fault: what is wrong with it, in words.
        component: the wrong component.
        sibling: the correct component that it was made from.
        caught_by: name of the law that must catch it.
    """

    fault: str
    component: Component
    sibling: Component
    caught_by: str


def component(
    kind: str,
    name: str,
    examples: Callable[[], Sequence[object]],
    *,
    target: Callable[..., object],
    gives: tuple[str, ...] = (),
    needs: tuple[str, ...] = (),
    claims: tuple[str, ...] = (),
) -> Component:
    """A component of the zoo; its target plays no part beyond being there."""
    return Component(
        kind=kind,
        name=name,
        target=target,
        summary=name.replace("-", " "),
        examples=examples,
        gives=gives,
        needs=needs,
        claims=claims,
    )
