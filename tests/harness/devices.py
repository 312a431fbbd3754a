"""``--device``: where the tests run, and what a run lacks.

The device under test is torch's default device while a test runs, so that tests name none: ``torch.ones(2)`` is on
it. A test marked ``cpu`` is about the CPU and runs there. Works from torch 2.0, which has no ``torch.accelerator``.
"""

import importlib
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import specification
from harness.register import NEEDS

REASONS = {
    "accelerator": "needs an accelerator; name one with --device",
    "cuda": "needs a CUDA GPU; name it with --device cuda",
    "two-devices": "needs two devices of one accelerator; name one with --device",
}
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


def pytest_configure(config: pytest.Config) -> None:
    prepare(config)


def prepare(config: pytest.Config) -> None:
    """Import the backend's module, and make the device that ``--device`` names the current one.

    Raises pytest.UsageError, in one line, where that cannot be.
    """
    if simulated(config.getoption("device")):
        simulate(config.getoption("sim_lacks") or "")
    elif config.getoption("sim_lacks") is not None:
        raise pytest.UsageError("--sim-lacks: goes with --device sim only")
    if config.getoption("device_module") is not None:
        import_backend(config.getoption("device_module"))
    if config.getoption("device") != "cpu":
        check(config.getoption("device"))
        make_current(under_test(config))


def import_backend(name: str) -> None:
    """Import the module that adds a device to torch. Raises pytest.UsageError, in one line, if that fails."""
    import torch  # noqa: F401  first, so that the backend finds it whole

    try:
        importlib.import_module(name)
    except Exception as error:  # whatever a stranger's module may raise
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise pytest.UsageError(f"--device-module: there is no module {name!r} in this environment") from None
        raise pytest.UsageError(f"--device-module: {name!r} cannot be imported: {one_line(error)}") from None


def make_current(name: str) -> None:
    """Make a device with a number the current one of its type, so that "cuda", and `cuda()`, mean it too.

    Raises pytest.UsageError, in one line, where the device is listed but does not work.
    """
    import torch

    try:
        device = torch.device(name)
        module = getattr(torch, device.type, None)
        if device.index is not None and hasattr(module, "set_device"):
            module.set_device(device.index)
        torch.manual_seed(0)  # as before every test
        torch.zeros(1, device=device).cpu()
    except Exception as error:
        raise pytest.UsageError(f"--device: {name!r} is there but does not work: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    """The error's type and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


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


def simulated(name: str) -> bool:
    """Whether a device is of the simulated accelerator, harness.sim: never a proof about a real one."""
    return name.partition(":")[0] == "sim"


def simulate(lacks: str = "") -> None:
    """Make the simulated accelerator a device of this process, without the things, joined by commas, that it ``lacks``.

    Raises pytest.UsageError where that cannot be.
    """
    from harness import sim

    reason = sim.refusal()
    if reason:
        raise pytest.UsageError(f"--device: no simulated accelerator here: {reason}")
    sim.register()
    problem = sim.do_without(lacks.split(",") if lacks else [])
    if problem:
        raise pytest.UsageError(f"--sim-lacks: {problem}")


def synchronize(device) -> None:
    """Wait until a torch.device has done all it was given; a backend without such a function has no queue."""
    import torch

    wait = getattr(getattr(torch, device.type, None), "synchronize", None)
    if device.type != "cpu" and wait is not None:
        wait()


def available() -> list[str]:
    """The names that ``--device`` takes on this machine, without and with an index: ["cpu", "cuda", "cuda:0"]."""
    import torch

    names = ["cpu"]
    own = torch.device("privateuseone").type  # the name that a backend of a third party gave itself
    for kind in ("cuda", "xpu", "mps", own):
        count = count_of(kind)
        names += [kind, *(f"{kind}:{index}" for index in range(count))] if count else []
    return names


def count_of(kind: str) -> int:
    """How many devices of a type this machine has; 0 where torch has no module for it."""
    import torch

    if kind == "mps":  # never more than one; the module torch.mps counts it only from torch 2.3 on
        return int(torch.backends.mps.is_available())
    module = getattr(torch, kind, None)
    if kind == "cpu" or module is None or not getattr(module, "is_available", lambda: False)():
        return 0
    return module.device_count()


def under_test(config: pytest.Config) -> str:
    """The device that this process tries: the one that ``--device`` names.

    Where it names no number and the machine has several, each pytest-xdist worker takes its own: worker i has device
    i modulo their count.
    """
    name = config.getoption("device")
    count = count_of(name) if specification.is_worker(config) else 0
    if count < 2:  # also for a name with a number, of which there is none
        return name
    number = re.search(r"\d*$", config.workerinput["workerid"])[0]  # "gw3"
    return f"{name}:{int(number or 0) % count}"


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
    """What the device under test calls itself, for reports: "NVIDIA H100", or the processor's architecture."""
    import torch

    device = torch.device(under_test(config))
    if device.type == "cpu":
        return platform.machine()
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


@pytest.fixture(scope="session")
def two_devices(accelerator, request: pytest.FixtureRequest):
    """Two different torch.devices of the accelerator's type, the first two; without them the test is not tried."""
    import torch

    require("two-devices", request.config)
    return torch.device(accelerator.type, 0), torch.device(accelerator.type, 1)
