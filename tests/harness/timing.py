"""How long work takes on a device, whether the device computes at once, as a CPU does, or works through a queue.

A GPU's calls return when their work is *queued*: a clock read then has seen only the launch. The device itself can note
the times, by *events* in its queue, which costs nothing to speak of; or the host's clock is read once the queue is
empty. Either is done once for a whole round of calls: to wait after each call would leave the device idle while the
next one is launched, and would time the waiting too.
"""

import statistics
import time
from collections.abc import Callable, Mapping


def clock(device, host: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """A clock for work on the torch.device ``device``: returns seconds, read once before the work and once after.

    Each reading puts an event into the device's queue and waits until the device has come to it. Where a backend has
    no events that can be timed, the clock is the ``host``'s, read once the queue is empty; on the CPU it is that alone.
    ``device`` must be the current device of its type.
    """
    import torch

    backend = getattr(torch, device.type, None)
    wait = getattr(backend, "synchronize", None)
    if device.type == "cpu" or wait is None:
        return host

    def once_the_queue_is_empty() -> float:
        wait()
        return host()

    last, now = None, 0.0

    def by_events() -> float:
        nonlocal last, now
        event = backend.Event(enable_timing=True)
        event.record()
        event.synchronize()
        if last is not None:
            now += last.elapsed_time(event) / 1000  # milliseconds, in single precision: exact only over short times
        last = event
        return now

    return by_events if hasattr(backend, "Event") else once_the_queue_is_empty


def seconds_per_call(
    work: Callable[[], object],
    device,
    *,
    warmup: int = 3,
    rounds: int = 5,
    calls: int = 10,
    host: Callable[[], float] = time.perf_counter,
) -> float:
    """The duration in seconds of one call of ``work()``, which computes on the torch.device ``device``.

    Each of ``rounds`` rounds times ``calls`` calls one after another and divides by their number; the median of the
    rounds disregards one that the machine disturbed. ``warmup`` calls come first: they allocate memory, load kernels
    and choose algorithms. ``device`` must be the current device of its type. ``host`` is the host's clock, in seconds.
    """
    read = clock(device, host)

    def one_round() -> float:
        start = read()
        for _ in range(calls):
            work()
        return read() - start

    for _ in range(warmup):
        work()
    return statistics.median(one_round() for _ in range(rounds)) / calls


def crossover(ratio: Mapping[int, float]) -> int | None:
    """The smallest size from which one way beats another at every size measured; None if it loses at the largest.

    ``ratio`` maps sizes to the other's time over the one's: the CPU's over the GPU's, say.
    """
    winning = None
    for size in sorted(ratio, reverse=True):
        if ratio[size] <= 1:
            break
        winning = size
    return winning
