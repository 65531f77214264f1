"""Guards against work that hangs.

No verdict depends on a clock: budgets count steps and evaluations, which are the same on every machine. What
takes far longer than they allow hangs, or runs on a machine that is far too busy; it ends its job, and the
crystal stays unjudged until the job runs again.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from matwheel.core.errors import InputError


class TimeLimitReached(BaseException):
    """Not an Exception, so that no library between swallows it."""


class Hung(InputError):
    """Work whose steps are limited did not end; the message says what to do."""


@contextmanager
def hang_guard(seconds: float, what: str, setting: str) -> Iterator[None]:
    """Raise `Hung` when the body takes longer than `seconds` of wall time; see `time_limit`.

    Args:
        what: names the work and its crystal, e.g. 'relaxation of NaCl'.
        setting: path of the setting that holds `seconds`.
    """
    try:
        with time_limit(seconds):
            yield
    except TimeLimitReached:
        raise hung(seconds, what, setting) from None


def hung(seconds: float, what: str, setting: str) -> Hung:
    """Return the error of `hang_guard`, for work that is guarded otherwise."""
    return Hung(
        f"{what} is not finished after {seconds:g} s of wall time: it hangs, or the machine is too busy. "
        f"Nothing is said of the crystal; run the job again, or raise {setting}"
    )


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
