"""The clock of a solve, which lets a step that was cut short be repeated."""

import math
import time
from dataclasses import dataclass


@dataclass(kw_only=True)
class StepClock:
    """The time, and which look at it within a step found the deadline passed.

    How far a step gets before its deadline depends on the machine's load. Counting its looks is
    what lets the same step end at the same place again.
    """

    at: float = math.inf
    asked: int = 0
    late: int | None = None
    cut: int | None = None

    def begin(self, cut: int | None) -> None:
        """A step begins; with `cut`, that look will find the deadline passed."""
        self.asked, self.late, self.cut = 0, None, cut

    def __call__(self) -> float:
        self.asked += 1
        now = math.inf if self.asked == self.cut else time.perf_counter()
        if self.late is None and now >= self.at:
            self.late = self.asked
        return now
