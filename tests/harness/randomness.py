"""Every test starts from its own seed and leaves no trace.

The seed is made of ``--seed`` and the test's node id, so that a test draws the same numbers alone, in any order and
in any worker. A fixture that several tests share (module, package or session scope) is seeded from its own name for
the same reason: whichever test asks first must not matter.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from harness import capabilities, devices


def seed_of(seed: int, name: str) -> int:
    """A 32-bit seed (NumPy takes no more) for ``name`` under the run's ``seed``."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:4], "big")


@contextmanager
def seeded(number: int, device: str) -> Iterator[None]:
    """Seed torch, NumPy and ``random``; afterwards put back their states.

    On the CPU alone that is torch's default generator: ``torch.manual_seed`` also keeps a note, with a stack trace,
    for every accelerator that might be used later, which for a small test costs more than the test. Accelerators are
    seeded when ``device`` is one, but not put back: whatever uses one is seeded again first.
    """
    import numpy
    import torch

    states = torch.get_rng_state(), numpy.random.get_state(), random.getstate()
    (torch.default_generator if device == "cpu" else torch).manual_seed(number)
    numpy.random.seed(number)
    random.seed(number)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        numpy.random.set_state(states[1])
        random.setstate(states[2])


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put back what a test may set: default dtype, grad mode, thread count. (pytest puts back the warnings filters.)"""
    import torch

    dtype, grad, threads = torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextmanager
def isolated(item: pytest.Item) -> Iterator[None]:
    """All that surrounds a test: its seed, the default device, and the settings put back afterwards."""
    number = seed_of(item.config.getoption("seed"), item.nodeid)
    function = getattr(item, "obj", None)
    if getattr(function, "is_hypothesis_test", False):
        import hypothesis

        hypothesis.seed(number)(getattr(function, "drawn", function))
    device = devices.device_for(item)
    with settings_kept(), capabilities.using(device), devices.default(device), seeded(number, device):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    with isolated(item):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef, request):
    """A shared fixture is made on the device under test and from its own seed, whichever test asks for it first."""
    if fixturedef.scope == "function":
        return (yield)
    number = seed_of(request.config.getoption("seed"), f"{fixturedef.baseid}::{fixturedef.argname}")
    device = devices.under_test(request.config)
    with devices.default(device), seeded(number, device):
        return (yield)
