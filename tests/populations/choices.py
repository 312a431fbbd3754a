"""Places in tensors of three rows and four columns, by indices of every kind; products of matrices in every form."""

import math
import operator
from collections.abc import Callable

import numpy as np
import torch

from populations.initialisers import RELEASE
from populations.layouts import arranged

MANY = np.arange(4_100) % 3  # which times 20 elements are more than 16 bits count
# ``PLACES[name](of)`` is an index; ``of`` makes what a list of numbers or truth values is there: a tensor, an array.
PLACES: dict[str, Callable] = {
    "a row": lambda of: 1,
    "the last row": lambda of: -1,
    "every second column": lambda of: np.s_[:, ::2],
    "a part": lambda of: np.s_[1:, 1:3],
    "of the last dimension": lambda of: np.s_[..., -1],
    "a new dimension": lambda of: np.s_[:, None, 1:],
    "an empty part": lambda of: np.s_[3:],
    "rows, one again": lambda of: of([2, 0, 2]),
    "rows from the end": lambda of: of([-1, 0]),
    "a table of rows": lambda of: of([[0, 1], [2, 0]]),
    "many rows": lambda of: of(MANY),
    "columns": lambda of: (slice(None), of([1, 3, 3])),
    "parts of columns": lambda of: (slice(1, None), of([3, 0])),
    "in the last dimension": lambda of: (..., of([0, -1, 0])),
    "pairs": lambda of: (of([0, 2]), of([1, 3])),
    "a grid": lambda of: (of([[0], [2]]), of([1, 3, 0])),
    "a row's columns": lambda of: (1, of([0, 2])),
    "columns in front": lambda of: (None, slice(None), of([0, 2])),
    "rows by a mask": lambda of: of([True, False, True]),
    "columns by a mask": lambda of: (slice(None), of([True, False, True, False])),
    "a mask and a number": lambda of: (of([True, False, True]), 1),
    "rows by a mask, in part": lambda of: (of([True, False, True]), slice(1, 3)),
    "rows, every second element": lambda of: (of([2, 0]), slice(None, None, 2)),
    "no row": lambda of: of([False] * 3),
    "rows and others apart": lambda of: (of([0, 2]), slice(None), of([1, 0])),
}
# Choices and writes by truth values: of x's shape, of its rows, of its columns. What is written counts on in row order.
MASKED: dict[str, tuple[Callable, Callable]] = {
    "masked_select": (lambda x, mask: x.masked_select(mask), lambda a, mask: a[np.broadcast_to(mask, a.shape)]),
    "masked_select of a mask's": (
        lambda x, mask: torch.masked_select(x, mask.expand(x.shape)),
        lambda a, mask: a[np.broadcast_to(mask, a.shape)],
    ),
    "[mask]": (lambda x, mask: x[mask.expand(x.shape)], lambda a, mask: a[np.broadcast_to(mask, a.shape)]),
    "masked_scatter": (lambda x, mask: x.masked_scatter(mask, counted(x)), lambda a, mask: scattered(a, mask)),
    "masked_scatter_": (lambda x, mask: x.masked_scatter_(mask, counted(x)), lambda a, mask: scattered(a, mask)),
    "masked_fill_": (lambda x, mask: x.masked_fill_(mask, 1), lambda a, mask: np.where(mask, a.dtype.type(1), a)),
    "where": (lambda x, mask: torch.where(mask, x, 0 * x), lambda a, mask: np.where(mask, a, 0 * a)),
    "assigned": (
        lambda x, mask: x.__setitem__(mask.expand(x.shape), 1) or x,
        lambda a, mask: np.where(mask, a.dtype.type(1), a),
    ),
    "nonzero": (lambda x, mask: (mask & (x == x)).nonzero(), lambda a, mask: np.argwhere(mask & (a == a))),
}
if RELEASE < (2, 1):  # which wrote into a transposed tensor in another order
    del MASKED["masked_scatter_"]
DEEP = ("rows and others apart",)  # which takes three dimensions


def counted(x: torch.Tensor) -> torch.Tensor:
    """As many numbers as ``x`` has elements: 1, 2, 3, 1, 2, ..."""
    return (torch.arange(x.numel(), device="cpu") % 3 + 1).to(x)


