"""Arrays in the layouts of twins, of the dtypes that torch and NumPy both have, and what converting them costs."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import torch

from populations.gradients import bytes_allocated_by
from populations.layouts import arranged
from populations.twins import SHAPES, Twin

REAL = (torch.float32, torch.float64, torch.float16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
BOTH = (*REAL, torch.bool, torch.complex64, torch.complex128)
LARGE = (*SHAPES, (363, 364))
APART = [  # rows and matrices that lie apart, as those of x[:, 1]
    Twin(dtype, shape, "apart") for dtype, shape in ((REAL[0], (3, 5)), (REAL[3], (4, 2, 3)), (REAL[7], (2, 300)))
]
# By dtype another that may be written to it: to truth values none, and to what is not named here float32.
OTHER = {
    **{torch.bool: torch.bool, torch.int64: torch.uint8, torch.float32: torch.uint8},
    **dict.fromkeys((torch.int32, torch.int16, torch.int8, torch.uint8), torch.int64),
}
UNSIGNED = ("uint8", *(name for name in ("uint16", "uint32", "uint64") if hasattr(torch, name)))  # since torch 2.3


def array_of(twin: Twin) -> tuple[np.ndarray, np.ndarray]:
    """The twin's values in an array of the twin's layout, and that array's buffer, of three dimensions as many have."""
    values = twin.array()
    row, strides, offset = arranged(values, twin.layout)
    buffer = row[None, None].copy()
    size = values.itemsize
    return np.ndarray(values.shape, values.dtype, buffer, offset * size, [stride * size for stride in strides]), buffer


def bytes_allocated(convert: Callable[[], object]) -> int:
    """Count the bytes of data that one call of ``convert`` asks for, exactly.

    torch's share is every block that its allocator hands out, released or not; NumPy's is the blocks its result keeps.
    """
    results = []
    tracemalloc.start()
    try:
        from_torch = bytes_allocated_by(lambda: results.append(convert()))
        from_numpy = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
        blocks = tracemalloc.take_snapshot().filter_traces([from_numpy]).traces
    finally:
        tracemalloc.stop()
    return from_torch + sum(block.size for block in blocks)
