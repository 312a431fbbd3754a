"""Layouts: how the numbers of an array lie in memory, by NumPy alone."""

import functools

import numpy as np

REPEATED = {"expanded": 0, "expanded columns": -1}  # by layout the dimension along which all elements are one
FOREIGN = 77  # between and around a twin's elements; no twin holds it


def once(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """``shape`` with size 1 for the dimension that ``layout`` repeats, unless that is empty."""
    if layout not in REPEATED or not shape:
        return tuple(shape)
    sizes, place = list(shape), REPEATED[layout]
    sizes[place] = min(sizes[place], 1)
    return tuple(sizes)


def finer(shape: tuple[int, ...]) -> list[int]:
    """``shape`` with every even size halved and a 2 before it: strides can always express that."""
    return [part for size in shape for part in ((2, size // 2) if size and size % 2 == 0 else (size,))]


@functools.cache
def laid(shape: tuple[int, ...], layout: str) -> tuple[int, tuple[int, ...], int]:
    """How many numbers a row has from which an array of ``shape`` is read, and with which strides and offset."""
    rank = len(shape)
    order = list(range(rank))  # of the dimensions in memory, from the slowest to the fastest
    if layout == "transposed" and rank > 1:
        order[-2:] = order[-1], order[-2]
    if layout == "batch second" and rank > 1:
        order[:2] = order[1], order[0]
    if layout.startswith("channels last") and rank > 1:
        order = [order[0], *order[2:], order[1]] if rank > 2 else order[::-1]
    if layout == "pixels" and rank > 2:  # as decoded images lie: the colours of a pixel side by side
        order[-3:] = *order[-2:], order[-3]
    if layout == "reversed":
        order.reverse()
    # as a slice of wider rows, or of more channels: the gaps are between these; or between the largest parts alone
    fastest = order[-1] if rank > 2 else None
    apart = order[min(1, rank - 1)] if rank else None
    cut = {"gappy": fastest, "channels last, gappy": fastest, "apart": apart}.get(layout)
    # images channels last lie at their storage's beginning where their number is odd, else within it, as a slice's do
    within = 5 if layout == "channels last" and rank == 4 and shape[0] % 2 == 0 else 0
    step, offset = {"gappy": (1 if rank > 2 else 2, 1), "apart": (1, 3), "offset": (1, 5)}.get(layout, (1, within))
    strides, sizes = [0] * rank, once(shape, layout)
    for dimension in reversed(order):
        if sizes[dimension] == 1 and layout in ("offset", *REPEATED):  # with a stride of 0, as by NumPy
            continue
        strides[dimension] = step
        step = step * max(shape[dimension], 1) + (dimension == cut)
    return offset + step + offset, tuple(strides), offset  # with foreign numbers before and after


def arranged(array: np.ndarray, layout: str) -> tuple[np.ndarray, tuple[int, ...], int]:
    """A row of numbers, and the strides and offset (in elements) with which ``array`` is read from it."""
    count, strides, offset = laid(array.shape, layout)
    buffer = np.full(count, FOREIGN, array.dtype)
    size = array.itemsize
    view = np.ndarray(array.shape, array.dtype, buffer, offset * size, [stride * size for stride in strides])
    view[...] = array
    return buffer, strides, offset
