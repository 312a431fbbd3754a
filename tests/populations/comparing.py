"""Comparing with the oracle: on the CPU, by NumPy, whatever the device under test can or cannot do."""

from collections.abc import Callable

import numpy as np
import torch
from harness import capabilities
from harness.refusals import means_missing

from populations.layouts import FOREIGN


def host(tensor: torch.Tensor) -> np.ndarray:
    """The tensor's values as a NumPy array; float16 and bfloat16 as float32, which holds all of theirs."""
    halves = tensor.dtype in (torch.float16, torch.bfloat16)
    return (tensor.detach().to("cpu").float() if halves else tensor).numpy(force=True)


def agree(actual: torch.Tensor, expected, roundings: float = 0, scale: float = 0) -> None:
    """Raise AssertionError unless ``actual`` has the shape and the values of ``expected`` (whatever np.asarray takes).

    Without ``roundings`` every value must be equal (NaN to NaN). With them a value may be off by that many units of
    rounding of ``actual``'s dtype, each at most ``eps / 2`` of the value or of ``scale``, the size of the largest
    number on the way to it: the error of a computation of so many roundings, to first order. The message names
    the first value that differs, its place, and the tensor's dtype, shape, strides and device.
    """
    __tracebackhide__ = True  # a failure shows the guard
    expected = np.asarray(expected)
    assert tuple(actual.shape) == expected.shape, (
        f"shape {tuple(actual.shape)} instead of {expected.shape}: {told(actual)}"
    )
    values = host(actual)
    same = values == expected
    if np.count_nonzero(same) == same.size:  # as nearly always: there is nothing left to look for
        return
    if roundings and (actual.dtype.is_floating_point or actual.dtype.is_complex):
        eps = torch.finfo(actual.dtype).eps
        with np.errstate(invalid="ignore", over="ignore"):
            gap = np.abs(np.subtract(values, expected, dtype=np.result_type(values, expected, np.float64)))
            # near zero: the smallest normal number, or of float16, whose is large, the smallest of all
            least = torch.finfo(actual.dtype).tiny * (eps if actual.dtype == torch.float16 else 1)
            near = gap <= roundings * eps / 2 * np.maximum(np.abs(expected), scale) + least
        same |= near & np.isfinite(expected)  # of an infinite one any number would be within infinity
    same |= (values != values) & (expected != expected)
    if not np.all(same):
        at = tuple(int(index) for index in np.argwhere(~same)[0]) if same.ndim else ()
        count = int(np.size(same) - np.count_nonzero(same))
        raise AssertionError(
            f"{values[at]!r} instead of {expected[at]!r} at {list(at)}; {count} of {same.size} differ: {told(actual)}"
        )


def accepted(act: Callable, *arguments, **named):
    """What ``act(*arguments, **named)`` gives. Raise AssertionError where it refuses what it is said to take; an error
    about what a device other than the CPU lacks goes on as it is.
    """
    try:
        return act(*arguments, **named)
    except Exception as refusal:
        device = capabilities.current()
        if device.device != "cpu" and (means_missing(refusal) or device.named_in(str(refusal))):
            raise
        raise AssertionError(f"it is refused: {type(refusal).__name__}: {refusal}") from refusal


def told(tensor: torch.Tensor) -> str:
    """The tensor's dtype, shape, strides, offset and device, in words."""
    return (
        f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}, strides {tensor.stride()}, "
        f"offset {tensor.storage_offset()}, on {tensor.device}"
    )


def untouched(tensor: torch.Tensor) -> None:
    """Raise AssertionError where the buffer of a twin's tensor was written between or around its elements."""
    size = tensor.untyped_storage().nbytes() // tensor.element_size()
    buffer = host(tensor.detach().as_strided((size,), (1,), 0)).copy()
    own = [stride * buffer.itemsize for stride in tensor.stride()]
    start = tensor.storage_offset() * buffer.itemsize
    np.ndarray(tuple(tensor.shape), buffer.dtype, buffer, start, own)[...] = FOREIGN
    assert (buffer == np.asarray(FOREIGN, buffer.dtype)).all(), f"written beside its elements: {told(tensor)}"
