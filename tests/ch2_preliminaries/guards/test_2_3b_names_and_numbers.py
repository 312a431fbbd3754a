"""2.3 Broadcasting under other names and of operands given by name, and numbers that divide or bound every element."""

import math
import operator

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, WRITABLE, Twin, agree, among, each, over, twins
from populations.binaries import category, common, made
from populations.comparing import host
from populations.functions import FLOATING
from populations.initialisers import RELEASE
from populations.pairs import pairs
from populations.twins import HALVES, NUMPY

claim = pytest.mark.claim
INTEGERS = torch.int64, torch.int32, torch.int16, torch.int8

ALIASES = {  # other names, as functions and methods
    **{"subtract": np.subtract, "multiply": np.multiply, "divide": np.true_divide, "true_divide": np.true_divide},
    **{"remainder": np.mod, "floor_divide": np.floor_divide, "less": np.less, "less_equal": np.less_equal},
    **{"greater": np.greater, "greater_equal": np.greater_equal, "eq": np.equal, "ne": np.not_equal},
    **{"not_equal": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal},
    **{"max": np.maximum, "min": np.minimum, "atan2": np.arctan2, "arctan2": np.arctan2},
    **{"logical_and": np.logical_and, "logical_or": np.logical_or, "logical_xor": np.logical_xor},
}
OF_WHOLE = {  # numbers
    **{"bitwise_and": np.bitwise_and, "bitwise_or": np.bitwise_or, "bitwise_xor": np.bitwise_xor},
    **{"bitwise_left_shift": np.left_shift, "bitwise_right_shift": np.right_shift, "gcd": np.gcd, "lcm": np.lcm},
}


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    name=each(*ALIASES, *OF_WHOLE),
    shapes=among(
        ((2, 2), (2, 1)), ((3,), (4, 1)), ((1, 3), (129, 1)), ((2, 3, 1), (1, 5)), ((), (3,)), ((1031,), (1,)), ((), ())
    ),
    layout=among("contiguous", "transposed", "gappy"),
    dtype=among(*SINGLE_AND_DOUBLE, torch.int64, torch.int32),
    other=among(None, None, torch.float32, torch.int64, torch.int32),
    sign=among(1, -1),
)
def test_an_operation_under_any_other_name_repeats_operands_as_well_and_in_place_converts(
    name, shapes, layout, dtype, other, sign
):
    """Operands of either sign, but for what shifts; and of two dtypes, which meet as ``common`` says."""
    other = other or dtype
    of_whole = [torch.int32 if given.is_floating_point else given for given in (dtype, other)]
    dtype, other = of_whole if name in OF_WHOLE else (dtype, other)
    values = "small" if name in OF_WHOLE else "fractions"
    (x, a), (y, b) = Twin(dtype, shapes[0], layout, values, seed=1), Twin(other, shapes[1], layout, "positive", seed=2)
    x, a, y, b = (x, a, y, b) if name in OF_WHOLE else (x * sign + 0, a * sign + 0, y * sign, b * sign)
    met, plain = common(x, y), (ALIASES | OF_WHOLE)[name]
    expected = plain(a.astype(NUMPY[met]), b.astype(NUMPY[met]))
    for function in (getattr(torch, name), getattr(torch.Tensor, name)):
        agree(function(x, y), expected, 4)  # of the angle; others are exact or rounded once
        assert function(x, y).dtype == made(met, expected.dtype)
    fits = expected.dtype.kind == "b" or category(made(met, expected.dtype)) <= category(dtype)
    for way in [f"{name}_"] * (fits and name not in ("max", "min")):  # of which there is none in place
        written = x.expand(expected.shape).clone()  # which has dimensions where x may have none
        meeting = NUMPY[common(written, y)]
        assert getattr(written, way)(y) is written
        agree(written, plain(a.astype(meeting), b.astype(meeting)).astype(a.dtype), 4)


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, pair=pairs((torch.float32, torch.int64)))
def test_operands_may_be_given_by_name(pair):
    x, a, y, b = pair
    agree(torch.add(other=y, input=torch.mul(input=x, other=y)), a * b + b)


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    dtype=each(*SINGLE_AND_DOUBLE),
    divisor=among(math.pi, -3.0, 0.1, 2.0**-20),
    layout=among(*WRITABLE),
    size=among(9, 257),
)
def test_a_remainder_is_smaller_than_the_divisor_however_large_the_number(dtype, divisor, layout, size):
    x = Twin(dtype, (4, size), layout)
    array = x.array() * x.array().dtype.type(2.0**61 / 3)
    by = array.dtype.type(divisor)
    for found in (
        x.tensor(array) % by.item(),
        torch.remainder(x.tensor(array), torch.tensor([by.item()], dtype=dtype)),
    ):
        agree(found, np.mod(array, by))


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    twin=twins(
        (*FLOATING, torch.int64, torch.int32, torch.uint8), shapes=((), (9,), (2, 3, 4, 5), (2, 1031), (65_537,))
    ),
)
def test_numbers_that_bound_a_tensor_keep_their_fraction(twin):
    x, array = twin.but(values="small")
    for low, high in ((0.5, 2.5), (0.5, None), (None, 2.5), (1, 3)):
        expected = np.clip(array.astype(np.float64), low, high)
        for found in (x.clamp(low, high), torch.clip(x, min=low, max=high)):
            agree(found, expected)
    for owner in (torch, torch.Tensor):
        agree(owner.clamp_max(owner.clamp_min(x, 0.5), 2.5), np.clip(array.astype(np.float64), 0.5, 2.5))
        agree(owner.clamp_max(x, 2.5), np.minimum(array.astype(np.float64), 2.5))


