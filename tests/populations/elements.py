"""Functions of each element, beside NumPy's, of numbers of every kind: fractions and large ones, both zeros and both
infinities, NaN, whole numbers of every width, and truth values.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from populations import places
from populations.functions import FLOATING, WHOLE
from populations.layouts import once
from populations.operations import FUNCTION
from populations.twins import HALVES, NUMPY, WRITABLE, Twin, real_of

# Exact in every floating dtype: where functions bend, jump or end, halves that are rounded to even, and ends of exp.
NUMBERS = (
    *(0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.0, -3.0, 0.75, -0.75),
    *(7.0, -7.0, 20.0, -20.0, 112.0, -112.0, 2.0**-10, -(2.0**-10), 30720.0, -30720.0),
)
SIGNED = (0, 1, -1, 2, -2, 3, -3, 7, -7, 100, -100, 127, -127)
# Of signed ones the least too, a power of two, which every floating dtype holds and which is its own opposite.
COUNTED = {dtype: (*SIGNED, torch.iinfo(dtype).min) for dtype in WHOLE[:-1]}
COUNTED |= {torch.uint8: (0, 1, 2, 3, 7, 100, 127, 128, 255), torch.bool: (False, True, True)}
# Past the digits of single and of double precision, and the largest, for functions that give the same dtype.
WIDE = {torch.int16: (2**15 - 1,), torch.int32: (2**24 + 1, -(2**30) - 1, 2**31 - 1)}
WIDE[torch.int64] = (2**53 + 1, -(2**30) - 1, 2**63 - 1)
COMPLEX = (0.75 + 1j, -1 + 2j, 3 - 0.5j, -2 - 2j, 1 + 0j, 0.5j, 1.5j - 3)
REAL = (*FLOATING, *WHOLE)
EVERY = (*REAL, torch.bool)
OF_COMPLEX = (torch.complex64, torch.complex128)
WAYS = ("function", "method", "in place")


@dataclass(frozen=True, repr=False)
class Element:
    """The function of torch, and method, of this name beside ``rule(array)``; ``more`` comes after x.

    ``gives``: "same", the dtype of x; "floating", of whole numbers the default dtype; "truth", truth values; "parts",
    of complex numbers real ones. ``roundings``: the units that a value may be off. ``ways``: how many of WAYS it has.
    """

    name: str
    rule: Callable
    dtypes: tuple = REAL
    gives: str = "same"
    roundings: int = 0
    ways: int = 3
    more: tuple = ()


def each(function: Callable) -> Callable:
    """A function of one number, for arrays."""
    return np.vectorize(function, otypes=[np.float64])


SMOOTH = {"dtypes": EVERY, "gives": "floating", "roundings": FUNCTION}
NUMPY_S = {"neg": "negative", "bitwise_not": "invert", "conj": "conjugate"} | {
    f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
}


def like_numpy(names: str, **rest) -> Iterator[Element]:
    for name in names.split():
        yield Element(name, getattr(np, NUMPY_S.get(name, name)), **rest)


ELEMENTS = (
    *like_numpy("exp exp2 expm1 log log2 log10 log1p sqrt reciprocal sin cos tan asin acos atan", **SMOOTH),
    *like_numpy("sinh cosh tanh asinh acosh atanh deg2rad", **SMOOTH),
    Element("rsqrt", lambda x: 1 / np.sqrt(x), **SMOOTH),
    Element("sigmoid", lambda x: 1 / (1 + np.exp(-x)), **SMOOTH),
    Element("erf", each(math.erf), **SMOOTH),
    Element("erfc", each(math.erfc), **SMOOTH),
    # exact
    *like_numpy("abs neg floor ceil trunc round"),
    Element("sign", lambda x: np.where(np.isnan(x), 0, np.sign(x.astype(float))), EVERY),  # of NaN 0, NumPy's is NaN
    *like_numpy("square", dtypes=FLOATING[:2]),
    *like_numpy("isnan isinf isfinite", gives="truth", ways=2),
    *like_numpy("logical_not", dtypes=EVERY, gives="truth"),
    *like_numpy("bitwise_not", dtypes=(*WHOLE, torch.bool)),
    Element("frac", lambda x: x - np.trunc(x), FLOATING),
    Element("relu", lambda x: np.maximum(x, 0)),
    # with numbers
    Element("clamp", lambda a: np.clip(a, -2, 5), REAL[:-1], more=(-2, 5)),
    Element("nan_to_num", lambda a: np.nan_to_num(a, nan=7, posinf=3, neginf=-4), more=(7.0, 3.0, -4.0)),
    Element("remainder", lambda a: a % 3, (*FLOATING[:2], *WHOLE), more=(3,)),
    Element("remainder", lambda a: a % -3, (*FLOATING[:2], *WHOLE[:-1]), more=(-3,)),
    Element("fmod", lambda a: np.fmod(a, a.dtype.type(3)), (*FLOATING[:2], *WHOLE), more=(3,)),
    Element("floor_divide", lambda a: a // 3, (*FLOATING[:2], *WHOLE), more=(3,)),
    Element("pow", lambda a: a**2, FLOATING[:2], more=(2,)),
    Element("pow", lambda a: a**3, (torch.float64, torch.int64), more=(3,)),
    Element("pow", lambda a: 1 / a, FLOATING, "same", 2, more=(-1,)),
    Element("pow", np.sqrt, FLOATING[:2], "same", 2, more=(0.5,)),
    Element("pow", lambda a: a**0, more=(0,)),
    # of complex numbers
    *like_numpy("abs angle", dtypes=OF_COMPLEX, gives="parts", roundings=16, ways=2),
    *like_numpy("conj", dtypes=OF_COMPLEX, ways=2),
    *like_numpy("neg square reciprocal exp exp2 sqrt log log2 log10 log1p", dtypes=OF_COMPLEX, roundings=2 * FUNCTION),
    *like_numpy(
        "sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh", dtypes=OF_COMPLEX, roundings=2 * FUNCTION
    ),
    Element("sigmoid", lambda x: 1 / (1 + np.exp(-x)), OF_COMPLEX, roundings=2 * FUNCTION),
    Element("rsqrt", lambda x: 1 / np.sqrt(x), OF_COMPLEX, roundings=2 * FUNCTION),
    Element("sgn", lambda x: x / np.abs(x), OF_COMPLEX, roundings=FUNCTION),
    *like_numpy("isnan isinf isfinite", dtypes=OF_COMPLEX, gives="truth", ways=2),
    *like_numpy("logical_not", dtypes=OF_COMPLEX, gives="truth"),
)


@dataclass(frozen=True, repr=False)
class Trial:
    """A recipe: ``x, expected = trial``, the latter by NumPy in double precision, infinite beyond the dtype's range."""

    element: Element
    twin: Twin
    way: str

    def __repr__(self) -> str:
        return f"{self.element.name}{self.element.more or ''}, {self.way}, of {self.twin!r}"

    def __iter__(self) -> Iterator:
        dtype = self.twin.dtype
        numbers = NUMBERS if dtype.is_floating_point else COMPLEX if dtype.is_complex else COUNTED[dtype]
        numbers = (*numbers, *(WIDE.get(dtype, ()) if self.element.gives == "same" else ()))
        numbers = np.roll(np.array(numbers, NUMPY[dtype]), self.twin.seed)
        array = np.resize(numbers, once(self.twin.shape, self.twin.layout))
        array = np.broadcast_to(array, self.twin.shape)
        wide = array.astype(np.float64) if array.dtype.kind == "f" or self.element.gives == "floating" else array
        with np.errstate(all="ignore"):
            expected = np.asarray(self.element.rule(wide))
        if expected.dtype.kind == "f" and self.dtype().is_floating_point:
            beyond = np.isfinite(expected) & (np.abs(expected) > torch.finfo(self.dtype()).max)
            expected = np.where(beyond, np.copysign(math.inf, expected), expected)
        yield from (self.twin.tensor(array), expected)

    def lacking(self) -> str | None:
        return places.lacks(self.twin.dtype) or places.lacks(self.dtype())

    def result(self, x: torch.Tensor) -> torch.Tensor:
        name = f"{self.element.name}_" if self.way == "in place" else self.element.name
        return getattr(torch if self.way == "function" else torch.Tensor, name)(x, *self.element.more)

    def dtype(self) -> torch.dtype:
        """That of the result; in place it is always that of x."""
        own, gives = self.twin.dtype, self.element.gives
        if gives == "truth" and self.way != "in place":
            return torch.bool
        if gives == "parts":
            return real_of(own)
        return torch.get_default_dtype() if gives == "floating" and not own.is_floating_point else own


