"""``--device``: where the tests run, and what a run lacks.

The device under test is torch's default device while a test runs, so that tests name none: ``torch.ones(2)`` is on
it. A test marked ``cpu`` is about the CPU and runs there. Works from torch 2.0, which has no ``torch.accelerator``.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

REASONS = {
    "accelerator": "needs an accelerator; name one with --device",
    "cuda": "needs a CUDA GPU; name it with --device cuda",
    "two-devices": "needs two devices of one accelerator; name one with --device",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("specification")
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
    """Skip the test, which counts as not tried, where the run lacks what it needs."""
    reason = lacks(need, config)
    if reason:
        pytest.skip(reason)


@contextmanager
def default_for(item: pytest.Item) -> Iterator[None]:
    """Make the device under test torch's default device, unless the test is marked ``cpu``; afterwards there is none
    again.
    """
    import torch

    name = item.config.getoption("device")
    torch.set_default_device(None if name == "cpu" or item.get_closest_marker("cpu") else name)
    try:
        yield
    finally:
        torch.set_default_device(None)


def name_of(config: pytest.Config) -> str:
    """What the device under test calls itself, for reports: "NVIDIA H100", or the processor's architecture."""
    import platform

    import torch

    device = torch.device(config.getoption("device"))
    module = importlib.import_module(f"torch.{device.type}") if device.type in ("cuda", "xpu") else None
    return module.get_device_name(device) if module else platform.machine()


@pytest.fixture
def device(request: pytest.FixtureRequest):
    """The torch.device under test, as ``--device`` names it; the CPU in a test marked ``cpu``."""
    import torch

    return torch.device("cpu" if request.node.get_closest_marker("cpu") else request.config.getoption("device"))


@pytest.fixture
def accelerator(device, request: pytest.FixtureRequest):
    """The torch.device under test where it is not the CPU; without one the test is not tried."""
    require("accelerator", request.config)
    return device


@pytest.fixture
def two_devices(accelerator, request: pytest.FixtureRequest):
    """Two different torch.devices of the accelerator's type, the first two; without them the test is not tried."""
    import torch

    require("two-devices", request.config)
    return torch.device(accelerator.type, 0), torch.device(accelerator.type, 1)
