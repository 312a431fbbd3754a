"""Getting at a device: whether torch can use it, how many there are, and what makes it the current one.

Nothing here knows a list of devices: torch is asked for a tensor. Asked in a process of its own
(``in_another_process``), a device that crashes, hangs or lets no second process in does no harm to the one that asks.
"""

import importlib
import inspect
import json
import os
import signal
import subprocess
import sys

import pytest


def prepare(name: str, module: str | None, sim_lacks: str | None, sim_async: bool) -> None:
    """Import a backend's ``module``, and make the device ``name`` the current one of its type.

    Raises pytest.UsageError, in one line, where that cannot be.
    """
    if name.partition(":")[0] == "sim":
        simulate(sim_lacks or "", sim_async)
    elif sim_lacks is not None or sim_async:
        option = "--sim-async" if sim_async else "--sim-lacks"
        raise pytest.UsageError(f"{option}: goes with --device sim only")
    if module is not None:
        import_backend(module)
    if name != "cpu":
        make_current(name)


def in_another_process(seconds: float, *asked_for) -> int:
    """Do ``prepare(*asked_for)`` in a process that ends at once, and return how many devices of this type there are.

    Raises pytest.UsageError as ``prepare`` does, and where that process crashes or takes longer than ``seconds``.
    """
    command = [sys.executable, "-m", "harness.backends", json.dumps(asked_for)]
    name = asked_for[0]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        asked = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds or None)
    except subprocess.TimeoutExpired:
        raise pytest.UsageError(f"--device: {name!r} did not answer within {seconds:g} s") from None
    if asked.returncode:
        crashed = asked.returncode < 0
        ended = signal.Signals(-asked.returncode).name if crashed else f"exit code {asked.returncode}"
        raise pytest.UsageError(f"--device: {name!r} ended the process that asked for it: {ended}")
    answer = json.loads(asked.stdout.rpartition("\n")[2])
    if isinstance(answer, str):
        raise pytest.UsageError(answer)
    return answer


def import_backend(name: str) -> None:
    """Import the module that adds a device to torch. Raises pytest.UsageError, in one line, if that fails."""
    import torch  # noqa: F401  first, so that the backend finds it whole

    try:
        importlib.import_module(name)
    except (Exception, SystemExit) as error:  # whatever a stranger's module may raise
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise pytest.UsageError(f"--device-module: there is no module {name!r} in this environment") from None
        raise pytest.UsageError(f"--device-module: {name!r} cannot be imported: {one_line(error)}") from None


def make_current(name: str) -> None:
    """Make a device with a number the current one of its type, so that "cuda", and `cuda()`, mean it too.

    Raises pytest.UsageError, in one line, unless torch can make a tensor there and bring it back.
    """
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        here = ", ".join(available())
        raise pytest.UsageError(f"--device: torch knows no device {name!r}; here are: {here}") from None
    if device.type == "meta":
        raise pytest.UsageError("--device: meta tensors hold no values, so no claim can be tried on them")
    try:
        module = getattr(torch, device.type, None)
        if device.index is not None and hasattr(module, "set_device"):
            module.set_device(device.index)
        torch.manual_seed(0)  # as before every test
        probe(device)
    except Exception as error:  # whatever a stranger's device may raise
        here = available()
        problem = "is there but does not work" if str(device) in here else "is not on this machine"
        here = f"; here are: {', '.join(here)}" * (str(device) not in here)
        raise pytest.UsageError(f"--device: {name!r} {problem}: {one_line(error)}{here}") from None


def probe(device) -> None:
    """Make a tensor on a torch.device and bring it back. Raises what the device raises, or ValueError if it changed."""
    import torch

    sent = torch.tensor([1.0, -2.0], device="cpu")
    there = sent.to(device)
    if there.device.type != device.type or there.cpu().tolist() != sent.tolist():
        raise ValueError(f"{sent.tolist()} came back from {there.device} as {there.cpu().tolist()}")


def one_line(error: Exception) -> str:
    """The error's type and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def simulate(lacks: str = "", queued: bool = False) -> None:
    """Make the simulated accelerator a device of this process, without the things, joined by commas, that it ``lacks``,
    and with a queue where it is ``queued``.

    Raises pytest.UsageError where that cannot be.
    """
    from harness import sim

    reason = sim.refusal()
    if reason:
        raise pytest.UsageError(f"--device: no simulated accelerator here: {reason}")
    sim.register()
    sim.queue.on = queued
    problem = sim.do_without(lacks.split(",") if lacks else [])
    if problem:
        raise pytest.UsageError(f"--sim-lacks: {problem}")


def synchronize(device) -> None:
    """Wait until a torch.device has done all it was given; a backend without such a function has no queue.

    A function that takes a device is told which: left to itself, torch's own asks ``is_available()``, which a test may
    have replaced.
    """
    import torch

    wait = getattr(getattr(torch, device.type, None), "synchronize", None)
    if device.type == "cpu" or wait is None:
        return
    if inspect.signature(wait).parameters:
        wait(torch.empty(0, device=device).device)  # with its index
    else:
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
    """How many devices of a type this machine has. A type whose module cannot count has one if torch can use it."""
    import torch

    if kind == "cpu" or ":" in kind:
        return 0
    module = getattr(torch, kind, None)
    if hasattr(module, "device_count"):
        return module.device_count() if getattr(module, "is_available", lambda: True)() else 0
    try:
        probe(torch.device(kind))
    except Exception:  # whatever torch, or a stranger's device, may raise
        return 0
    return 1


if __name__ == "__main__":
    asked_for = json.loads(sys.argv[1])
    try:
        prepare(*asked_for)
        found = count_of(asked_for[0])
    except pytest.UsageError as error:
        found = str(error)
    print("\n" + json.dumps(found), end="")
