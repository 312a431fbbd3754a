"""The timing code of the speed tests, on devices whose times are known: they exist in these tests alone."""

from types import SimpleNamespace

import pytest
import torch
from harness import sim
from harness.timing import crossover, seconds_per_call

LAUNCH, WORK = 1.0, 50.0  # seconds of the host to queue a call, and of the device to do it


class Queue:
    """A device that works on its own while the host goes on, in a time of its own: nothing here waits for real.

    ``host`` and ``done`` are clocks: what time it is for the host, and when the device will have done all it was given.
    """

    def __init__(self):
        self.host, self.done, self.calls = 0.0, 0.0, 0

    def clock(self):
        return self.host

    def work(self):
        self.calls += 1
        self.host += LAUNCH
        self.done = max(self.done, self.host) + WORK

    def synchronize(self):
        self.wait_for(self.done)

    def wait_for(self, time):
        self.host = max(self.host, time)


class QueueWithEvents(Queue):
    """The same with events: marks in the queue, at which the device notes its own time."""

    def Event(self, enable_timing):  # as torch.cuda.Event is called
        assert enable_timing is True
        queue = self

        class Event:
            def record(self):
                self.time = max(queue.host, queue.done)

            def synchronize(self):
                queue.wait_for(self.time)

            def elapsed_time(self, end):
                if queue.host < end.time:
                    raise RuntimeError("device not ready")  # as CUDA says
                return 1000 * (end.time - self.time)

        return Event()


@pytest.fixture(params=[Queue, QueueWithEvents])
def queue(request, monkeypatch):
    """One of the devices above, as torch's backend module ``torch.queue``."""
    made = request.param()
    monkeypatch.setattr(torch, "queue", made, raising=False)
    return made


QUEUE = SimpleNamespace(type="queue", index=0)  # what is asked of a torch.device


def test_a_call_takes_as_long_as_the_device_works_on_it(queue):
    """Back to back the device works without a break: the launches but the first go on beside it."""
    seconds = seconds_per_call(queue.work, QUEUE, calls=100, host=queue.clock)
    assert seconds == pytest.approx(WORK, rel=0.01)


def test_a_clock_read_without_waiting_sees_the_launches_alone(queue):
    start = queue.clock()
    for _ in range(100):
        queue.work()
    assert (queue.clock() - start) / 100 == LAUNCH


def test_the_timing_code_would_see_no_more_if_it_did_not_wait(monkeypatch):
    queue = Queue()
    monkeypatch.setattr(torch, "queue", queue, raising=False)
    queue.wait_for = lambda time: None
    assert seconds_per_call(queue.work, QUEUE, calls=100, host=queue.clock) == LAUNCH


def test_events_must_be_waited_for_too(monkeypatch):
    queue = QueueWithEvents()
    monkeypatch.setattr(torch, "queue", queue, raising=False)
    queue.wait_for = lambda time: None
    with pytest.raises(RuntimeError, match="device not ready"):
        seconds_per_call(queue.work, QUEUE, calls=100, host=queue.clock)


def test_waiting_after_each_call_times_the_launches_too(queue):
    start = queue.clock()
    for _ in range(100):
        queue.work()
        queue.synchronize()
    assert (queue.clock() - start) / 100 == LAUNCH + WORK


def test_work_queued_before_is_not_counted(queue):
    for _ in range(1000):
        queue.work()
    assert seconds_per_call(queue.work, QUEUE, warmup=0, calls=100, host=queue.clock) == pytest.approx(WORK, rel=0.01)


def test_a_device_that_is_short_of_work_takes_as_long_as_the_launches(queue, monkeypatch):
    """As with tiny tensors: the host cannot launch as fast as the device computes."""
    monkeypatch.setitem(globals(), "WORK", LAUNCH / 100)
    seconds = seconds_per_call(queue.work, QUEUE, calls=100, host=queue.clock)
    assert seconds == pytest.approx(LAUNCH, rel=0.02)


def test_the_median_disregards_a_round_that_was_disturbed():
    ticks = iter([0, 10, 100, 110, 200, 9200])  # three rounds of 10, 10 and 9000 seconds
    work = lambda: None  # noqa: E731
    assert seconds_per_call(work, torch.device("cpu"), warmup=0, rounds=3, calls=5, host=lambda: next(ticks)) == 2


REAL = """
from harness.timing import seconds_per_call

@claim("c")
def test_real_work(device):
    x, results = torch.ones(8, 8, device=device), []
    seconds = seconds_per_call(lambda: results.append(x @ x), device, warmup=2, rounds=3, calls=4)
    assert len(results) == 2 + 3 * 4
    assert 0 < seconds < 60
    assert {result.device.type for result in results} == {device.type}
    assert [result.unique().tolist() for result in results] == [[8.0]] * 14
"""


@pytest.mark.parametrize("name", ["cpu", "sim"])
def test_real_work_on_a_device_is_called_as_often_as_asked_for(project, entry, name):
    """In a process of its own: a device that was registered stays."""
    if name == "sim" and sim.refusal():
        pytest.skip(sim.refusal())
    project.only(entry("c"), REAL)
    project.pytester.runpytest_subprocess("--device", name).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ({16: 0.1, 64: 0.9, 256: 1.1, 1024: 9.0}, 256),
        ({16: 2.0, 64: 3.0}, 16),
        ({16: 2.0, 64: 0.5, 256: 1.5}, 256),  # a win that does not last does not count
        ({16: 0.1, 64: 1.0}, None),
        ({}, None),
    ],
)
def test_the_crossover_is_the_size_from_which_on_the_gpu_wins(ratio, size):
    assert crossover(ratio) == size
