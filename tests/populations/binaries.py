"""Operations of two tensors beside NumPy's, and trials of them on pairs whose shapes differ and broadcast."""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations, product

import numpy as np
import torch
from hypothesis import strategies as st

from populations.core import Population
from populations.pairs import DRAWN, LONG, SHAPES, Pair, pair
from populations.twins import FLOATS, NUMPY, SINGLE_AND_DOUBLE, WHOLE, WRITABLE

REAL = (*FLOATS, *WHOLE, torch.int16, torch.int8)
NUMBERS = (*REAL, torch.complex64, torch.complex128)
ALL = (*NUMBERS, torch.bool)
MIXED = (
    *((torch.int64, torch.float32), (torch.float32, torch.int64), (torch.float16, torch.float32)),
    *((torch.int32, torch.int64), (torch.int16, torch.int64), (torch.int64, torch.bool)),
    *((torch.float16, torch.bfloat16), (torch.float64, torch.float32), (torch.complex64, torch.float32)),
)
# Met once, after all others. Without uint8 beside int8, of which torch compares no numbers but bits.
RARELY_MIXED = (
    *((torch.float32, torch.bool), (torch.bool, torch.float16), (torch.bool, torch.int64), (torch.uint8, torch.int32)),
    *((torch.int8, torch.float32), (torch.float64, torch.int64), (torch.float32, torch.complex64)),
    *((torch.bool, torch.uint8), (torch.int16, torch.bool)),
)
BITS = (*WHOLE, torch.int16, torch.int8, torch.bool)


@dataclass(frozen=True, repr=False)
class Binary:
    """What torch does with two tensors, what NumPy does with their arrays, for which dtypes, and how far off a result
    may be, in roundings (see agree). Whole numbers from -8 to 8, and booleans, are exact where none are named.
    """

    name: str
    compute: Callable
    expect: Callable
    dtypes: tuple[torch.dtype, ...] = NUMBERS
    roundings: int = 0

    def __repr__(self) -> str:
        return f"<{self.name}>"


def category(dtype: torch.dtype) -> int:
    """0 of truth values, 1 of whole numbers, 2 of floating-point and 3 of complex ones."""
    return 3 if dtype.is_complex else 2 if dtype.is_floating_point else int(dtype != torch.bool)


def common(x: torch.Tensor, y: torch.Tensor) -> torch.dtype:
    """The dtype in which two tensors meet: that of the higher category; within one that of the tensor which has
    dimensions, if only one has, or else NumPy's, where bfloat16 counts as float32.
    """
    if category(x.dtype) == category(y.dtype) and x.dtype != y.dtype and (x.dim() > 0) == (y.dim() > 0):
        return getattr(torch, np.promote_types(NUMPY[x.dtype], NUMPY[y.dtype]).name)
    return max(x, y, key=lambda tensor: (category(tensor.dtype), tensor.dim() > 0)).dtype


def made(met: torch.dtype, kind: np.dtype) -> torch.dtype:
    """The dtype of a result of operands that met in ``met``, if NumPy's result is of ``kind``: truth values stay that,
    and fractions of whole numbers have the default dtype.
    """
    fractions = kind.kind == "f" and category(met) < 2
    return torch.bool if kind.kind == "b" else torch.get_default_dtype() if fractions else met


