"""What guards about ``backward`` need: weights for a result, the gradient that must be there, the memory asked for."""

from collections.abc import Callable

import numpy as np
import torch

from populations.operations import OPERATIONS
from populations.twins import Twin

OPERATION = {operation.name: operation for operation in OPERATIONS}


def weights_for(
    result: torch.Tensor, layout: str = "contiguous", dtype: torch.dtype | None = None, seed: int = 0
) -> tuple[torch.Tensor, np.ndarray]:
    """Small whole numbers for the elements of ``result``, of its dtype unless another is named, on its device, and the
    array of their values.
    """
    tensor, array = Twin(dtype or result.dtype, tuple(result.shape), layout, seed=seed)
    return tensor.to(result.device), array


def grad_of(x: torch.Tensor) -> torch.Tensor:
    """The gradient of ``x``. Raises AssertionError where there is none."""
    assert x.grad is not None
    return x.grad


def bytes_allocated_by(action: Callable[[], object]) -> int:
    """How many bytes torch's allocator hands out while ``action`` runs, released or not."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        action()
    return sum(max(event.nbytes(), 0) for event in profile.kineto_results.events() if event.name() == "[memory]")
