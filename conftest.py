"""What holds for every test of the core and the plugins: array shapes are checked as they run."""

from pathlib import Path

from jaxtyping import install_import_hook

_ROOT = Path(__file__).parent
_PACKAGES = [_ROOT / "framework" / "groundstate", *sorted(_ROOT.glob("plugins/*/groundstate_*"))]
# modules that say shapes; the others look at what strangers give them themselves, and say it better
_SHAPED = [
    ".".join(path.relative_to(package.parent).with_suffix("").parts)
    for package in _PACKAGES
    for path in sorted(package.rglob("*.py"))
    if path.name != "__init__.py" and "jaxtyping" in path.read_text(encoding="utf-8")
]
# a whole number is good enough where a float is wanted, as it is for type checkers
_CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"

# Before anything imports these packages; jaxtyping's own option of pytest takes no such settings.
install_import_hook(_SHAPED, _CHECKER)

pytest_plugins = ("groundstate.testing.pytest_plugin",)
