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


# ── what is written ──


def numbered(numbers: np.ndarray, y: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(numbers).to(y.device)


def rows(y) -> np.ndarray:
    """The rows of ``y``, each from the place before: of four 3, 0, 1, 2, which is not the way back."""
    return np.roll(np.arange(len(y)), 1)


def columns(y) -> np.ndarray:
    """For each row of ``y`` the columns, from another one on."""
    return (np.arange(len(y))[:, None] + np.arange(y.shape[1])) % y.shape[1]


def every_row(y: torch.Tensor) -> torch.Tensor:
    """The places of ``rows`` for each column."""
    return numbered(rows(y), y)[:, None].expand(y.shape)


def shown(y) -> np.ndarray:
    return np.arange(len(y) * y.shape[1]).reshape(len(y), -1) % 3 > 0


def put(b: np.ndarray, at, values, add: bool = False) -> np.ndarray:
    written = b.copy()
    (np.add.at if add else operator.setitem)(written, at, values)
    return written


def in_rows(b: np.ndarray) -> tuple:
    return np.arange(len(b))[:, None], columns(b)


def opposite(y):
    """``y`` conjugated, or where it is real negated, but for truth values: of a tensor a view of its memory."""
    if isinstance(y, np.ndarray):
        return y if y.dtype == bool else y.conj() if y.dtype.kind == "c" else -y
    return y if y.dtype == torch.bool else y.conj() if y.is_complex() else torch._neg_view(y)


TWICE, ONES = np.array([2, 0, 2]), np.array([1, 0, 1])  # columns, and rows, of which one comes again
# By a matrix y of two rows and three columns or more, and a source of as many, in place or not: what y is then.
WRITTEN: dict[str, tuple[Callable, Callable]] = {
    "index_copy": (lambda y, s: y.index_copy(0, numbered(rows(y), y), s), lambda b, a: put(b, rows(b), a)),
    "index_copy_": (lambda y, s: y.index_copy_(0, numbered(rows(y), y), s), lambda b, a: put(b, rows(b), a)),
    "columns by index_copy_": (
        lambda y, s: y.index_copy_(1, numbered(TWICE[:2], y), s[:, :2]),
        lambda b, a: put(b, np.s_[:, TWICE[:2]], a[:, :2]),
    ),
    "index_add": (lambda y, s: y.index_add(0, numbered(rows(y), y), s), lambda b, a: put(b, rows(b), a, True)),
    "index_add_": (lambda y, s: y.index_add_(0, numbered(rows(y), y), s), lambda b, a: put(b, rows(b), a, True)),
    "columns by index_add_": (
        lambda y, s: y.index_add_(1, numbered(TWICE, y), s[:, :3]),
        lambda b, a: put(b.T, TWICE, a[:, :3].T, True).T,
    ),
    "index_fill_": (lambda y, s: y.index_fill_(1, numbered(TWICE, y), 1), lambda b, a: put(b, np.s_[:, TWICE], 1)),
    "scatter": (lambda y, s: y.scatter(0, every_row(y), s), lambda b, a: put(b, rows(b), a)),
    "scatter_": (lambda y, s: y.scatter_(1, numbered(columns(y), y), s), lambda b, a: put(b, in_rows(b), a)),
    "a number by scatter_": (
        lambda y, s: y.scatter_(1, numbered(columns(y)[:, :2], y), 1),
        lambda b, a: put(b, (in_rows(b)[0], columns(b)[:, :2]), 1),
    ),
    "scatter_add": (lambda y, s: y.scatter_add(0, every_row(y), s), lambda b, a: put(b, rows(b), a, True)),
    "scatter_add_": (
        lambda y, s: y.scatter_add_(1, numbered(columns(y), y), s),
        lambda b, a: put(b, in_rows(b), a, True),
    ),
    "scatter_reduce": (
        lambda y, s: y.scatter_reduce(0, every_row(y), s, "amax"),
        lambda b, a: put(b, rows(b), np.maximum(b[rows(b)], a)),
    ),
    "index_put": (lambda y, s: y.index_put((numbered(rows(y), y),), s), lambda b, a: put(b, rows(b), a)),
    "index_put_": (lambda y, s: y.index_put_((numbered(ONES[:2], y),), s[:1]), lambda b, a: put(b, ONES[:2], a[:1])),
    "added by index_put_": (
        lambda y, s: y.index_put_((numbered(ONES, y),), s[:1], True),
        lambda b, a: put(b, ONES, a[:1], True),
    ),
    "y[at] =": (lambda y, s: operator.setitem(y, numbered(rows(y), y), s) or y, lambda b, a: put(b, rows(b), a)),
    "masked_scatter": (
        lambda y, s: y.masked_scatter(numbered(shown(y), y), s),
        lambda b, a: put(b, shown(b), a.ravel()[: shown(b).sum()]),
    ),
    "put": (lambda y, s: y.put(torch.arange(y.numel(), device=y.device).flip(0), s), lambda b, a: a[::-1, ::-1]),
    "put_": (
        lambda y, s: y.put_(numbered(np.array([4, 0]), y), s[0, :2]),
        lambda b, a: put(b.reshape(-1), [4, 0], a[0, :2]).reshape(b.shape),
    ),
    "select_scatter": (lambda y, s: y.select_scatter(s[1], 0, -1), lambda b, a: put(b, -1, a[1])),
    "slice_scatter": (lambda y, s: y.slice_scatter(s[1:], 0, 1), lambda b, a: put(b, np.s_[1:], a[1:])),
    "copy_": (lambda y, s: y.copy_(s), lambda b, a: a),
    "its opposite by copy_": (lambda y, s: y.copy_(opposite(y)), lambda b, a: opposite(b)),
    "its opposite by y[:] =": (lambda y, s: operator.setitem(y, np.s_[:], opposite(y)) or y, lambda b, a: opposite(b)),
    "where": (lambda y, s: torch.where(numbered(shown(y), y), y, s), lambda b, a: np.where(shown(b), b, a)),
    "fill_diagonal_": (lambda y, s: y.fill_diagonal_(1), lambda b, a: put(b, np.diag_indices(min(b.shape)), 1)),
    "a column by fill_": (lambda y, s: (y.select(1, 1).fill_(1), y)[1], lambda b, a: put(b, np.s_[:, 1], 1)),
}
if RELEASE < (2, 1):  # which leaves what lies in the same places as it is
    del WRITTEN["its opposite by copy_"], WRITTEN["its opposite by y[:] ="]


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
    # which count their matrices by a letter within both operands, or within one of them
    "einsum of heads": (
        lambda n, k, m: ((2, n, 3, k), (2, m, 3, k)),
        lambda a, b: torch.einsum("bqhd,bkhd->bhqk", a, b),
        lambda a, b: np.matmul(a.transpose(0, 2, 1, 3), b.transpose(0, 2, 3, 1)),
    ),
    "einsum of groups": (
        lambda n, k, m: ((n, 3, k), (3, k, m)),
        lambda a, b: torch.einsum("bij,ijk->bik", a, b),
        lambda a, b: np.matmul(a.swapaxes(0, 1), b).swapaxes(0, 1),
    ),
    "addmm": (
        lambda n, k, m: ((n, k), (k, m)),
        lambda a, b: torch.addmm(a.sum(1, True, dtype=a.dtype), a, b, beta=3, alpha=2),
        lambda a, b: 3 * a.sum(1, a.dtype, None, True) + 2 * (a @ b),
    ),
    "addmm to a row": (
        lambda n, k, m: ((n, k), (k, m)),
        lambda a, b: torch.addmm(b.sum(0, dtype=b.dtype), a, b, alpha=2),
        lambda a, b: b.sum(0, b.dtype) + 2 * (a @ b),
    ),
    "addmm of no weight": (  # what is added nothing of may be no number
        lambda n, k, m: ((n, k), (k, m)),
        lambda a, b: torch.addmm(a.new_full((1,), math.nan if a.is_floating_point() else 7), a, b, beta=0, alpha=2),
        lambda a, b: 2 * np.matmul(a, b),
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
        lambda a, b: torch.baddbmm(
            a.new_full((1, 1, 1), math.nan if a.is_floating_point() else 7), a, b, beta=0, alpha=2
        ),
        lambda a, b: 2 * np.matmul(a, b),
    )
SIZES = ((2, 3, 4), (1, 1, 1), (5, 1, 3), (1, 7, 1), (3, 0, 2), (0, 3, 2), (17, 33, 9), (2, 65, 31))
LARGE = ((2, 65_537, 1), (300, 2, 301))  # more elements than 16 bits count, to add up or to put out