def scattered(a: np.ndarray, mask: np.ndarray) -> np.ndarray:
    written, mask = a.copy(), np.broadcast_to(mask, a.shape)
    written[mask] = np.arange(mask.sum()) % 3 + 1
    return written


def of_arrays(numbers):
    return np.asarray(numbers)


def on(device: torch.device, layout: str = "contiguous") -> Callable:
    """What makes tensors on ``device``, which lie there as a twin of this layout does."""

    def of(numbers) -> torch.Tensor:
        buffer, strides, offset = arranged(np.asarray(numbers), layout)
        return torch.from_numpy(buffer).to(device).as_strided(np.shape(numbers), strides, offset)

    return of


# Writes by places along columns: of a matrix x of at least three columns, in place, and of its array.


def spots(x) -> np.ndarray:
    """For each row the places 2, 0 and 1 in an order of its own."""
    return (np.arange(len(x))[:, None] + [2, 0, 1]) % 3


def numbers(a: np.ndarray) -> np.ndarray:
    """1, 2 and 3 for each row, of the dtype of ``a``."""
    return np.broadcast_to(np.array([1, 2, 3], a.dtype), (len(a), 3))


def put(a: np.ndarray, at, values, add: bool = False) -> np.ndarray:
    written = a.copy()
    (np.add.at if add else operator.setitem)(written, at, values)
    return written


def rows_of(a: np.ndarray) -> tuple:
    return np.arange(len(a))[:, None], spots(a)


def here(x: torch.Tensor, array: np.ndarray) -> torch.Tensor:
    """The array as a tensor beside ``x``."""
    return torch.from_numpy(array.copy()).to(x.device)


WRITTEN: dict[str, tuple[Callable, Callable]] = {
    "scatter_": (
        lambda x, a: x.scatter_(1, here(x, spots(a)), here(x, numbers(a)).to(x)),
        lambda a: put(a, rows_of(a), numbers(a)),
    ),
    "scatter_ of a number": (lambda x, a: x.scatter_(1, here(x, spots(a)), 1), lambda a: put(a, rows_of(a), 1)),
    "scatter_add_": (
        lambda x, a: x.scatter_add_(1, here(x, spots(a)), here(x, numbers(a)).to(x)),
        lambda a: put(a, rows_of(a), numbers(a), True),
    ),
    "index_add_": (
        lambda x, a: x.index_add_(1, torch.tensor([2, 0, 2], device=x.device), here(x, numbers(a)).to(x)),
        lambda a: put(a.T, [2, 0, 2], numbers(a).T, True).T,
    ),
    "index_copy_": (
        lambda x, a: x.index_copy_(1, torch.tensor([2, 0, 1], device=x.device), here(x, numbers(a)).to(x)),
        lambda a: put(a, np.s_[:, [2, 0, 1]], numbers(a)),
    ),
    "index_fill_": (
        lambda x, a: x.index_fill_(1, torch.tensor([2, 0], device=x.device), 1),
        lambda a: put(a, np.s_[:, [2, 0]], 1),
    ),
    "put_": (
        lambda x, a: x.put_(torch.tensor([4, 0], device=x.device), torch.tensor([1, 0], device=x.device).to(x)),
        lambda a: put(a.reshape(-1), [4, 0], [1, 0]).reshape(a.shape),
    ),
    "index_put_": (
        lambda x, a: x.index_put_((torch.tensor([1, 0], device=x.device),), here(x, a[:1, :]).to(x)),
        lambda a: put(a, [1, 0], a[:1]),
    ),
    "index_put_, added": (
        lambda x, a: x.index_put_((torch.tensor([1, 0, 1], device=x.device),), here(x, a[:1, :]).to(x), True),
        lambda a: put(a, [1, 0, 1], a[:1], True),
    ),
    "fill_diagonal_": (lambda x, a: x.fill_diagonal_(1), lambda a: put(a, np.diag_indices(min(a.shape)), 1)),
    "select_": (lambda x, a: (x.select(1, 1).fill_(1), x)[1], lambda a: put(a, np.s_[:, 1], 1)),
}


# ── products ──

