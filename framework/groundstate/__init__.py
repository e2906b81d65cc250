"""A plugin framework for energy-based and structured models.

Names are imported on first use: `import groundstate` itself loads no numerical library.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from groundstate.component import Component as Component
    from groundstate.component import Registered as Registered
    from groundstate.configuration import Configuration as Configuration
    from groundstate.errors import ConfigurationError as ConfigurationError
    from groundstate.errors import GroundstateError as GroundstateError
    from groundstate.errors import PluginError as PluginError
    from groundstate.errors import PluginWarning as PluginWarning
    from groundstate.errors import RegistryError as RegistryError
    from groundstate.hooks import hookimpl as hookimpl
    from groundstate.registry import Registry as Registry
    from groundstate.registry import load as load

_WHERE = {
    "Component": "groundstate.component",
    "Configuration": "groundstate.configuration",
    "ConfigurationError": "groundstate.errors",
    "GroundstateError": "groundstate.errors",
    "PluginError": "groundstate.errors",
    "PluginWarning": "groundstate.errors",
    "Registered": "groundstate.component",
    "Registry": "groundstate.registry",
    "RegistryError": "groundstate.errors",
    "hookimpl": "groundstate.hooks",
    "load": "groundstate.registry",
}

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'groundstate' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value  # the next access costs nothing
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
