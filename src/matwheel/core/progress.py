"""Progress of long steps: one line per report, with losses and the time that is left."""

from __future__ import annotations

import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from matwheel.core.errors import InputError

Log = Callable[[str], None]


def log_to_stderr(message: str) -> None:
    """Write one time-stamped line to standard error at once."""
    print(f"{time.strftime('%H:%M:%S')} {message}", file=sys.stderr, flush=True)


def unheard(message: str) -> None:
    """Write nothing."""


class Progress:
    """Report the progress of `total` steps, at most every `every_seconds` and at the last one."""

    def __init__(
        self, what: str, total: int, log: Log = log_to_stderr, *, done: int = 0, every_seconds: float = 5.0
    ) -> None:
        self.what, self.total, self.log = what, total, log
        self._first, self._every = done, every_seconds
        self._started = self._last = time.monotonic()

    def report(self, done: int, **figures: float) -> None:
        """Say that `done` steps are finished, with named figures such as losses."""
        now = time.monotonic()
        if done < self.total and now - self._last < self._every:
            return
        self._last = now
        left = (now - self._started) / max(1, done - self._first) * (self.total - done)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
        self.log(f"{self.what} {done}/{self.total}{', ' if shown else ''}{shown}, {left:.0f} s left")


@contextmanager
def logged(path: str | Path) -> Iterator[Log]:
    """Yield a function that writes time-stamped lines to the log file `path`, each at once.

    Warnings of libraries go there too, so that a terminal shows only how far the whole is.

    An error whose message tells the user enough (wrong input, a diverged training, a folder that
    cannot be written) is logged as that message, any other with its traceback; either way the
    process ends with status 1.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("a", encoding="utf-8") as file:

        def log(message: str) -> None:
            file.write(f"{time.strftime('%H:%M:%S')} {message}\n")
            file.flush()

        def log_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
            log(f"{category.__name__}: {message}")

        try:
            with warnings.catch_warnings():
                warnings.showwarning = log_warning
                yield log
        except (InputError, FloatingPointError, PermissionError) as error:
            log(f"error: {error}")
            raise SystemExit(1) from None
        except Exception:
            log(traceback.format_exc())
            raise SystemExit(1) from None
