"""Limits on the wall time of a piece of work, also of one that hangs."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class TimeLimitReached(BaseException):
    """Not an Exception, so that no library between swallows it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeLimitReached` in the body after `seconds` of wall time, also inside a call that hangs.

    Needs the main thread and interval timers (Linux, macOS). Elsewhere (another thread, Windows) nothing is
    raised here, and only the checks that the body itself makes hold. A compiled function is interrupted when
    it returns to the interpreter.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise TimeLimitReached

    previous_handler = signal.signal(signal.SIGALRM, stop)
    # The second number repeats the alarm, should the first be lost where exceptions cannot be raised.
    previous_timer = signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    started = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous_handler)
        if previous_timer[0]:
            left = max(1e-3, previous_timer[0] - (time.monotonic() - started))
            signal.setitimer(signal.ITIMER_REAL, left, previous_timer[1])
