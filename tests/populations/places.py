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
