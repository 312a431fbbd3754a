"""Functions along dimensions: sums, extremes, running ones, orders and choices, each beside what NumPy makes of it."""

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType

import numpy as np
import torch

from populations.entropy import log_softmax, softmax
from populations.initialisers import RELEASE
from populations.twins import HALVES, SINGLE_AND_DOUBLE

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
# Many functions of the CPU know half precision from torch 2.7 on.
FLOATING = (*SINGLE_AND_DOUBLE, *(HALVES if RELEASE >= (2, 7) else ()))
REAL = (*FLOATING, *WHOLE)
EVERY = (*REAL, torch.bool)
COMPLEX = (torch.complex64, torch.complex128)
CONTINUOUS, TOTAL = (*FLOATING, *COMPLEX), (*EVERY, *COMPLEX)
# An older ``all``, as was seen up to 2.2, takes a complex number for false whose real part is 0.
TRUE = TOTAL if RELEASE >= (2, 7) else EVERY
ALL, ANY, SOME, ONE = (NoneType,), (NoneType, int, tuple), (int, tuple), (int,)


@dataclass(frozen=True, repr=False)
class Function:
    """``apply(call, x, dim)``, with ``call(name, x, ...)`` for ``torch.name(x, ...)`` or ``x.name(...)``, beside
    ``rule(array, dim)`` of float64, complex128, int64 or truth values.

    ``over``: the types of ``dim``. ``least``: it needs so many elements along that. ``gives``: the dtype of the result
    where it is not that of x; by "wide", int64 of whole numbers; by "parts", of complex numbers real ones.
    ``roundings`` of n elements: the units that a value may be off, of the size of the largest; None where no step
    rounds small whole numbers. ``most``: more elements would leave the dtype. ``repeated``: may one element stand for
    all of a dimension. ``number``: does it take what has no dimension as if it were alone in one. ``values``: see Twin.
    """

    name: str
    apply: Callable
    rule: Callable
    dtypes: tuple = EVERY
    over: tuple = ONE
    gives: torch.dtype | str | None = None
    least: int = 0
    most: int = 100_000
    roundings: Callable | None = None
    repeated: bool = True
    number: bool = True
    values: str = "small"


def widened(array: np.ndarray) -> np.ndarray:
    """``array`` in the dtype in which NumPy is to compute: float64, complex128, int64 or truth values."""
    return array.astype({"b": bool, "f": np.float64, "c": np.complex128}.get(array.dtype.kind, np.int64))


def dims(dim) -> dict:
    return {} if dim is None else {"dim": dim}


def named(name: str, rule: Callable, dtypes: tuple = EVERY, *rest, **more) -> Function:
    """The function ``name`` of x and ``dim``, of the first result where there are two."""

    def apply(call, x, dim):
        result = call(name, x, **dims(dim))
        return result if isinstance(result, torch.Tensor) else result[0]

    return Function(name, apply, rule, dtypes, *rest, **more)


def by_place(name: str, rule: Callable, **rest) -> Function:
    """The elements at the places that ``name`` tells."""

    def apply(call, x, dim):
        result = call(name, x, dim=dim, keepdim=True)
        places = result if isinstance(result, torch.Tensor) else result[1]
        return x.reshape(-1)[places] if dim is None else x.take_along_dim(places, dim)

    def kept(a, dim):
        return np.expand_dims(rule(a, dim), tuple(range(a.ndim)) if dim is None else dim)

    return Function(f"{name}, by place", apply, kept, REAL, number=False, **{**EXTREME, **rest})


def largest(a, dim):
    return a.max(dim)


def smallest(a, dim):
    return a.min(dim)


