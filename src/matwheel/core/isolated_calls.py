"""Calls of compiled code that may crash, in a process whose end is not the end of this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor


class ProcessDied(RuntimeError):
    """The process of a call ended before it answered, as in a crash of compiled code."""


class IsolatedCalls:
    """Calls of one function in a process of their own, which may end without ending this one.

    The process is made by the first call and answers all that follow; after a crash the next call makes
    another. Where a system cannot fork, calls are made here, without that protection.

    Args:
        function: a function of a module; what it takes and returns is picklable.
        memory_bytes: what the process may ask for beyond what this one has at the time; None for no limit.
            Only where the system tells and limits memory (Linux).
    """

    def __init__(self, function: Callable[..., Any], memory_bytes: int | None = None) -> None:
        self._function, self._memory_bytes = function, memory_bytes
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns.

        Raises:
            ProcessDied: the process ended in the call.
            Exception: what the function raises; a MemoryError where it asks for too much.
        """
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_all_start_methods

        if "fork" not in get_all_start_methods():
            return self._function(*arguments)
        self._pool = self._pool or self._started()
        try:
            return self._pool.submit(self._function, *arguments).result()
        except BrokenProcessPool:
            self.close()
            raise ProcessDied(f"{self._function.__name__} ended its process") from None

    def close(self) -> None:
        """End the process, if there is one."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _started(self) -> ProcessPoolExecutor:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        return ProcessPoolExecutor(
            1, mp_context=get_context("fork"), initializer=_limit_memory, initargs=(self._memory_bytes,)
        )


def _limit_memory(further_bytes: int | None) -> None:
    """Let this process ask for no more than so much memory beyond what it has."""
    statistics = Path("/proc/self/statm")
    if further_bytes is None or not statistics.exists():
        return
    import resource

    pages = int(statistics.read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + further_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
