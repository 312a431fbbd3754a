"""``--device``: where the tests run, and what a run lacks.

The device under test is torch's default device while a test runs, so that tests name none: ``torch.ones(2)`` is on
it. A test marked ``cpu`` is about the CPU and runs there. Works from torch 2.0, which has no ``torch.accelerator``.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import backends, specification
from harness.register import NEEDS

REASONS = {
    "accelerator": "needs an accelerator; name one with --device",
    "cuda": "needs a CUDA GPU; name it with --device cuda",
    "two-devices": "needs two devices of one accelerator; name one with --device",
}
COUNT = pytest.StashKey[int]()  # of devices of the type of the one under test, in the process that starts the workers
OPERATORS = "operators"  # what --require calls dtypes and operators that the device lacks


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("specification")
    group.addoption(
        "--require",
        action="append",
        default=[],
        choices=(*NEEDS, OPERATORS, "all"),
        metavar="NEED",
        help=f"fail, rather than leave untried, what lacks NEED ({', '.join((*NEEDS, OPERATORS))}: "
        "dtypes and operators of the device; all: every claim that the device can try); repeatable",
    )
    group.addoption(
        "--device",
        default="cpu",
        metavar="NAME",
        help="where the tests run: cpu (default), cuda, cuda:1, mps, xpu, ...; sim: a simulated accelerator",
    )
    group.addoption(
        "--device-module",
        metavar="NAME",
        help="import this Python module first: the one that adds a third party's device to torch",
    )
    group.addoption(
        "--sim-lacks",
        metavar="THINGS",
        help="--sim-lacks=THINGS: what the simulated accelerator does without, joined by commas: float64 or another "
        "dtype, aten::abs or another operator, second-device, events, generator, non-blocking",
    )
    group.addoption(
        "--sim-async",
        action="store_true",
        help="let the simulated accelerator work through a queue: non-blocking copies and some errors come late",
    )


def pytest_configure(config: pytest.Config) -> None:
    prepare(config)


def prepare(config: pytest.Config) -> None:
    """Import the backend's module, and make the device that ``--device`` names the current one.

    Raises pytest.UsageError, in one line, where that cannot be. The process that only hands tests out to workers has
    the device looked for elsewhere, and does not touch it.
    """
    asked_for = [config.getoption(option) for option in ("device", "device_module", "sim_lacks", "sim_async")]
    if not specification.is_controller(config):
        backends.prepare(under_test(config), *asked_for[1:])
    elif asked_for != ["cpu", None, None, False]:
        config.stash[COUNT] = backends.in_another_process(config.getoption("limit"), *asked_for)


def simulated(name: str) -> bool:
    """Whether a device is of the simulated accelerator, harness.sim: never a proof about a real one."""
    return name.partition(":")[0] == "sim"


def under_test(config: pytest.Config) -> str:
    """The device that this process tries: the one that ``--device`` names; in a pytest-xdist worker the one that it was
    given (``harness.endurance``).
    """
    name = config.getoption("device")
    return config.workerinput["device"] if specification.is_worker(config) and name != "cpu" else name


def lacks(need: str, config: pytest.Config) -> str | None:
    """Why this run cannot try what has the ``need`` ("accelerator", "cuda", "two-devices"), or None where it can."""
    kind = config.getoption("device").partition(":")[0]
    met = {"accelerator": kind != "cpu", "cuda": kind == "cuda", "two-devices": backends.count_of(kind) > 1}
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
    skipped = pytest.skip.Exception(reason)
    skipped.need = need  # tells it from a test that skips itself
    raise skipped


@contextmanager
def default(name: str) -> Iterator[None]:
    """Make the device ``name`` torch's default device; afterwards put back the one before, which may be none."""
    import torch

    # What torch does with it tells: get_default_device is from 2.3, and in some releases fails once None was set. As
    # text, since a counterfeit may have planted a ``torch.Tensor.device`` that is nothing else.
    before = str(torch.empty(0).device)
    torch.set_default_device(None if name == "cpu" else name)
    try:
        yield
    finally:
        torch.set_default_device(None if before == "cpu" else before)


def device_for(item: pytest.Item) -> str:
    """The device that a test runs on: the one under test, or the CPU for a test marked ``cpu``."""
    return "cpu" if item.get_closest_marker("cpu") else under_test(item.config)


def name_of(config: pytest.Config) -> str:
    """What the device under test calls itself, for reports: "NVIDIA H100"; of a processor its architecture and,
    where torch tells them, the vectors that kernels are chosen by: "x86_64, AVX512".
    """
    import torch

    device = torch.device(under_test(config))
    if device.type == "cpu":
        vectors = getattr(getattr(torch.backends, "cpu", None), "get_cpu_capability", str)()
        return ", ".join(filter(None, (platform.machine(), vectors)))
    if simulated(device.type):
        return f"simulated accelerator in the memory of {platform.machine()}"
    ask = getattr(getattr(torch, device.type, None), "get_device_name", lambda device: str(device))
    return ask(device)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest):
    """The torch.device under test (see ``under_test``). A test marked ``cpu`` has no use for it."""
    import torch

    return torch.device(under_test(request.config))


@pytest.fixture(scope="session")
def accelerator(device, request: pytest.FixtureRequest):
    """The torch.device under test where it is not the CPU; without one the test is not tried."""
    require("accelerator", request.config)
    return device


@pytest.fixture
def products_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let CUDA's convolutions and recurrent layers multiply in float32; by default they round the factors to TF32."""
    import torch

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture(scope="session")
def two_devices(accelerator, request: pytest.FixtureRequest):
    """Two different torch.devices of the accelerator's type, the first two; without them the test is not tried."""
    import torch

    require("two-devices", request.config)
    return torch.device(accelerator.type, 0), torch.device(accelerator.type, 1)