def lower_middle(a, dim):
    return np.take(np.sort(a, dim), (a.shape[dim] - 1) // 2, dim)


def downwards(a, dim):
    return np.flip(np.sort(a, dim), dim)


def log_sum(a, dim):
    return np.log(np.exp(a).sum(dim))


def along(x: torch.Tensor, dim: int) -> int:
    """How many elements lie along ``dim``: one in what has no dimension."""
    return x.shape[dim] if x.dim() else 1


def chosen(size: int) -> np.ndarray:
    """Places: the last, then all from the first on, then the first again."""
    return np.array([size - 1, *range(size), 0])


def at(x: torch.Tensor, dim: int) -> torch.Tensor:
    return torch.from_numpy(chosen(x.shape[dim])).to(x.device)


def of_rows(x: torch.Tensor, dim: int) -> torch.Tensor:
    """The places of ``at`` for every row along ``dim``."""
    return at(x, dim).view(-1, *[1] * (x.dim() - 1 - dim % x.dim())).expand(*x.shape[:dim], -1, *x.shape[dim:][1:])


def gathered(a, dim):
    return np.take(a, chosen(a.shape[dim]), dim)


def added(a, dim):
    """What each place adds up to where the ``gathered`` elements of ``a`` are brought back to theirs."""
    sums = np.moveaxis(np.zeros_like(a), dim, 0)
    np.add.at(sums, chosen(a.shape[dim]), np.moveaxis(gathered(a, dim), dim, 0))
    return np.moveaxis(sums, 0, dim)


EXTREME = {"values": "distinct", "least": 1}
MEDIAN = EXTREME | {"repeated": False}  # along such a dimension the CPU's reads beside the memory: any numbers
CHOSEN = {"least": 1, "number": False}
# Of n terms: a sum and what is taken of it; a product has as many factors.
SUM = {"least": 1, "roundings": lambda n: 10 + 2 * n}
FUNCTIONS = (
    named("sum", lambda a, dim: a.sum(dim), TOTAL, ANY, gives="wide"),
    named("nansum", lambda a, dim: a.sum(dim), REAL, over=ANY, gives="wide"),
    named("count_nonzero", lambda a, dim: (a != 0).sum(dim), TOTAL, ANY, gives=torch.int64),
    named("amax", largest, over=ANY, **EXTREME),
    named("amin", smallest, over=ANY, **EXTREME),
    named("max", largest, over=(NoneType, int), **EXTREME),
    named("min", smallest, over=(NoneType, int), **EXTREME),
    named("median", lower_middle, REAL, **MEDIAN),
    *(
        named(name, rule, TRUE, ANY if RELEASE >= (2, 2) else (NoneType, int), gives="truth")
        for name, rule in (("all", lambda a, dim: a.all(dim)), ("any", lambda a, dim: a.any(dim)))
    ),
    *(by_place(name, rule, over=(NoneType, int)) for name, rule in (("argmax", largest), ("argmin", smallest))),
    *(by_place(name, rule) for name, rule in (("max", largest), ("min", smallest))),
    by_place("median", lower_middle, **MEDIAN),
    Function(
        "kthvalue",
        lambda call, x, dim: call("kthvalue", x, (along(x, dim) + 1) // 2, dim=dim)[0],
        *(lower_middle, REAL),
        **EXTREME,
    ),
    Function(
        "topk",
        lambda call, x, dim: call("topk", x, max(1, along(x, dim) - 1), dim=dim)[0],
        lambda a, dim: np.take(downwards(a, dim), range(max(1, a.shape[dim] - 1)), dim),
        *(REAL, ONE),
        **EXTREME,
    ),
    # sums and products that round
    named("mean", lambda a, dim: a.mean(dim), CONTINUOUS, ANY, **SUM),
    named("logsumexp", log_sum, FLOATING, over=SOME, **SUM),
    *(
        Function(
            name,
            lambda call, x, dim, name=name: call(name, x, dim=dim, correction=0),
            lambda a, dim, name=name: getattr(a, name)(dim),
            *(CONTINUOUS, ANY, "parts"),
            **SUM | {"least": 2},
        )
        for name in ("std", "var")
    ),
    Function(
        "vector_norm",
        lambda call, x, dim: torch.linalg.vector_norm(x, **dims(dim)),
        lambda a, dim: np.sqrt((np.abs(a) ** 2).sum(dim)),
        *(CONTINUOUS, ANY, "parts"),
        **SUM | {"least": 2},
    ),
    named("softmax", lambda a, dim: softmax(a, dim), FLOATING, **SUM),
    named("log_softmax", lambda a, dim: log_softmax(a, dim), FLOATING, **SUM),
    *(  # of which float16 has none past 65,504
        named(name, rule, tuple(each for each in TOTAL if each != torch.float16), over, "wide", most=17, **SUM)
        for name, rule, over in (
            ("prod", lambda a, dim: a.prod(dim), (NoneType, int)),
            ("cumprod", lambda a, dim: a.cumprod(dim), ONE),
        )
    ),
    # as many as there are
    named("cumsum", lambda a, dim: a.cumsum(dim), TOTAL, gives="wide"),
    named("cummax", lambda a, dim: np.maximum.accumulate(a, dim), **EXTREME),
    named("cummin", lambda a, dim: np.minimum.accumulate(a, dim), **EXTREME),
    named("logcumsumexp", lambda a, dim: np.logaddexp.accumulate(a, dim), FLOATING[:2], **SUM),
    named("sort", lambda a, dim: np.sort(a, dim), values="distinct"),
    Function("sort downwards", lambda call, x, dim: call("sort", x, dim, True)[0], downwards, values="distinct"),
    Function(
        "argsort",
        lambda call, x, dim: x.take_along_dim(call("argsort", x, dim), dim),
        lambda a, dim: np.sort(a, dim),
        number=False,
        values="distinct",
    ),
    Function(
        "greatest share, by place",
        lambda call, x, dim: x.take_along_dim(call("softmax", x, dim).argmax(dim, keepdim=True), dim),
        lambda a, dim: a.max(dim, keepdims=True),
        FLOATING,
        number=False,
        **EXTREME,
    ),
    # choices of some
    Function("flip", lambda call, x, dim: call("flip", x, (dim,)), lambda a, dim: np.flip(a, dim), TOTAL),
    Function(
        "roll", lambda call, x, dim: call("roll", x, 1, dim), lambda a, dim: np.roll(a, 1, dim), TOTAL, number=False
    ),
    Function(
        "diff",
        lambda call, x, dim: call("diff", x, dim=dim),
        lambda a, dim: np.diff(a, 1, dim),
        (*REAL[:-1], *COMPLEX),
        **CHOSEN,
    ),
    Function("gather", lambda call, x, dim: call("gather", x, dim, of_rows(x, dim)), gathered, TOTAL, **CHOSEN),
    Function("index_select", lambda call, x, dim: call("index_select", x, dim, at(x, dim)), gathered, TOTAL, **CHOSEN),
    *(
        Function(
            name,
            lambda call, x, dim, name=name, places=places: call(
                name, torch.zeros_like(x), dim, places(x, dim), x.index_select(dim, at(x, dim))
            ),
            added,
            (*REAL, *COMPLEX),
            **CHOSEN,
        )
        for name, places in (("index_add", at), ("scatter_add", of_rows))
    ),
    Function(
        "repeat_interleave",
        lambda call, x, dim: call("repeat_interleave", x, 2, dim),
        lambda a, dim: np.repeat(a, 2, dim),
        TOTAL,
        number=False,
    ),
    Function(
        "cat",
        lambda call, x, dim: torch.cat([x, x], dim),
        lambda a, dim: np.concatenate([a, a], dim),
        TOTAL,
        number=False,
    ),
    Function(
        "stack of what was unbound",
        lambda call, x, dim: torch.stack(call("unbind", x, dim)[::-1], dim),
        lambda a, dim: np.flip(a, dim),
        TOTAL,
        most=17,
        **CHOSEN,
    ),
)
