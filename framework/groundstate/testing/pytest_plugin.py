"""What pytest needs for the laws; opt in with one line in the top-level `conftest.py`.

    pytest_plugins = ("groundstate.testing.pytest_plugin",)

Not an entry point of pytest, on purpose: that would load torch into every test run of the
environment, before shape checks can be installed. No generator functions here, for pytest does not
recognise them once shape checks have wrapped them.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

# before anything imports the laws; this module itself imports nothing of them
pytest.register_assert_rewrite("groundstate.testing.laws")


@dataclass(kw_only=True, eq=False)  # pytest keeps its plugins in sets
class _Counts:
    """How the laws of this run end.

    Attributes:
        laws: node ids of the tests made by `parametrize_laws`.
        ended: how many ended in each way.
    """

    laws: set[str] = field(default_factory=set[str])
    ended: dict[str, int] = field(default_factory=dict[str, int])

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.laws |= {item.nodeid for item in items if _is_law(item)}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self.laws:
            return
        if report.when == "call" or report.outcome != "passed":
            kind = "expected" if hasattr(report, "wasxfail") else report.outcome
            self.ended[kind] = self.ended.get(kind, 0) + 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """How many laws were run, skipped, expected to fail, and failed."""
        if not self.ended:
            return
        passed, failed = self.ended.get("passed", 0), self.ended.get("failed", 0)
        odd, skipped = self.ended.get("expected", 0), self.ended.get("skipped", 0)
        terminalreporter.write_line(
            f"laws: {passed + failed + odd} run, {skipped} skipped, {odd} expected failures, "
            f"{failed} failed"
        )


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.pluginmanager.register(_Counts(), "groundstate-law-counts")


def pytest_report_header() -> str:
    """What is laid down for every test."""
    return "groundstate: one torch thread; global random numbers seeded and restored per test"


def _is_law(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    case = callspec.params.get("case") if callspec is not None else None
    return type(case).__module__ == "groundstate.testing.conformance"


@pytest.fixture(autouse=True)
def steady_world(request: pytest.FixtureRequest) -> None:
    """One thread and seeded global random numbers for every test, put back afterwards."""
    import torch

    from groundstate.testing.trees import kept_randomness

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    stack = ExitStack()
    stack.enter_context(kept_randomness())
    request.addfinalizer(lambda: torch.set_num_threads(threads))
    request.addfinalizer(stack.close)
