"""Running cases, and what came of them."""

import time
import traceback
from dataclasses import dataclass
from typing import Literal

from groundstate.testing.cases import Case
from groundstate.testing.saying import Broken, Skip

Outcome = Literal["passed", "skipped", "expected failure", "failed"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one case.

    Attributes:
        id: of the case.
        component: key of the component.
        law: name of the law.
        outcome: passed, skipped, expected failure or failed.
        checks: how many checks were made: one, or one per problem.
        reason: why it was skipped, failed, or is expected to fail; empty where it passed.
        claimed: whether a claim switched it on.
        seconds: how long it took.
    """

    id: str
    component: str
    law: str
    outcome: Outcome
    checks: int
    reason: str
    claimed: bool
    seconds: float

    def to_dict(self) -> dict[str, object]:
        return {
            "id": self.id,
            "component": self.component,
            "law": self.law,
            "outcome": self.outcome,
            "checks": self.checks,
            "reason": self.reason,
            "claimed": self.claimed,
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole check.

    Attributes:
        plugin: what was checked.
        components: keys of its components.
        results: one per law and example.
        implied: how many checks the claims imply.
        seconds: how long it took.
    """

    plugin: str
    components: tuple[str, ...]
    results: tuple[Result, ...]
    implied: int
    seconds: float

    def count(self, outcome: Outcome) -> int:
        """How many laws ended that way."""
        return sum(result.outcome == outcome for result in self.results)

    @property
    def run(self) -> int:
        """How many laws were tried; skipped ones were not."""
        return len(self.results) - self.count("skipped")

    @property
    def implied_run(self) -> int:
        """How many of the laws that claims switch on were tried."""
        return sum(r.claimed and r.outcome != "skipped" for r in self.results)

    @property
    def failures(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.outcome == "failed")

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and everything that the claims imply was tried."""
        return bool(self.results) and not self.failures and self.implied_run >= self.implied

    def to_dict(self) -> dict[str, object]:
        return {
            "plugin": self.plugin,
            "components": list(self.components),
            "ok": self.ok,
            "run": self.run,
            "passed": self.count("passed"),
            "skipped": self.count("skipped"),
            "expected_failures": self.count("expected failure"),
            "failed": self.count("failed"),
            "checks": sum(result.checks for result in self.results),
            "implied": self.implied,
            "implied_run": self.implied_run,
            "seconds": round(self.seconds, 3),
            "results": [result.to_dict() for result in self.results],
        }


def run_case(case: Case, reason: str | None = None) -> Result:
    """Try one case and say what came of it.

    Args:
        case: the case.
        reason: why it is expected to fail; None where it is not.
    """
    began = time.perf_counter()
    checks, outcome, text = 0, "failed", ""
    try:
        checks = case()
        outcome = "passed"
        if reason is not None:
            outcome, text = "failed", f"holds after all, though it is expected to fail: {reason}"
    except Skip as skip:
        outcome, text = "skipped", str(skip)
    except KeyboardInterrupt:
        raise
    except Exception as error:  # a plugin may fail in any way
        text = str(error) if isinstance(error, Broken) else _told(error)
        if reason is not None:
            outcome, text = "expected failure", f"{reason} ({text})"
    return Result(
        id=case.id,
        component=case.component,
        law=case.law.name,
        outcome=outcome,
        checks=checks if checks else int(outcome != "skipped"),
        reason=text,
        claimed=case.claimed,
        seconds=time.perf_counter() - began,
    )


def _told(error: Exception) -> str:
    """An error that is no `Broken`, with the place where it came up."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