BESIDE_BOTH = {  # of two tensors and a single number beside them
    "addcmul": (lambda x, y, n: torch.addcmul(x, y, n), lambda a, b, n: a + b * n),
    "addcmul to it": (lambda x, y, n: torch.addcmul(n, x, y, value=2), lambda a, b, n: n + 2 * a * b),
    "addcdiv": (lambda x, y, n: x.addcdiv(y, n), lambda a, b, n: a + b / n),
    "lerp": (lambda x, y, n: torch.lerp(x, y, n), lambda a, b, n: a + n * (b - a)),
    "where": (lambda x, y, n: torch.where(y > 2, x, n), lambda a, b, n: np.where(b > 2, a, n)),
    "where, first": (lambda x, y, n: torch.where(y > 2, n, x), lambda a, b, n: np.where(b > 2, n, a)),
    "method where": (lambda x, y, n: x.where(y > 2, n), lambda a, b, n: np.where(b > 2, a, n)),
    "clamp": (lambda x, y, n: x.clamp(n), lambda a, b, n: np.maximum(a, n)),
    "clip from above": (lambda x, y, n: torch.clip(x, max=n), lambda a, b, n: np.minimum(a, n)),
    "clamp by both": (lambda x, y, n: torch.clamp(x, n, y), lambda a, b, n: np.minimum(np.maximum(a, n), b)),
}
MULTIPLIED = [dtype for dtype in FLOATS if dtype != torch.float16 or RELEASE >= (2, 2)]  # of which 2.0 has no kernels
SINGLE = [
    (name, dtype, own)
    for name in BESIDE_BOTH
    for dtype in (*MULTIPLIED, torch.int32, torch.uint8)
    for own in (None, *MULTIPLIED, torch.int64)
    # Python's numbers have a place of their own in few of them
    if own or ("addc" not in name and "both" not in name)
    # what is divided or weighed is no whole number; up to 2.2, as was seen, weights had the operands' dtype
    if not (name in ("addcdiv", "lerp") and category(dtype) + category(own or torch.int64) < 3)
    if not (name == "lerp" and own and (category(dtype) < 2 or RELEASE < (2, 7)))
]


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    case=among(*SINGLE),
    shapes=among(((3, 4), (4,)), ((2, 3, 4), (3, 1)), ((9,), (9,)), ((5, 1), (1, 33))),
    layout=among(*WRITABLE),
)
def test_the_dtype_of_a_single_number_beside_two_tensors_counts_only_if_its_category_is_higher(case, shapes, layout):
    name, dtype, own = case
    (compute, expect), values = BESIDE_BOTH[name], "fractions" if dtype in FLOATS else "small"
    (x, a), (y, b) = Twin(dtype, shapes[0], layout, values), Twin(dtype, shapes[1], layout, "positive", seed=1)
    # unless a half is there, with more digits than one has
    number = 2.5 + 2.0**-12 * {dtype, own}.isdisjoint(HALVES)
    single = torch.tensor(number, dtype=own) if own else number
    met, found = common(x, torch.as_tensor(single)), compute(x, y, single)
    assert found.dtype == met
    n = host(torch.as_tensor(single)).astype(NUMPY[met])
    agree(found, expect(*(numbers.astype(np.float64) for numbers in (a, b, n))), 2, 8)  # a quotient and its sum round


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, number=among(1, 2401, 30030, -5040), dtype=among(*INTEGERS[:3], *SINGLE_AND_DOUBLE))
def test_a_whole_number_divided_by_each_of_many_gives_the_exact_quotient_and_remainder(number, dtype):
    """Many of the divisions leave no remainder, where a product with a rounded reciprocal may end just below."""
    divisors, array = torch.arange(1, 128, dtype=dtype), np.arange(1, 128)
    several = torch.full((127,), number, dtype=dtype)
    for quotient in (number // divisors, several // divisors, torch.div(number, divisors, rounding_mode="floor")):
        agree(quotient, number // array)
    agree(torch.div(number, divisors, rounding_mode="trunc"), np.trunc(number / array))
    agree(number % divisors, number % array)


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, dtype=each(*INTEGERS), spelled=among(torch.pow, torch.Tensor.pow, operator.pow))
def test_zero_to_a_negative_power_is_what_it_is_of_a_repeated_exponent(dtype, spelled):
    """Which number that is nobody promises."""
    base, exponent = torch.tensor([[0, 1, -1, 2, 0]], dtype=dtype), torch.tensor([[-1], [-2], [-3]], dtype=dtype)
    repeated = host(spelled(base.repeat(3, 1), exponent.repeat(1, 5)))
    agree(spelled(base, exponent), repeated)
    agree(spelled(base, exponent[:1]), repeated[:1])
    assert repeated[:, 1:3].tolist() == [[1, -1], [1, 1], [1, -1]]


BY_ZERO = {
    "a number": lambda x: x / 0,
    "a float": lambda x: torch.div(x, 0.0),
    "a tensor": lambda x: x / torch.zeros((), device=x.device),
    "one for each": lambda x: x.true_divide(torch.zeros_like(x)),
    "in place": lambda x: x.clone().div_(0),
}


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, twin=twins(FLOATS), by=among(*BY_ZERO))
def test_what_is_divided_by_zero_is_infinite_or_where_it_is_zero_no_number(twin, by):
    x, array = twin
    with np.errstate(divide="ignore", invalid="ignore"):
        agree(BY_ZERO[by](x), array / array.dtype.type(0))


@claim("broadcasting-matches-shapes", truth=True)
@pytest.mark.cpu
@over(case=among((torch.bfloat16, 560), (torch.float16, 2158)), divisors=among(1, 2), count=among(2, 33))
def test_floor_division_in_half_precision_may_be_off_by_one(case, divisors, count):
    dtype, number = case
    quotient = torch.full((count, 2), number, dtype=dtype) // torch.full((divisors,), 3, dtype=dtype)

    assert np.all(np.abs(host(quotient) - number // 3) <= 1)  # where the divisor is repeated and where it is not
