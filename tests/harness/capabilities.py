"""What the device under test has: dtypes, a second device, events, a generator, copies that do not block.

The device is asked once a process, before any test: a tensor of each dtype goes there and comes back. Tests and the
populations they draw from ask ``has``, with no configuration at hand; a test whose claim is about a dtype is marked
``needs_dtype("float64")`` and stands aside with "mps has no float64". A test marked ``cpu`` is answered for the CPU,
which has every dtype.
"""

import functools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from harness import backends, devices

DTYPES = (
    *("float32", "float64", "float16", "bfloat16", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "bool"),
)


@dataclass(frozen=True)
class Capabilities:
    """What one device has. ``missing`` names each thing that it lacks, with the reason in the device's own words."""

    device: str  # as torch writes it: "mps", "cuda:1"
    missing: dict[str, str]

    def has(self, thing) -> bool:
        """Whether the device has a dtype, given as such or by name, or one of the other THINGS."""
        return self.lack(thing) is None

    def lack(self, thing) -> str | None:
        """Why a test that needs ``thing`` cannot be tried, "mps has no float64"; None where the device has it.

        Raises KeyError for what was never asked.
        """
        name = str(thing).removeprefix("torch.")
        if name not in THINGS:
            raise KeyError(f"nobody asked a device for {name!r}; known: {', '.join(THINGS)}")
        return f"{self.device.partition(':')[0]} has no {name}" if name in self.missing else None

    def named_in(self, error: str) -> str | None:
        """What the device lacks, as ``lack`` tells it, where an error, given by its type and first line, names a dtype
        of these or repeats what the device said when it was asked for the thing; None otherwise.
        """
        for name, words in self.missing.items():
            if error == words or (name in DTYPES and re.search(rf"\b{name}\b", error)):
                return self.lack(name)
        return None


def carries(dtype: str, device) -> None:
    """Send two numbers of ``dtype`` there and back. Raises whatever the device raises, or ValueError if they change."""
    import torch

    sent = torch.tensor([0, 1], device="cpu").to(getattr(torch, dtype))
    back = sent.to(device).cpu()
    if back.dtype != sent.dtype or back.tolist() != sent.tolist():
        raise ValueError(f"{sent} came back as {back}")


def has_second_device(device) -> None:
    count = backends.count_of(device.type)
    if count < 2:
        raise ValueError(f"there {'is' if count == 1 else 'are'} {count}")


def has_events(device) -> None:
    import torch

    start, end = (getattr(torch, device.type).Event(enable_timing=True) for _ in range(2))
    start.record()
    end.record()
    end.synchronize()
    start.elapsed_time(end)


def has_generator(device) -> None:
    import torch

    torch.Generator(device).manual_seed(0)


def copies_without_blocking(device) -> None:
    import torch

    sent = torch.tensor([1.0, 2.0], device="cpu")
    there = sent.to(device, non_blocking=True)
    back = there.to("cpu", non_blocking=True)
    backends.synchronize(device)
    if back.tolist() != sent.tolist():
        raise ValueError(f"{sent} came back as {back}")


# each raises what the device raises where it lacks the thing
THINGS: dict[str, Callable] = {
    **{dtype: functools.partial(carries, dtype) for dtype in DTYPES},
    "second-device": has_second_device,
    "events": has_events,
    "generator": has_generator,
    "non-blocking": copies_without_blocking,
}


@functools.cache
def of(device: str) -> Capabilities:
    """Ask a device, given by name, for everything; asked once a process."""
    import torch

    missing = {}
    for name, ask in THINGS.items():
        try:
            ask(device=torch.device(device))
        except Exception as error:  # whatever a stranger's device may raise
            missing[name] = backends.one_line(error)
    return Capabilities(device, missing)


_sessions: list[pytest.Config] = []
_current: list[Capabilities] = []  # the device under test, or the CPU during a test marked ``cpu``: the last one counts


def current() -> Capabilities:
    """What the device has on which tests run now."""
    return _current[-1] if _current else of("cpu")


def has(thing) -> bool:
    """Whether the device under test has a dtype, such as ``torch.float64`` or "float64", or another of THINGS."""
    return current().has(thing)


def lack(thing) -> str | None:
    """Why the device under test cannot be tried with ``thing``: "mps has no float64"; None where it can."""
    return current().lack(thing)


def dtypes(*wanted) -> tuple:
    """Those of the torch dtypes ``wanted`` that the device under test has, in their order; of all DTYPES if none."""
    import torch

    return tuple(dtype for dtype in wanted or [getattr(torch, name) for name in DTYPES] if has(dtype))


def need(*things) -> None:
    """Let the running test stand aside where the device lacks one of ``things``."""
    for reason in filter(None, map(lack, things)):
        devices.stand_aside(devices.OPERATORS, reason, _sessions[-1])


@contextmanager
def using(device: str) -> Iterator[None]:
    """Answer for ``device``."""
    _current.append(of(device))
    try:
        yield
    finally:
        _current.pop()


def table(found: Capabilities) -> str:
    """A line for each thing: its name, and "yes" or why not."""
    lines = [f"{name:<14} {'no: ' + found.missing[name] if name in found.missing else 'yes'}" for name in THINGS]
    return "\n".join([f"what {found.device} has", *lines])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("specification").addoption(
        "--capabilities", action="store_true", help="print what the device has (dtypes, events, ...); runs nothing"
    )


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Answer ``--capabilities`` and end; otherwise let pytest go on."""
    if not config.getoption("capabilities"):
        return None
    devices.prepare(config)
    print(table(of(devices.under_test(config))))
    return pytest.ExitCode.OK


@pytest.hookimpl(trylast=True)  # when the device is there
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs_dtype(*names): the claim is about a dtype, which the device may lack")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Ask before anything is collected, since populations ask as they are built."""
    from harness import specification

    if not specification.is_controller(session.config):
        _current.append(of(devices.under_test(session.config)))
        _sessions.append(session.config)
        session.config.add_cleanup(_current.pop)
        session.config.add_cleanup(_sessions.pop)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Stand aside where the device lacks a dtype that the test names, by its mark or as a parameter, or all that a
    guard draws.
    """
    import torch
    from populations.core import nothing_left

    reason = nothing_left(getattr(item, "obj", None))
    if reason:
        devices.stand_aside(devices.OPERATORS, reason, item.config)
    named = [name for mark in item.iter_markers("needs_dtype") for name in mark.args]
    parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
    named += [value for value in parameters if isinstance(value, torch.dtype)]
    for name in named:
        reason = lack(name) if str(name).removeprefix("torch.") in THINGS else None
        if reason:
            devices.stand_aside(devices.OPERATORS, reason, item.config)
