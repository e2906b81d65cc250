"""When Ctrl-C and the request to end (SIGTERM) take effect."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

_WATCHED = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred(*, forget: bool = False) -> Generator[None, None, None]:
    """Let an interrupt wait until the block is done, so that it is done whole.

    A second one does not wait. Threads other than the main one get no signals anyway.

    Args:
        forget: whether an interrupt that came meanwhile is dropped, because nothing is left to
            stop, instead of taking effect after the block.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in _WATCHED}
    # a signal that simply ends the process, or is ignored, goes on doing so
    before = {n: cast(Callable[..., Any], h) for n, h in found.items() if callable(h)}
    waiting: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if waiting:
            before[signal.Signals(number)](number, frame)
        waiting.append(number)

    for number in before:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if waiting and not forget:
        before[signal.Signals(waiting[0])](waiting[0], None)
