"""A crash, a hang, a late error or a dead device costs one test, and never what was found before it.

A backend's tests run in one pytest-xdist worker unless ``-n`` says otherwise: a crash ends that process, and another
takes its place, however often. No test takes longer than ``--limit``. After each test the device is waited for, so that
an error of its queue is charged to the test that caused it. SIGTERM ends a run as Ctrl-C does, with its document.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from harness import backends, devices, specification, surroundings

LIMIT = 600  # seconds: the longest take minutes, training at full size on a small GPU for one
GRACE = 10  # seconds: time for a test to end that was told to, before its process is ended
ANY_NUMBER = 1_000_000  # of crashed workers
TERMINATED = 128 + signal.SIGTERM  # the exit code of a process that SIGTERM ended, as a shell tells it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("workers", "how many processes a whole run takes at most, where -n does not say", default="1")
    parser.getgroup("specification").addoption(
        "--limit",
        type=float,
        default=LIMIT,
        metavar="SECONDS",
        help=f"how long a test may take, and its fixtures, before it fails (default: {LIMIT}; 0: for ever)",
    )


@pytest.hookimpl(tryfirst=True)  # before xdist looks at its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Give a backend a worker of its own, and a whole run on the CPU several; let any number of workers crash."""
    if not config.pluginmanager.has_plugin("xdist") or specification.is_worker(config):
        return
    option = config.option
    idle = any(getattr(option, name, None) for name in ("collectonly", *surroundings.IDLE))
    alone = option.usepdb or idle or option.numprocesses is not None or option.dist != "no" or option.tx
    if not alone and option.device != "cpu" and not devices.simulated(option.device):
        option.numprocesses = 1
    workers = int(config.getini("workers"))
    if not alone and option.numprocesses is None and workers > 1 and is_whole(config):
        option.numprocesses, option.maxprocesses = "auto", option.maxprocesses or workers
    if option.maxworkerrestart is None:
        option.maxworkerrestart = str(ANY_NUMBER)


def is_whole(config: pytest.Config) -> bool:
    """Whether a run tries every claim, with nobody who watches it from within: what a part of it saves in several
    processes, their imports cost again. Where this process has a torch already, or plugins that were given as objects,
    that torch and those plugins are meant, which no other process has.
    """
    option = config.option
    chosen = config.args_source is not pytest.Config.ArgsSource.TESTPATHS or option.keyword or option.markexpr
    watched = option.capture == "no" or option.trace or option.setupshow or option.detective
    given = config.invocation_params.plugins or "torch" in sys.modules
    return not (chosen or option.claim or option.pages or watched or given)


def pytest_configure(config: pytest.Config) -> None:
    if not specification.is_worker(config):
        config.pluginmanager.register(Places(config))
    if threading.current_thread() is threading.main_thread() and not specification.is_worker(config):
        before = signal.signal(signal.SIGTERM, terminate)
        config.add_cleanup(lambda: signal.signal(signal.SIGTERM, before))
    if not specification.is_controller(config):
        config.stash[STDERR] = os.dup(2)  # before pytest captures it
        config.add_cleanup(lambda: os.close(config.stash[STDERR]))


STDERR = pytest.StashKey[int]()


def terminate(*_) -> None:
    """End the run as Ctrl-C does: what was found is reported and stored."""
    pytest.exit("SIGTERM", returncode=TERMINATED)


class Places:
    """Lets each worker have a device of its own, where there are several of the type and none was named by number.

    The worker that replaces a crashed one takes over its device. Registered in the process that starts the workers.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.taken: dict[str, int] = {}  # a worker's id: its device's number
        self.started: dict[str, float] = {}  # when each test began

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node) -> None:
        name = self.config.getoption("device")
        several = node.workerinput["workercount"] > 1  # one worker has whatever the name means
        count = self.config.stash.get(devices.COUNT, 0) if several else 0  # 0 for a name with a number
        if count > 1:
            used = Counter(self.taken.values())
            place = min(range(count), key=lambda number: (used[number], number))
            self.taken[node.gateway.id] = place
            name = f"{name}:{place}"
        node.workerinput["device"] = name

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node) -> None:
        self.taken.pop(node.gateway.id, None)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.started[nodeid] = time.monotonic()

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """Say of a test that ended its worker where it did, and whether it ran out of time."""
        limit = self.config.getoption("limit")
        took = time.monotonic() - self.started.get(crashitem, time.monotonic())
        how = f"did not end within {limit:g} s" if limit and took > limit else "ended its process: a crash"
        report.error = f"{how}, on {report.node.workerinput['device']}"
        report.longrepr = f"{crashitem}: {report.error}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    with watched(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    with watched(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item):
    with watched(item):
        return (yield)


@contextmanager
def watched(item: pytest.Item) -> Iterator[None]:
    """Limit the time of a phase of a test, and wait at its end for all that it gave the device to do."""
    import torch

    device = torch.device(devices.device_for(item))
    with limited(item.config.getoption("limit"), item.config.stash[STDERR]):
        try:
            yield
        except BaseException:
            with suppress(Exception):  # the first error counts
                backends.synchronize(device)
            raise
        backends.synchronize(device)


@contextmanager
def limited(seconds: float, stderr: int) -> Iterator[None]:
    """Fail what takes longer; end the process, with a traceback to the file descriptor ``stderr``, if that does not
    help: a kernel that hangs heeds no signal.
    """
    if not seconds:
        yield
        return
    LastResort.set(seconds, stderr)
    interruptible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, lambda *_: expire(seconds)) if interruptible else None
    if interruptible:
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except BaseException:  # into which somebody may look for long, with --pdb
        LastResort.lift()
        raise
    finally:
        if interruptible:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


class LastResort:
    """What ends the process that hangs.

    Each time it is set a thread starts and another ends, which takes longer than a small test: one that was set for an
    earlier test stays until half of GRACE has gone, so that a process ends GRACE after the limit, or half of it.
    """

    since, told = 0.0, None  # when it was set, and for what

    @classmethod
    def set(cls, seconds: float, stderr: int) -> None:
        now = time.monotonic()
        if cls.told != (seconds, stderr) or now - cls.since > GRACE / 2:
            faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=stderr)
            cls.since, cls.told = now, (seconds, stderr)

    @classmethod
    def lift(cls) -> None:
        faulthandler.cancel_dump_traceback_later()
        cls.told = None


def pytest_sessionfinish() -> None:
    LastResort.lift()


class TookTooLong(BaseException):  # which neither a test's `except Exception` nor Hypothesis catches
    """A test went on past ``--limit``."""


def expire(seconds: float) -> None:
    raise TookTooLong(f"did not end within {seconds:g} s")


def dead(item: pytest.Item) -> str | None:
    """What the device of a failed test says if it cannot even hold a number any more; the run ends after this test."""
    import torch

    device = torch.device(devices.device_for(item))
    try:
        backends.probe(device)
        backends.synchronize(device)
    except Exception as error:  # whatever a stranger's device may raise
        words = f"{device} no longer works: {backends.one_line(error)}"
        item.session.shouldstop = f"{words}; the last test that used it is {item.nodeid}"
        return words
    return None
