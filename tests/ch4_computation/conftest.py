"""Fixtures shared by the sections of chapter 4."""

import statistics
import time

import pytest


def median_seconds_of(work, device, *, warmup=3, repeats=15):
    """How long one call of `work` takes on `device`: the median of `repeats` calls, in seconds.

    An accelerator works through a queue: a call returns when its work is queued, not when it is done. So either the
    device itself notes the times (a pair of events in its queue), or the host's clock is read around a
    `synchronize`, which waits until the queue is empty. The first calls are left out: they allocate memory and
    choose algorithms. `device` should be the current device of its type.
    """
    import torch  # here, so that a process that only hands tests out to workers need not import it

    backend = getattr(torch, device.type)
    wait = getattr(backend, "synchronize", lambda: None)
    use_events = device.type != "cpu" and hasattr(backend, "Event")

    def by_events():
        start, end = backend.Event(enable_timing=True), backend.Event(enable_timing=True)
        start.record()
        work()
        end.record()
        wait()
        return start.elapsed_time(end) / 1000  # events count milliseconds

    def by_the_clock():
        wait()
        start = time.perf_counter()
        work()
        wait()
        return time.perf_counter() - start

    for _ in range(warmup):
        work()
    wait()
    return statistics.median((by_events if use_events else by_the_clock)() for _ in range(repeats))


@pytest.fixture(scope="session")
def median_seconds():
    """`median_seconds(work, device)`: the median duration in seconds of `work()` on any device, waiting included."""
    return median_seconds_of
