"""Functions of two numbers, beside NumPy's, of every number with every other: of a column with a row."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from populations import places
from populations.elements import NUMBERS, SIGNED
from populations.functions import FLOATING, WHOLE
from populations.operations import FUNCTION
from populations.twins import NUMPY, WRITABLE, Twin

SHORT = WHOLE[:4]  # signed ones
WAYS = ("function", "method", "in place", "output")
OUT = ("function", "method", "output")


@dataclass(frozen=True, repr=False)
class Binary:
    """The function of torch of this name beside ``rule(a, b)``, of the numbers that ``left`` and ``right`` leave.

    ``ways``: those of WAYS that it has. ``truth``: it gives truth values.
    """

    name: str
    rule: Callable
    dtypes: tuple = (*FLOATING, *SHORT)
    roundings: int = 0
    ways: tuple = WAYS
    truth: bool = False
    left: Callable = lambda numbers: numbers
    right: Callable = lambda numbers: numbers


# Of infinite numbers and by zero torch divides otherwise than NumPy, and what overflows as a power depends on the way.
DIVIDED = {
    **{"dtypes": (*FLOATING[:2], *SHORT), "roundings": 1, "left": lambda n: n[np.isfinite(n)]},
    "right": lambda n: n[np.isfinite(n) & (n != 0)],
}
RAISED = {"left": lambda n: n[np.abs(n) <= 7], "right": lambda n: n[(n >= 0) & (n <= 3)]}
COMPARED = {"gt": "greater", "lt": "less", "ge": "greater_equal", "le": "less_equal", "eq": "equal", "ne": "not_equal"}
BINARIES = (
    *(Binary(name, rule, roundings=1) for name, rule in (("add", np.add), ("sub", np.subtract), ("mul", np.multiply))),
    *(Binary(name, getattr(np, name), ways=OUT) for name in ("maximum", "minimum", "fmax", "fmin")),
    Binary("clamp_min", np.maximum, ways=("function", "method", "in place")),
    Binary("clamp_max", np.minimum, ways=("function", "method", "in place")),
    *(Binary(name, getattr(np, long), ways=OUT, truth=True) for name, long in COMPARED.items()),
    Binary("div", np.divide, FLOATING, 2),
    Binary("remainder", np.remainder, **DIVIDED),
    Binary("fmod", np.fmod, **DIVIDED),
    Binary("floor_divide", np.floor_divide, **DIVIDED),
    Binary("pow", lambda a, b: a**b, (*FLOATING, torch.int64), FUNCTION, **RAISED),
    Binary("atan2", np.arctan2, FLOATING, FUNCTION),
    Binary("hypot", np.hypot, FLOATING, FUNCTION),
    Binary("copysign", np.copysign, FLOATING, right=lambda n: n[n == n]),  # the sign of NaN is lost on the way here
    Binary("logaddexp", np.logaddexp, FLOATING[:2], FUNCTION, OUT),
    Binary("xlogy", lambda a, b: np.where((a == 0) & ~np.isnan(b), 0, a * np.log(b)), FLOATING, FUNCTION),
)


@dataclass(frozen=True, repr=False)
class Grid:
    """A recipe: ``x, y, expected = grid``: a column, or in place a table of it, and a row, and what NumPy makes of them
    in double precision, infinite beyond the dtype's range.
    """

    binary: Binary
    dtype: torch.dtype
    way: str
    layout: str
    second: bool

    def __repr__(self) -> str:
        return f"{self.binary.name}, {self.way}, of {self.dtype}, {self.layout}{', second device' * self.second}"

    def __iter__(self) -> Iterator:
        numbers = np.array(NUMBERS if self.dtype.is_floating_point else SIGNED, NUMPY[self.dtype])
        a, b = self.binary.left(numbers)[:, None], self.binary.right(numbers)[None]
        a = np.repeat(a, b.size, 1) if self.way == "in place" else a
        wide = [each.astype(np.float64) if each.dtype.kind == "f" else each for each in (a, b)]
        with np.errstate(all="ignore"):
            expected = np.asarray(self.binary.rule(*wide))
        if expected.dtype.kind == "f" and self.dtype.is_floating_point:
            beyond = np.abs(expected) > torch.finfo(self.dtype).max
            expected = np.where(beyond, np.copysign(np.inf, expected), expected)
        yield Twin(self.dtype, a.shape, self.layout, second=self.second).tensor(a)
        yield Twin(self.dtype, b.shape, "contiguous", second=self.second).tensor(b)
        yield expected

    def lacking(self) -> str | None:
        return places.lacks(self.dtype)

    def result(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        name = self.binary.name
        if self.way == "output":
            made = x.new_empty(y.shape[1], x.shape[0], dtype=torch.bool if self.binary.truth else x.dtype).t()
            return getattr(torch, name)(x, y, out=made)
        if self.way == "function":
            return getattr(torch, name)(x, y)
        return getattr(x, f"{name}_" if self.way == "in place" else name)(y)


GRIDS = tuple(
    Grid(binary, dtype, way, WRITABLE[(turn + index + place) % len(WRITABLE)], (turn + index) % 2 == 1)
    for turn, binary in enumerate(BINARIES)
    for index, dtype in enumerate(binary.dtypes)
    for place, way in enumerate(binary.ways)
)
