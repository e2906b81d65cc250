"""What holds for every test of the core and the plugins: array shapes are checked as they run."""

from pathlib import Path

from jaxtyping import install_import_hook

_PLUGINS = sorted(Path(__file__).parent.glob("plugins/*/groundstate_*"))
# a whole number is good enough where a float is wanted, as it is for type checkers
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

# Before anything imports these packages; jaxtyping's own option of pytest takes no such settings.
install_import_hook(["groundstate", *(folder.name for folder in _PLUGINS)], _CHECKER)

pytest_plugins = ("groundstate.testing.pytest_plugin",)
