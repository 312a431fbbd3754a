"""Trials of the functions of ``functions``: what each does along one dimension, of one dtype, layout or size, it must
do along any and of any.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from populations.core import Population, among
from populations.functions import FUNCTIONS, Function, widened
from populations.layers import summed
from populations.layouts import REPEATED
from populations.twins import HALVES, Twin, differentiable, real_of

# A shape, the dimensions, and the layout. Each dtype meets one case of each of these:
GROUPS = {
    "all": (((7,), None, "gappy"), ((3, 5), None, "transposed")),
    "the only": (((9,), 0, "gappy"), ((5,), -1, "offset")),
    "the first": (((3, 5), 0, "contiguous"), ((5, 3), 0, "transposed"), ((3, 4, 5), 0, "batch second")),
    "the middle": (((2, 17, 3), 1, "gappy"), ((2, 17, 3), -2, "transposed")),
    "one of four": (((2, 3, 4, 5), 1, "channels last"), ((2, 3, 4, 5), -2, "gappy")),
    "the last": (
        *(((3, 5), 1, "gappy"), ((3, 5), -1, "offset")),
        *(((3, 4, 5), -1, "channels last"), ((2, 3, 4, 5), 3, "transposed")),
    ),
    "many": (((17,), 0, "gappy"), ((17,), None, "contiguous")),  # for a product
}
USUAL = tuple(itertools.chain.from_iterable(GROUPS.values()))
NUMBERS = (((), 0, "contiguous"), ((), -1, "offset"), ((), None, "gappy"))  # of which each dtype meets one, too
# Repeated, of one or none, several dimensions, five, and many elements; keepdim changes every two. Half precision meets
# the small ones: then no sum of small numbers rounds.
CASES = (
    *USUAL,
    *(((3, 4), 0, "expanded"), ((3, 4), 0, "expanded columns"), ((3, 4), 1, "expanded columns")),
    *(((3, 1), 1, "gappy"), ((1, 5), 0, "offset"), ((1,), 0, "contiguous"), ((4, 0), 0, "contiguous")),
    *(((0, 4), 1, "gappy"), ((4, 0), 1, "gappy"), ((0,), 0, "contiguous"), ((2, 3, 4, 5), (0, 2), "contiguous")),
    *(((3, 4, 5), (-1, 0), "gappy"), ((2, 3, 4, 5), (1, 3), "channels last"), ((2, 3, 4, 5), None, "channels last")),
    *(((2, 3, 2, 2, 3), -3, "offset"), ((40, 41, 42), None, "transposed"), ((2, 2, 3, 1, 2), -4, "gappy")),
    *(((2, 257, 129), 1, "transposed"), ((65_537,), 0, "contiguous"), ((21_850, 3), 0, "gappy")),
    *(((3, 21_850), 0, "transposed"), ((3, 21_850), 1, "transposed"), ((21_850, 3), 1, "contiguous")),
    *(((3, 21_850), None, "gappy"), ((3, 21_850), (0, 1), "offset")),
)
KEEPING = (
    *("sum", "nansum", "mean", "prod", "std", "var", "amax", "amin", "max", "min", "median", "all", "any", "kthvalue"),
)
KEEPING_ALL = {  # those that can keep all dimensions, and how they are told that it is all
    **{name: {} for name in ("amax", "amin", "std", "var")},
    **{name: {"dim": None} for name in ("sum", "nansum", "mean")},
}


@dataclass(frozen=True, repr=False)
class Along:
    """A recipe: ``x, array = along``, the array of float64, complex128, int64 or truth values."""

    function: Function
    twin: Twin
    dim: int | tuple | None

    def __iter__(self) -> Iterator:
        x, array = self.twin
        yield from (x, widened(array))

    def __repr__(self) -> str:
        return f"{self.function.name} over {self.dim} of {self.twin!r}"

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(repr(self))

    def lacking(self) -> str | None:
        return self.twin.lacking()

    def fits(self) -> bool:
        """Whether the function takes such a tensor, and no number grows out of the dtype or is rounded in half
        precision: bfloat16 has all whole numbers up to 256.
        """
        takes = self.twin.dtype in self.function.dtypes and isinstance(self.dim, self.function.over)
        takes &= self.function.number or self.twin.shape != ()
        small = self.twin.dtype not in HALVES or (np.prod(self.twin.shape) <= 256 and self.terms() <= 31)
        repeated = self.twin.layout in REPEATED and not self.function.repeated
        return takes and small and not repeated and self.function.least <= self.terms() <= self.function.most

    def result(self, x: torch.Tensor) -> torch.Tensor:
        """By the function of torch or, where the seed is odd, by the method."""
        home = torch.Tensor if self.twin.seed % 2 else torch
        of_all = KEEPING_ALL.get(self.function.name, {}) if self.dim is None else {}
        kept = {"keepdim": True, **of_all} if self.keeps() else {}
        return self.function.apply(
            lambda name, *rest, **named: getattr(home, name)(*rest, **named, **kept), x, self.dim
        )

    def expected(self, array: np.ndarray) -> np.ndarray:
        """The numbers of the result for those of ``array``."""
        if self.twin.shape == () and self.dim is not None:
            return np.reshape(self.function.rule(array[None], self.dim), ())
        numbers = np.asarray(self.function.rule(array, self.dim))
        kept = tuple(range(array.ndim)) if self.dim is None else self.dim
        return np.expand_dims(numbers, kept) if self.keeps() else numbers

    def keeps(self) -> bool:
        """Whether a size of 1 stays where elements become one."""
        return self.function.name in (KEEPING_ALL if self.dim is None else KEEPING) and self.twin.seed % 4 > 1

    def dtype(self) -> torch.dtype:
        """That of the result."""
        own, gives = self.twin.dtype, self.function.gives
        if gives == "truth":
            return torch.uint8 if own == torch.uint8 else torch.bool
        if gives == "parts":
            return real_of(own)
        if gives == "wide":
            return own if differentiable(own) else torch.int64
        return gives or own

    def terms(self) -> int:
        """How many elements lie along the dimensions."""
        shape = self.twin.shape or (1,)
        over = range(len(shape)) if self.dim is None else self.dim if isinstance(self.dim, tuple) else (self.dim,)
        return int(np.prod([shape[each] for each in over]))

    def rounds(self) -> float:
        """The units of rounding that a value may be off, of the size of the largest: 0 where all are exact."""
        rounded = self.function.roundings and differentiable(self.twin.dtype)
        return self.function.roundings(summed(self.twin.dtype, self.terms())) if rounded else 0


def along(turn: int, function: Function, case: tuple, dtype: torch.dtype, seed: int) -> Along:
    shape, dim, layout = case
    whole = "any" if function.values == "distinct" and np.prod(shape) < 500 else "small"
    values = function.values if dtype.is_floating_point else whole
    return Along(function, Twin(dtype, shape, layout, values, seed % 3 == 2, seed=seed + turn), dim)


def every_kind() -> Iterator[Along]:
    """Each function in each case, the dtypes in turn, and each dtype of it in one case of each of GROUPS and
    as a number.
    """
    for turn, function in enumerate(FUNCTIONS):
        dtypes = function.dtypes  # at most twelve: a step of 13 leaves none of them out
        for row, case in enumerate(CASES):
            tried = (
                along(turn, function, case, dtypes[(turn + 13 * row + more) % len(dtypes)], row) for more in (0, 1, 2)
            )
            yield from itertools.islice((trial for trial in tried if trial.fits()), 1)
        for row, (group, dtype) in enumerate(itertools.product((*GROUPS.values(), NUMBERS), dtypes)):
            cases = [group[(turn + row + more) % len(group)] for more in range(len(group))]
            tried = (along(turn, function, case, dtype, row) for case in cases)
            yield from itertools.islice((trial for trial in tried if trial.fits()), 1)


TRIALS = Population(
    tuple(every_kind()),
    st.sampled_from(FUNCTIONS)
    .flatmap(
        lambda function: st.builds(
            lambda case, shape, *rest: along(0, function, (shape, case[1], case[2]), *rest),
            st.sampled_from(USUAL),
            hnp.array_shapes(min_dims=4, max_dims=4, max_side=17),
            st.sampled_from(function.dtypes),
            st.integers(0, 2**32 - 1),
        )
    )
    .filter(Along.fits),
)
# What is differentiated: nothing whole; no extreme of equal elements, of which any may have the slope; no zeros among
# many factors, where differences are of a higher order.
SLOPED = among(
    *(
        Along(
            each.function,
            each.twin.but(grad=True, values="quarters" if each.function.most == each.terms() else each.twin.values),
            each.dim,
        )
        for each in TRIALS.must
        if each.dtype() == each.twin.dtype and differentiable(each.twin.dtype)
        if not (each.function.values == "distinct" and each.twin.layout in REPEATED)
    )
)
