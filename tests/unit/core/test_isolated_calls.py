"""Calls in a process of their own."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest

from matwheel.core.isolated_calls import IsolatedCalls, ProcessDied


def end_where_asked(number: int) -> int:
    if number < 0:
        os._exit(11)
    if number == 0:
        raise ValueError("zero")
    return 2 * number


def process(_: int) -> int:
    return os.getpid()


def allocate(gibibytes: float) -> int:
    return len(np.zeros(int(gibibytes * 2**30), dtype=np.uint8))


def test_a_call_that_ends_its_process_ends_no_more() -> None:
    calls = IsolatedCalls(end_where_asked)
    assert calls(3) == 6
    with pytest.raises(ValueError, match="zero"):
        calls(0)
    with pytest.raises(ProcessDied, match="end_where_asked"):
        calls(-1)
    assert calls(4) == 8
    calls.close()


def test_one_process_answers_many_calls() -> None:
    calls = IsolatedCalls(process)
    first, second = calls(0), calls(1)
    assert first == second != os.getpid()
    calls.close()
    assert calls(0) != first
    calls.close()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_memory_is_limited_there_and_not_here() -> None:
    calls = IsolatedCalls(allocate, memory_bytes=2**30)
    assert calls(0.1) > 0
    with pytest.raises(MemoryError):
        calls(8)
    calls.close()
    assert allocate(2) == 2 * 2**30
