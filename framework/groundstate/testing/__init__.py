"""The test kit: laws that every component of a kind obeys, oracles, and a zoo of wrong plugins.

A plugin's whole conformance file is

    from groundstate.testing.conformance import Case, parametrize_laws

    @parametrize_laws("my-plugin")
    def test_law(case: Case) -> None:
        case()

with `pytest_plugins = ("groundstate.testing.pytest_plugin",)` in the top-level `conftest.py`. The
same laws run without pytest: `groundstate check my-plugin`. This module imports nothing, so that
pytest can still rewrite the laws, and so that shape checks can still be installed.
"""
