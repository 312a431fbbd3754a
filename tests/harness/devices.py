"""``--device``: where the tests run, and what a run lacks.

The device under test is torch's default device while a test runs, so that tests name none: ``torch.ones(2)`` is on
it. A test marked ``cpu`` is about the CPU and runs there. Works from torch 2.0, which has no ``torch.accelerator``.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness.register import NEEDS

REASONS = {
    "accelerator": "needs an accelerator; name one with --device",
    "cuda": "needs a CUDA GPU; name it with --device cuda",
    "two-devices": "needs two devices of one accelerator; name one with --device",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("specification")
    group.addoption(
        "--require",
        action="append",
        default=[],
        choices=NEEDS,
        metavar="NEED",
        help=f"fail, rather than leave untried, what lacks NEED ({', '.join(NEEDS)}); repeatable",
    )
    group.addoption(
        "--device",
        default="cpu",
        metavar="NAME",
        help="where the tests run: cpu (default), cuda, cuda:1, mps, xpu, ...",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("device") != "cpu":
        check(config.getoption("device"))


def check(name: str) -> None:
    """Raise pytest.UsageError, with the devices that are there, unless ``name`` is one of them."""
    import torch

    there = available()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise pytest.UsageError(f"--device: torch knows no device {name!r}; here are: {', '.join(there)}") from None
    if device.type == "meta":
        raise pytest.UsageError("--device: meta tensors hold no values, so no claim can be tried on them")
    if str(device) not in there:
        raise pytest.UsageError(f"--device: there is no {name!r} on this machine; here are: {', '.join(there)}")


def available() -> list[str]:
    """The names that ``--device`` takes on this machine, without and with an index: ["cpu", "cuda", "cuda:0"]."""
    import torch

    names = ["cpu"]
    own = getattr(torch._C, "_get_privateuse1_backend_name", lambda: "privateuseone")()  # not in torch 2.0
    for kind in ("cuda", "xpu", "mps", own):
        count = count_of(kind)
        names += [kind, *(f"{kind}:{index}" for index in range(count))] if count else []
    return names


def count_of(kind: str) -> int:
    """How many devices of a type this machine has; 0 where torch has no module for it."""
    import torch

    module = getattr(torch, kind, None)
    if kind == "cpu" or module is None or not getattr(module, "is_available", lambda: False)():
        return 0
    return module.device_count()


def lacks(need: str, config: pytest.Config) -> str | None:
    """Why this run cannot try what has the ``need`` ("accelerator", "cuda", "two-devices"), or None where it can."""
    kind = config.getoption("device").partition(":")[0]
    met = {"accelerator": kind != "cpu", "cuda": kind == "cuda", "two-devices": kind != "cpu" and count_of(kind) > 1}
    return None if met.get(need, True) else REASONS[need]


def require(need: str, config: pytest.Config) -> None:
    """Let the test stand aside where the run lacks what it needs."""
    reason = lacks(need, config)
    if reason:
        stand_aside(need, reason, config)


def stand_aside(need: str, reason: str, config: pytest.Config) -> None:
    """Skip the test, which counts as not tried; under ``--require`` of that need, fail instead."""
    if need in config.getoption("require"):
        pytest.fail(f"--require {need}: {reason}", pytrace=False)
    pytest.skip(reason)


@contextmanager
def default(name: str) -> Iterator[None]:
    """Make the device ``name`` torch's default device; afterwards put back the one before, which may be none."""
    import torch

    # what torch does with it tells: get_default_device is from 2.3, and in some releases fails once None was set
    before = torch.empty(0).device
    torch.set_default_device(None if name == "cpu" else name)
    try:
        yield
    finally:
        torch.set_default_device(None if before.type == "cpu" else before)


def device_for(item: pytest.Item) -> str:
    """The device that a test runs on: what ``--device`` names, or the CPU for a test marked ``cpu``."""
    return "cpu" if item.get_closest_marker("cpu") else item.config.getoption("device")


def name_of(config: pytest.Config) -> str:
    """What the device under test calls itself, for reports: "NVIDIA H100", or the processor's architecture."""
    import platform

    import torch

    device = torch.device(config.getoption("device"))
    module = importlib.import_module(f"torch.{device.type}") if device.type in ("cuda", "xpu") else None
    return module.get_device_name(device) if module else platform.machine()


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest):
    """The torch.device under test, as ``--device`` names it. A test marked ``cpu`` has no use for it."""
    import torch

    return torch.device(request.config.getoption("device"))


@pytest.fixture(scope="session")
def accelerator(device, request: pytest.FixtureRequest):
    """The torch.device under test where it is not the CPU; without one the test is not tried."""
    require("accelerator", request.config)
    return device


@pytest.fixture(scope="session")
def two_devices(accelerator, request: pytest.FixtureRequest):
    """Two different torch.devices of the accelerator's type, the first two; without them the test is not tried."""
    import torch

    require("two-devices", request.config)
    return torch.device(accelerator.type, 0), torch.device(accelerator.type, 1)
