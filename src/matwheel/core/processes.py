"""Work spread over processes with the result of one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")
_BATCHES_PER_PROCESS = 16


def map_in_order(
    function: Callable[[Task], Result], tasks: Sequence[Task], costs: Sequence[float], processes: int = 1
) -> list[Result]:
    """Return `[function(task) for task in tasks]`, worked out in several processes.

    Args:
        function: a function of a module, whose result depends on its task only.
        tasks: picklable.
        costs: how long each task takes, in any unit; they only balance the load.
        processes: 1 stays in this process, as does a system that cannot fork (a fresh interpreter would run
            the calling script a second time).

    Raises:
        Exception: the first that `function` raises.
    """
    from multiprocessing import get_all_start_methods, get_context

    if processes <= 1 or len(tasks) < 2 or "fork" not in get_all_start_methods():
        return [function(task) for task in tasks]
    from concurrent.futures import ProcessPoolExecutor

    batches = _batches(costs, sum(costs) / (_BATCHES_PER_PROCESS * processes))
    results: dict[int, Result] = {}
    with ProcessPoolExecutor(processes, mp_context=get_context("fork")) as pool:
        futures = [pool.submit(_run_batch, function, [tasks[i] for i in batch]) for batch in batches]
        for batch, future in zip(batches, futures, strict=True):
            results.update(zip(batch, future.result(), strict=True))
    return [results[i] for i in range(len(tasks))]


def _run_batch(function: Callable[[Task], Result], batch: Sequence[Task]) -> list[Result]:
    return [function(task) for task in batch]


def _batches(costs: Sequence[float], size: float) -> list[list[int]]:
    """Return the tasks in batches of about one size, the dearest task first."""
    batches: list[list[int]] = []
    room = 0.0
    for i in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        if not batches or room < costs[i]:
            batches.append([])
            room = max(size, costs[i])
        batches[-1].append(i)
        room -= costs[i]
    return batches
