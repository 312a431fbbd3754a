"""Ways to look at a tensor of any rank above 0: by torch, and by NumPy for an array."""

from collections.abc import Callable

import numpy as np
import torch

from populations.layouts import finer


def middle(x) -> int:
    """The dimension in the middle: of four the third."""
    return x.ndim // 2


def longest(x: torch.Tensor) -> int:
    """The dimension of the largest size, which ``squeeze`` leaves unless all are 1."""
    return max(range(x.dim()), key=x.size)


def halves(a: np.ndarray, dim: int) -> list[np.ndarray]:
    """As torch cuts: the first half is the larger, and of a size below 2 it is all there is."""
    return np.split(a, [-(-a.shape[dim] // 2)], dim) if a.shape[dim] > 1 else [a]


# Views of one: torch's, and NumPy's.
LOOKS: dict[str, tuple[Callable, Callable]] = {
    "view in one row": (lambda x: x.contiguous().view(-1), lambda a: a.reshape(-1)),
    "view of finer sizes": (lambda x: x.view(finer(x.shape)), lambda a: a.reshape(finer(a.shape))),
    "view of as many dimensions": (
        lambda x: x.contiguous().view(*x.shape[1:], x.shape[0]),
        lambda a: a.reshape(*a.shape[1:], a.shape[0]),
    ),
    "view_as": (lambda x: x.view_as(x), lambda a: a),
    "reshape": (lambda x: x.reshape(*x.shape[::-1]), lambda a: a.reshape(a.shape[::-1])),
    "flatten": (lambda x: x.flatten(), lambda a: a.reshape(-1)),
    "unflatten": (lambda x: x.unflatten(-1, (-1, 1)), lambda a: a[..., None]),
    "ravel": (lambda x: x.ravel(), lambda a: a.reshape(-1)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, -1)),
    "swapaxes": (lambda x: x.swapaxes(0, -1), lambda a: a.swapaxes(0, -1)),
    "permute": (lambda x: x.permute(*range(x.dim())[::-1]), lambda a: a.transpose()),
    "movedim": (lambda x: x.movedim(0, -1), lambda a: np.moveaxis(a, 0, -1)),
    "unsqueeze": (lambda x: x.unsqueeze(middle(x)), lambda a: np.expand_dims(a, middle(a))),
    "squeeze": (lambda x: x[None].squeeze(0), lambda a: a),
    "select": (lambda x: x.select(middle(x) - 1, -1), lambda a: a.take(-1, middle(a) - 1)),
    "narrow": (lambda x: x.narrow(0, 1, len(x) - 1), lambda a: a[1:]),
    "a slice in steps": (lambda x: x[..., ::2], lambda a: a[..., ::2]),
    "a number in front": (lambda x: x[-1], lambda a: a[-1]),
    "expand": (lambda x: x.expand(3, *x.shape), lambda a: np.broadcast_to(a, (3, *a.shape))),
    "expand_as": (lambda x: x.expand_as(x[None]), lambda a: a[None]),
    "broadcast_to": (lambda x: x.broadcast_to(2, *x.shape), lambda a: np.broadcast_to(a, (2, *a.shape))),
    "diagonal": (lambda x: x[None].diagonal(0, 0, -1), lambda a: a[None].diagonal(0, 0, -1)),
    "unfold": (lambda x: x.unfold(0, 2, 2), lambda a: np.lib.stride_tricks.sliding_window_view(a, 2, 0)[::2]),
    "alias": (lambda x: x[...], lambda a: a),
    "mT": (lambda x: x[None].mT, lambda a: a[None].swapaxes(-1, -2)),
}
# Views that look like what they are views of: of any tensor, and of one with dimensions.
AS_BEFORE: tuple[Callable, ...] = (
    *(lambda x: x.view(x.shape), lambda x: x.view(*(x.shape or [()])), lambda x: x.view_as(x), lambda x: x.detach()),
    *(lambda x: x[...], lambda x: x[()], lambda x: x.expand(x.shape), lambda x: x.expand_as(x)),
    *(lambda x: x.broadcast_to(x.shape), lambda x: x.permute([*range(x.dim())]), lambda x: x[None].squeeze(0)),
)
AS_BEFORE_ALONG: tuple[Callable, ...] = (
    *(lambda x: x[:], lambda x: x.narrow(0, 0, len(x)), lambda x: x.unflatten(0, [len(x)]), lambda x: x.chunk(1)[0]),
    *(lambda x: x.transpose(0, 0), lambda x: x.swapaxes(-1, -1), lambda x: x.movedim(0, 0)),
    *(lambda x: x.split(len(x) or 1)[0], lambda x: x.squeeze(longest(x)), lambda x: torch.squeeze(x, dim=longest(x))),
)
# Several views at once.
PARTED: dict[str, tuple[Callable, Callable]] = {
    "unbind": (lambda x: x.unbind(), list),
    "unbind of the last": (lambda x: x.unbind(-1), lambda a: list(np.moveaxis(a, -1, 0))),
    "split": (lambda x: x.split(2), lambda a: np.split(a, range(2, len(a), 2))),
    "split of sizes": (lambda x: x.split([1, len(x) - 1]), lambda a: np.split(a, [1])),
    "chunk": (lambda x: x.chunk(2), lambda a: halves(a, 0)),
    "tensor_split": (lambda x: x.tensor_split(2), lambda a: np.array_split(a, 2)),
    "unsafe_split": (lambda x: x.unsafe_split(2), lambda a: np.split(a, range(2, len(a), 2))),
    "unsafe_chunk": (lambda x: x.unsafe_chunk(2), lambda a: halves(a, 0)),
}
# To whose parts torch lets everybody write.
FREE = ("tensor_split", "unsafe_split", "unsafe_chunk")
# To which torch lets nobody write where it records: of several, or with one element at several places.
REFUSED = ("expand", "broadcast_to", *(name for name in PARTED if name not in FREE))