# Forms, and the shapes of their operands for n rows, m columns and k in between: each row, or vector, with each column.
PRODUCTS: dict[str, tuple[Callable, Callable, Callable]] = {
    "a @ b": (lambda n, k, m: ((n, k), (k, m)), lambda a, b: a @ b, np.matmul),
    "mm": (lambda n, k, m: ((n, k), (k, m)), lambda a, b: torch.mm(a, b), np.matmul),
    "matrix @ vector": (lambda n, k, m: ((n, k), (k,)), lambda a, b: a @ b, np.matmul),
    "vector @ matrix": (lambda n, k, m: ((k,), (k, m)), lambda a, b: a @ b, np.matmul),
    "mv": (lambda n, k, m: ((n, k), (k,)), lambda a, b: torch.mv(a, b), np.matmul),
    "dot": (lambda n, k, m: ((k,), (k,)), lambda a, b: torch.dot(a, b), np.dot),
    "bmm": (lambda n, k, m: ((3, n, k), (3, k, m)), lambda a, b: torch.bmm(a, b), np.matmul),
    "a batch by a matrix": (lambda n, k, m: ((3, n, k), (k, m)), lambda a, b: torch.matmul(a, b), np.matmul),
    "a matrix by a batch": (lambda n, k, m: ((n, k), (3, k, m)), lambda a, b: torch.matmul(a, b), np.matmul),
    "batches that repeat": (lambda n, k, m: ((2, 1, n, k), (3, k, m)), lambda a, b: a @ b, np.matmul),
    "a batch by a vector": (lambda n, k, m: ((3, n, k), (k,)), lambda a, b: a.matmul(b), np.matmul),
    "of heads": (  # as attention has them: neither factor nor its transpose lies in one piece
        lambda n, k, m: ((2, n, 3, k), (2, m, 3, k)),
        lambda a, b: a.permute(0, 2, 1, 3) @ b.permute(0, 2, 3, 1),
        lambda a, b: np.matmul(a.transpose(0, 2, 1, 3), b.transpose(0, 2, 3, 1)),
    ),
    "outer": (lambda n, k, m: ((n,), (m,)), lambda a, b: torch.outer(a, b), np.outer),
    "inner": (lambda n, k, m: ((n, k), (m, k)), lambda a, b: torch.inner(a, b), np.inner),
    "tensordot": (lambda n, k, m: ((n, k), (k, m)), lambda a, b: torch.tensordot(a, b, dims=1), np.matmul),
    "einsum": (
        lambda n, k, m: ((n, k), (m, k)),
        lambda a, b: torch.einsum("ij,kj->ik", a, b),
        lambda a, b: np.einsum("ij,kj->ik", a, b),
    ),
    "addmm": (
        lambda n, k, m: ((n, k), (k, m)),
        lambda a, b: torch.addmm(a.sum(1, True, dtype=a.dtype), a, b, beta=3, alpha=2),
        lambda a, b: 3 * a.sum(1, a.dtype, None, True) + 2 * (a @ b),
    ),
    "addmm of no weight": (  # what is added nothing of may be no number
        lambda n, k, m: ((n, k), (k, m)),
        lambda a, b: torch.addmm(a.new_full((1,), math.nan if a.is_floating_point() else 7), a, b, beta=0),
        np.matmul,
    ),
    "baddbmm": (
        lambda n, k, m: ((3, n, k), (3, k, m)),
        lambda a, b: torch.baddbmm(b.sum(1, True, dtype=b.dtype), a, b, alpha=2),
        lambda a, b: b.sum(1, b.dtype, None, True) + 2 * (a @ b),
    ),
}
if RELEASE >= (2, 2):  # torch 2.0 multiplies what is no number by 0, and gets none
    PRODUCTS["baddbmm of no weight"] = (
        lambda n, k, m: ((3, n, k), (3, k, m)),
        lambda a, b: torch.baddbmm(a.new_full((1, 1, 1), math.nan if a.is_floating_point() else 7), a, b, beta=0),
        np.matmul,
    )
SIZES = ((2, 3, 4), (1, 1, 1), (5, 1, 3), (1, 7, 1), (3, 0, 2), (0, 3, 2), (17, 33, 9), (2, 65, 31))
LARGE = ((2, 65_537, 1), (300, 2, 301))  # more elements than 16 bits count, to add up or to put out
