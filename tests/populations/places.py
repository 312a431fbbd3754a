"""Where a population's tensors live, and what the device under test cannot hold."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from harness import capabilities


def place(second: bool = False) -> torch.device:
    """The device under test; with ``second`` the other one of its type, where there are two."""
    here = torch.device(capabilities.current().device)
    if second and here.type != "cpu" and capabilities.has("second-device"):
        return torch.device(here.type, 0 if here.index else 1)
    return here


def seed(number: int) -> None:
    """``torch.manual_seed``, of the CPU and the device under test alone, and so without the stack traces that it keeps
    for every accelerator that might be used later.
    """
    torch.default_generator.manual_seed(number)
    if (here := place().type) != "cpu":
        getattr(getattr(torch, here), "manual_seed_all", torch.manual_seed)(number)


def normal(*shape: int) -> torch.Tensor:
    """Standard normal numbers on the default device, drawn by NumPy: a device may be unable to draw."""
    return torch.tensor(np.random.standard_normal(shape), dtype=torch.float32)


def in_a_thread(call: Callable, **options):
    """What ``call(**options)`` returns in another thread, to which the default device goes along."""
    here = torch.empty(0).device

    def away():
        with here:
            return call(**options)

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(away).result()


def lacks(dtype: torch.dtype) -> str | None:
    """Why no tensor of ``dtype`` can be on the device under test ("mps has no float64"), or None where one can."""
    return capabilities.lack(dtype)