def every_kind() -> Iterator[Trial]:
    """Each function of each dtype in each way, in place of floating numbers alone, and of a column and a
    row that are repeated, and of a number; of half precision in five dimensions; of many elements, and of none.
    """
    for turn, element in enumerate(ELEMENTS):
        for index, dtype in enumerate(element.dtypes):
            for place, way in enumerate(WAYS[: element.ways]):
                if way == "in place" and element.gives == "floating" and not dtype.is_floating_point:
                    continue
                layout = WRITABLE[(turn + index + place) % len(WRITABLE)]
                shape = ((28,), (3, 9), (2, 3, 5), (2, 3, 3, 2))[(turn + index + index // 4 + place) % 4]
                yield Trial(element, Twin(dtype, shape, layout, second=(turn + place) % 3 == 0), way)
            yield Trial(element, Twin(dtype, (28, 3), "expanded columns"), WAYS[(turn + index) % 2])
            yield Trial(element, Twin(dtype, (3, 28), "expanded"), WAYS[(turn + index + 1) % 2])
            yield Trial(element, Twin(dtype, (), "offset", seed=turn + 5 * index), WAYS[(turn + index) % 2])
        for dtype in (half for half in HALVES if half in element.dtypes):
            yield Trial(element, Twin(dtype, (2, 1, 3, 2, 3), WRITABLE[turn % 4]), WAYS[turn % 2])
        yield Trial(element, Twin(element.dtypes[0], (65_557,), "contiguous"), WAYS[turn % 2])
        yield Trial(element, Twin(element.dtypes[-1], (0, 3), "gappy"), WAYS[turn % 2])


TRIALS = tuple(every_kind())