def new_output(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Memory for what ``x`` and ``y`` make together."""
    return torch.empty(np.broadcast_shapes(x.shape, y.shape), dtype=torch.result_type(x, y))


def as_it_lies(function: Callable) -> Callable:
    """``function``, element by element, whose result lies as its argument does: of all numbers up to that one's last in
    memory, of which some are its own. Of what is no tensor, or has no number, plainly ``function`` of that.
    """

    def within(y):
        if not isinstance(y, torch.Tensor) or not y.numel():
            return function(y)
        last = y.storage_offset() + sum((size - 1) * stride for size, stride in zip(y.shape, y.stride()))
        return function(y.as_strided((last + 1,), (1,), 0)).as_strided(y.shape, y.stride(), y.storage_offset())

    return within


# What operations need that are not of any two numbers.
divisor = as_it_lies(lambda y: y * y + 1)
exponent = as_it_lies(lambda y: y % 3)
larger = as_it_lies(lambda y: y + 9)
last_bit, last_bits = as_it_lies(lambda y: y & 1), as_it_lies(lambda y: y & 3)
below_zero = as_it_lies(lambda y: ~(y & 1))
one_or_two = as_it_lies(lambda y: y % 2 + 1)


# of a quotient or a power: its own rounding, one more where a vector's last digit may be off
BINARIES = (
    Binary("+", operator.add, np.add, ALL),
    Binary("method add", lambda x, y: x.add(y), np.add, ALL),
    Binary("torch.add", lambda x, y: torch.add(x, y), np.add, ALL),
    Binary("add with alpha", lambda x, y: torch.add(x, y, alpha=3), lambda a, b: a + 3 * b),
    Binary("out", torch.no_grad()(lambda x, y: torch.add(x, y, out=new_output(x, y))), np.add, ALL),
    Binary("-", operator.sub, np.subtract),
    Binary("torch.sub", lambda x, y: torch.sub(x, y), np.subtract),
    Binary("keyword", lambda x, y: torch.sub(x, other=y), np.subtract),
    Binary("sub with alpha", lambda x, y: torch.sub(x, y, alpha=2), lambda a, b: a - 2 * b),
    Binary("torch.rsub", lambda x, y: torch.rsub(x, y), lambda a, b: b - a),
    Binary("*", operator.mul, np.multiply, ALL),
    Binary("method mul", lambda x, y: x.mul(y), np.multiply, ALL),
    Binary("torch.mul", lambda x, y: torch.mul(x, y), np.multiply, ALL),
    Binary("//", lambda x, y: x // divisor(y), lambda a, b: a // (b * b + 1), REAL),
    Binary("%", lambda x, y: x % divisor(y), lambda a, b: a % (b * b + 1), REAL),
    Binary("fmod", lambda x, y: x.fmod(divisor(y)), lambda a, b: np.fmod(a, b * b + 1), REAL),
    Binary(
        "quotient, cut",
        lambda x, y: torch.div(x, divisor(y), rounding_mode="trunc"),
        lambda a, b: np.trunc(a / (b * b + 1)).astype(np.result_type(a, b)),
        REAL,
    ),
    Binary("half the way", lambda x, y: x.lerp(y, 0.5), lambda a, b: (a + b) / 2, FLOATS[:1]),  # not of two dtypes
    Binary(  # of at least 1, where nothing cancels
        "logaddexp2",
        lambda x, y: torch.logaddexp2(larger(x), larger(y)),
        lambda a, b: np.logaddexp2(a + 9, b + 9),
        FLOATS[:1],
        16,
    ),
    Binary("xlogy", lambda x, y: torch.xlogy(x, divisor(y)), lambda a, b: a * np.log(b * b + 1), FLOATS, 4),
    Binary("xlog1py", lambda x, y: torch.special.xlog1py(x, exponent(y)), lambda a, b: a * np.log1p(b % 3), FLOATS, 4),
    Binary("clamp", lambda x, y: x.clamp(min=y), np.maximum, REAL),
    Binary("<", operator.lt, np.less, (*REAL, torch.bool)),
    Binary("<=", operator.le, np.less_equal, (*REAL, torch.bool)),
    Binary(">", operator.gt, np.greater, (*REAL, torch.bool)),
    Binary(">=", operator.ge, np.greater_equal, (*REAL, torch.bool)),
    Binary("==", operator.eq, np.equal, ALL),
    Binary("!=", operator.ne, np.not_equal, ALL),
    Binary("torch.where", lambda x, y: torch.where(x > y, x, larger(y)), lambda a, b: np.where(a > b, a, b + 9), REAL),
    Binary("method where", lambda x, y: x.where(x != y, larger(y)), lambda a, b: np.where(a != b, a, b + 9)),
    Binary("&", operator.and_, np.bitwise_and, BITS[:-1]),
    Binary("|", operator.or_, np.bitwise_or, BITS[:-1]),
    Binary("& of booleans", operator.and_, np.bitwise_and, (torch.bool,)),
    Binary("| of booleans", operator.or_, np.bitwise_or, (torch.bool,)),
    Binary("<<", lambda x, y: x << last_bits(y), lambda a, b: a << (b & 3), BITS[:-1]),
    Binary(">>", lambda x, y: x >> last_bits(y), lambda a, b: a >> (b & 3), BITS[:-1]),
    Binary(
        ">> of high bytes", lambda x, y: x * 31 >> last_bits(y), lambda a, b: a * a.dtype.type(31) >> (b & 3), BITS[:-1]
    ),
    *(
        Binary(f"torch.{name}", lambda x, y, name=name: getattr(torch, name)(x, y), getattr(np, name), *rest)
        for names, *rest in (
            (("maximum", "minimum", "fmax", "fmin"), (*REAL, torch.bool)),
            (("logical_and", "logical_or", "logical_xor"), ALL),
            (("bitwise_xor",), BITS),
            (("gcd", "lcm"), WHOLE[:2]),
            (("copysign",), SINGLE_AND_DOUBLE),
            (("nextafter",), (torch.float32,)),  # of one dtype: in which of two it is next is another question
            (("isclose",), (torch.float32, torch.int32)),  # which takes no two dtypes
            (("hypot", "arctan2", "logaddexp"), SINGLE_AND_DOUBLE, 16),  # of up to four functions
        )
        for name in names
    ),
    Binary("/", operator.truediv, np.true_divide, REAL, 1),
    Binary("torch.div", lambda x, y: torch.div(x, y), np.true_divide, REAL, 1),
    Binary("torch.pow", lambda x, y: torch.pow(x, exponent(y)), lambda a, b: a ** (b % 3), FLOATS, 2),
    Binary("**", lambda x, y: x ** exponent(y), lambda a, b: a ** (b % 3), FLOATS, 2),
    Binary("float_power", lambda x, y: torch.float_power(x, exponent(y)), lambda a, b: a ** (b % 3), FLOATS[1:2], 2),
    Binary(
        "whole ** below zero",
        lambda x, y: (x + (x == 0)) ** below_zero(y),
        lambda a, b: np.where(abs(a) < 2, (a + (a == 0)) ** (1 + (b & 1)), 0).astype(np.result_type(a, b)),
        (torch.int64, torch.int32, torch.int16, torch.int8),
    ),
    Binary("whole **", lambda x, y: x ** last_bit(y), lambda a, b: a ** (b & 1), BITS[:-1]),
    # exp(y log x): |y log x| is below 8, and its three roundings count that often, beside those of the functions
    Binary(
        "complex **",
        lambda x, y: (x * (x.real > 0)) ** one_or_two(y.real),  # of zeros, too
        lambda a, b: (a * (a.real > 0)) ** (b.real % 2 + 1),
        (torch.complex64,),
        40,
    ),
    # each part of scaled operands takes nine roundings, together less than twice as many
    Binary("complex /", lambda x, y: x / larger(y), lambda a, b: a / (b + 9), (torch.complex64,), 16),
    Binary("& beside truth values", lambda x, y: torch.bitwise_and(x, y), np.bitwise_and, BITS),
    Binary("| beside truth values", lambda x, y: x.bitwise_or(y), np.bitwise_or, BITS),
)


# Pairs of shapes, or of layouts, that are met once
BESIDE = ((3, 135), (3, 1))  # a column for rows that are longer than a block
TALL = ((257, 3), (1, 3))  # a row for many rows
PLANES = ((2, 3, 2, 5), (2, 3, 1, 1))  # a number for each plane
LAID = ("contiguous", "gappy", "transposed", "expanded", "expanded columns")
# Whole numbers share the pairs of these: each dtype has five, with every layout on either side.
SHARED = {
    dtype: tuple((LAID[place], LAID[(place + 1 + turn % 4) % 5]) for place in range(5))
    for turn, dtype in enumerate((*WHOLE, torch.int16, torch.int8))
}
WIDE = ((257, 257), (257, 257))  # more than 16 bits count
WIDELY_LAID = (
    *((torch.float32, ("transposed", "contiguous")), (torch.bfloat16, ("gappy", "expanded"))),
    *((torch.float16, ("expanded columns", "offset")), (torch.int64, ("transposed", "expanded columns"))),
)
CUBES, TURNED = ((2, 3, 4), (2, 3, 4)), ("batch second", "contiguous")
CROSSED = (((2, 1, 3), (1, 4, 1)), ((2, 1, 3, 1, 2), (1, 2, 1, 2, 1)))  # each repeats where the other does not
DEEP = ((2, 3, 2, 1, 2, 1, 2), (2, 1, 1, 2, 1, 2, 2))  # a row repeated in the sixth dimension of seven, within others


@dataclass(frozen=True)
class Trial:
    """A recipe: ``binary, pairs = trial``, of which there are two where it says ``twice``, of the same shapes."""

    binary: Binary
    pair: Pair
    twice: bool = False

    def __iter__(self) -> Iterator:
        yield self.binary
        yield (self.pair, self.pair.next()) if self.twice else (self.pair,)

    def lacking(self) -> str | None:
        return self.pair.lacking()


def trials(binaries: Sequence[Binary] = BINARIES, grad: Sequence[bool] = (False, True)) -> Population:
    """Each of ``binaries`` with each of SHAPES and LONG, the dtypes and layouts going round, the first dtype with every
    way of repeating a row or a column, and that twice, and those of MIXED that the operation takes. What is for one
    dtype alone meets a number without dimensions in every layout. At last each meets BESIDE, TALL, PLANES if floating,
    numbers without dimensions in MIXED dtypes, DEEP, rows LAID in any two ways (of whole numbers those SHARED), CUBES
    with either layout, truth values repeated there, two matrices in one memory, and pending ones; after all others
    RARELY_MIXED dtypes, CROSSED, a large matrix of whole numbers or truth values by columns beside one of floats by
    rows, and WIDE ones.
    """
    must = []
    for turn, binary in enumerate(binaries):
        kinds, first = binary.dtypes, (binary.dtypes[0],) * 2
        mixed = [both for both in MIXED if {*both} <= {*kinds}]
        met = [(given, None) for given in ((*SHAPES, LONG) if len(kinds) > 1 else 3 * SHAPES + 12 * SHAPES[3:4])]
        met += [(given, first) for given in SHAPES[:3]]
        met += [(SHAPES[(turn + index) % len(SHAPES)], both) for index, both in enumerate(mixed)]
        for index, (given, both) in enumerate(met):
            count = 11 * turn + index + index // len(SHAPES)
            dtypes = both or (kinds[count % len(kinds)],) * 2
            must.append(
                Trial(binary, pair(dtypes, given, count, 3 * index, grad=grad[count // 2 % len(grad)]), both == first)
            )
    for long, turn in ((BESIDE, 0), (TALL, 0), (TALL, 1)):
        must += [Trial(binary, pair((binary.dtypes[0],) * 2, long, turn, 0)) for binary in binaries]
    for binary in binaries:
        must += [Trial(binary, pair((dtype,) * 2, PLANES, 0, 0)) for dtype in binary.dtypes if dtype in FLOATS]
        must += [Trial(binary, pair(both, ((), ()), 0, 0)) for both in MIXED if {*both} <= {*binary.dtypes}]
    must += [Trial(binary, pair((binary.dtypes[0],) * 2, DEEP, 0, 0)) for binary in binaries]
    of_truth = [binary for binary in binaries if torch.bool in binary.dtypes]
    must += [Trial(binary, pair((torch.bool,) * 2, SHAPES[1], turn, 3)) for binary in of_truth for turn in (0, 1)]
    for binary in binaries:
        first, lazy = binary.dtypes[0], [dtype for dtype in binary.dtypes if dtype.is_complex]
        must.append(Trial(binary, replace(pair((first,) * 2, ((3, 2),) * 2, 0, 0), held="together")))
        must += [
            Trial(binary, replace(pair((dtype,) * 2, BESIDE, turn, 0, WRITABLE), held="pending"))
            for turn, dtype in enumerate((first, *lazy))
        ]
    more = st.sampled_from(list(binaries)).flatmap(
        lambda binary: st.builds(
            lambda twice, *rest: Trial(binary, pair(*rest), twice),
            st.booleans(),
            st.sampled_from([*zip(binary.dtypes, binary.dtypes), *(b for b in MIXED if {*b} <= {*binary.dtypes})]),
            DRAWN,
            st.integers(0, 60),
            st.integers(0, 2**31),
        )
    )
    laid = (
        Trial(each, pair((dtype,) * 2, ((2, 33), (2, 33)), 0, 0, layouts))
        for each in binaries
        for dtype in dict.fromkeys((torch.float32, each.dtypes[0], *WHOLE, torch.int16, torch.int8))
        if dtype in each.dtypes
        for layouts in (SHARED.get(dtype) or permutations(LAID, 2))
    )
    cubes = (Trial(each, pair((each.dtypes[0],) * 2, CUBES, turn, 0, TURNED)) for each in binaries for turn in (0, 1))
    mixed = [(each, both) for each in binaries for both in RARELY_MIXED if {*both} <= {*each.dtypes}]
    last = (Trial(each, pair(both, SHAPES[turn % 3], turn, turn)) for turn, (each, both) in enumerate(mixed))
    crossed = (Trial(each, pair((each.dtypes[0],) * 2, given, 0, 0)) for each in binaries for given in CROSSED)
    turned = (
        Trial(each, pair(both, ((33, 41), (33, 41)), turn, 0, ("transposed", "contiguous")))
        for each, both, turn in product(binaries, (*MIXED[:2], *RARELY_MIXED[:2]), (0, 1))
        if {*both} <= {*each.dtypes}
    )
    wide = (
        Trial(each, pair((dtype,) * 2, WIDE, 0, 0, layouts))
        for each, (dtype, layouts) in product(binaries, WIDELY_LAID)
        if dtype in each.dtypes
    )
    return Population(tuple(must), more, rarer=(*laid, *cubes, *last, *crossed, *turned, *wide))
