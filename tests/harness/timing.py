"""How long work takes on a device, whether the device computes at once, as a CPU does, or works through a queue.

A GPU's calls return when their work is *queued*: a clock read then has seen only the launch. The device itself can note
the times, by two *events* in its queue around the work, which costs nothing to speak of; or the host's clock is read
once the queue is empty. Either is done once for a whole round of calls: to wait after each call would leave the device
idle while the next one is launched, and would time the waiting too.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import pytest


def seconds_per_call(
    work: Callable[[], object],
    device,
    *,
    warmup: int = 3,
    rounds: int = 5,
    calls: int = 10,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """The duration in seconds of one call of ``work()``, which computes on the torch.device ``device``.

    Each of ``rounds`` rounds times ``calls`` calls one after another and divides by their number; the median of the
    rounds disregards one that the machine disturbed. ``warmup`` calls come first: they allocate memory, load kernels
    and choose algorithms. ``device`` must be the current device of its type. ``clock`` is the host's, in seconds.
    """
    import torch

    backend = getattr(torch, device.type)
    wait = getattr(backend, "synchronize", lambda: None) if device.type != "cpu" else lambda: None

    def by_events() -> float:
        start, end = backend.Event(enable_timing=True), backend.Event(enable_timing=True)
        start.record()
        for _ in range(calls):
            work()
        end.record()
        wait()
        return start.elapsed_time(end) / 1000  # events count milliseconds

    def by_the_clock() -> float:
        start = clock()
        for _ in range(calls):
            work()
        wait()
        return clock() - start

    measure = by_events if device.type != "cpu" and hasattr(backend, "Event") else by_the_clock
    for _ in range(warmup):
        work()
    wait()
    return statistics.median(measure() for _ in range(rounds)) / calls


def crossover(ratio: Mapping[int, float]) -> int | None:
    """The smallest size from which the GPU wins at every size measured; None if it loses at the largest.

    ``ratio`` maps sizes to CPU time over GPU time.
    """
    winning = None
    for size in sorted(ratio, reverse=True):
        if ratio[size] <= 1:
            break
        winning = size
    return winning


@pytest.fixture(name="seconds_per_call", scope="session")
def seconds_per_call_fixture():
    """The function above."""
    return seconds_per_call
