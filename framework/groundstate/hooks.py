"""The one hook that a plugin implements."""

from collections.abc import Iterable

import pluggy

from groundstate.component import Component

hookspec = pluggy.HookspecMarker("groundstate")
hookimpl = pluggy.HookimplMarker("groundstate")


@hookspec
def groundstate_components() -> Iterable[Component]:
    """Return or yield what the plugin offers, as data.

    Import nothing heavy to do so: targets and examples are named as strings.
    """
    ...
