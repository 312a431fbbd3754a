"""A clock that is right on every device."""

import time
from collections.abc import Callable


def clock(device) -> Callable[[], float]:
    """A clock for work on ``device``: a function that returns seconds, read once before the work and once after.

    An accelerator works through a queue, and a call returns when its work is queued, not when it is done. So each
    reading puts an event into the queue and waits until the device has come to it; the device itself notes the time.
    Where a backend has no events that can be timed, the host's clock is read once its queue is empty. ``device`` must
    be the current device of its type.
    """
    import torch

    backend = getattr(torch, device.type, None)
    wait = getattr(backend, "synchronize", None)
    if device.type == "cpu" or wait is None:
        return time.perf_counter

    def host() -> float:
        wait()
        return time.perf_counter()

    if not hasattr(backend, "Event"):
        return host
    last, now = None, 0.0

    def queue() -> float:
        nonlocal last, now
        event = backend.Event(enable_timing=True)
        event.record()
        event.synchronize()
        if last is not None:
            now += last.elapsed_time(event) / 1000  # milliseconds, in single precision: exact only over short times
        last = event
        return now

    return queue
