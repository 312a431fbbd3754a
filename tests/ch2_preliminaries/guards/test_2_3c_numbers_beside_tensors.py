"""2.3 Broadcasting: multiples, numbers beside tensors, tolerances, and what is computed in place of three operands."""

import math
import operator

import numpy as np
import pytest
import torch
from populations import (
    EVERY_MODE,
    FLOATS,
    SINGLE_AND_DOUBLE,
    WRITABLE,
    Twin,
    agree,
    among,
    each,
    over,
    twins,
    untouched,
)
from populations.binaries import made
from populations.comparing import host
from populations.initialisers import RELEASE
from populations.twins import NUMPY

claim = pytest.mark.claim
INTEGERS = torch.int64, torch.int32, torch.int16, torch.int8

MULTIPLES = {
    "torch.add": (1, lambda x, y, alpha: torch.add(x, y, alpha=alpha)),
    "x.add": (1, lambda x, y, alpha: x.add(y, alpha=alpha)),
    "x.add_": (1, lambda x, y, alpha: x.add_(y, alpha=alpha)),
    "add into an output": (1, lambda x, y, alpha: torch.add(x, y, alpha=alpha, out=x)),
    "torch.sub": (-1, lambda x, y, alpha: torch.sub(x, y, alpha=alpha)),
    "x.subtract": (-1, lambda x, y, alpha: x.subtract(y, alpha=alpha)),
    "x.sub_": (-1, lambda x, y, alpha: x.sub_(y, alpha=alpha)),
    "torch.rsub": (-1, lambda x, y, alpha: torch.rsub(y, x, alpha=alpha)),
}


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    form=each(*MULTIPLES),
    alpha=each(0, -1, 3, -0.5, 1.75),
    dtype=among(*FLOATS, *INTEGERS),
    shapes=among(*(((3, 4), shape) for shape in ((3, 4), (4,), (3, 1), ())), ((1031, 2), (1031, 1))),
    layout=among(*WRITABLE),
)
def test_the_other_is_added_or_taken_away_as_many_times_as_alpha_says(form, alpha, dtype, shapes, layout):
    """Of whole numbers, whole times."""
    times, (sign, compute) = alpha if dtype in FLOATS else int(4 * alpha), MULTIPLES[form]
    (x, a), (y, b) = Twin(dtype, shapes[0], layout), Twin(dtype, shapes[1], seed=1)
    found = compute(x, y, times)
    agree(found, a + sign * times * b)
    assert found.dtype == dtype
    if form.endswith(("_", "into an output")):
        assert found is x
        untouched(x)


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    alpha=each(0, 1, True, False),
    shape=among((3, 4), (4,), (3, 1), ()),
    spelled=each((torch, "add"), (torch.Tensor, "add"), (torch.Tensor, "add_")),
    layout=among(*WRITABLE),
)
def test_a_truth_value_is_added_unless_alpha_is_zero(alpha, shape, spelled, layout):
    (x, a), (y, b) = Twin(torch.bool, (3, 4), layout), Twin(torch.bool, shape, seed=1)
    found = getattr(*spelled)(x, y, alpha=alpha)
    agree(found, a | (b & bool(alpha)))
    assert (found.dtype, found is x) == (torch.bool, spelled[1] == "add_")
    untouched(x)


BITS = {"bitwise_and": operator.and_, "bitwise_or": operator.or_, "bitwise_xor": operator.xor}


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    twin=twins((*INTEGERS, torch.uint8, torch.bool), shapes=((), (9,), (2, 3, 4), (2, 1031))),
    name=each(*BITS),
    number=among(0, 1, 5, 6, True, False),
)
def test_the_bits_of_a_number_meet_those_of_every_element_from_either_side(twin, name, number):
    (x, array), compute, function = twin, BITS[name], getattr(torch, name)
    met = torch.int64 if twin.dtype == torch.bool and type(number) is int else twin.dtype
    expected = compute(array.astype(NUMPY[met]), number)
    lying = twin.layout if twin.layout in WRITABLE else "contiguous"
    written = twin.but(dtype=met, layout=lying).tensor(array.astype(NUMPY[met]))
    by_name = function(x, number), function(number, x), getattr(x, name)(number), getattr(written, f"{name}_")(number)
    for found in (compute(x, number), compute(number, x), *by_name):
        agree(found, expected)
        assert found.dtype == met
    assert by_name[-1] is written
    untouched(written)


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    twin=twins((torch.int64, torch.int32), shapes=((), (9,), (2, 3, 4), (2, 1031))),
    number=among(0, 1, 5, -3),
    shift=each(operator.lshift, operator.rshift),
)
def test_a_number_is_shifted_by_every_element_and_every_element_by_a_number(twin, number, shift):
    (x, array), (by, places) = twin, twin.but(values="positive", seed=1)
    agree(shift(number, by), shift(number, places))
    agree(shift(x, 3), shift(array, 3))


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    twin=twins((*FLOATS, *INTEGERS, torch.uint8), shapes=((), (9,), (2, 3, 4), (2, 1031))),
    spelled=each((torch, "pow"), (torch.Tensor, "pow"), (operator, "pow")),
)
def test_to_the_power_of_true_each_number_is_itself_and_of_false_one(twin, spelled):
    (x, array), (truths, which) = twin, twin.but(dtype=torch.bool, seed=1)
    for exponent, expected in ((True, array), (False, array * 0 + 1), (truths, np.where(which, array, 1))):
        power = getattr(*spelled)(x, exponent)
        agree(power, expected)
        assert power.dtype == twin.dtype


SIDES = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv}
SIDES |= {"%": operator.mod, "**": operator.pow, "<": operator.lt, ">=": operator.ge, "==": operator.eq}


@claim("broadcasting-matches-shapes")
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.int64), shapes=((), (9,), (2, 3, 4)), values="positive", grad=(False, True)),
    name=each(*SIDES),
    number=each(np.float64(2.5), np.float32(2.5), np.float64(0.5), np.int64(3), np.int32(2)),
)
def test_a_number_of_numpy_counts_as_a_plain_one_on_either_side(twin, name, number):
    (x, array), compute = twin, SIDES[name]
    met = torch.float32 if isinstance(number, np.floating) and twin.dtype == torch.int64 else twin.dtype
    a, plain = array.astype(NUMPY[met]), NUMPY[met](number)
    for left, right, expected in ((x, number, compute(a, plain)), (number, x, compute(plain, a))):
        found = compute(left, right)
        agree(found, expected, 8 if name == "**" else 4)  # a device's powers are within 4 units in the last place
        assert found.dtype == made(met, expected.dtype)
        assert found.requires_grad == (x.requires_grad and found.dtype.is_floating_point)


def near(p, q, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether p is as near to q as the tolerances say, of numbers of any size."""
    within = math.isfinite(p) and math.isfinite(q) and abs(p - q) <= atol + rtol * abs(q)
    return p == q or within or (equal_nan and p != p and q != q)


EXACTLY, NUMBERS = {"rtol": 0, "atol": 0}, [0.0, 1.0, 1.125, -1.0, 2.0**100, math.inf, -math.inf, math.nan]
EQUAL_NAN = [{"equal_nan": True}] * (RELEASE >= (2, 14))  # before, the one on the left was never repeated for this
CLOSE = among(
    (torch.int64, [0, 1, 2**53, 2**53 + 1, 2**62, 2**62 + 1, 2**63 - 1, -(2**63)], EXACTLY),
    *((dtype, [-100, 0, 1, 2, 100, 101, 127], {"rtol": 0.125, "atol": 1}) for dtype in (torch.int64, torch.int32)),
    *(
        (dtype, NUMBERS, options)
        for dtype in SINGLE_AND_DOUBLE
        for options in ({}, EXACTLY, {"rtol": 0.125}, {"atol": 2.0}, {"rtol": 0.0, "atol": 0.125}, *EQUAL_NAN)
    ),
)


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, case=CLOSE, owner=each(torch, torch.Tensor))
def test_numbers_are_close_if_their_distance_is_within_the_tolerances(case, owner):
    dtype, numbers, options = case
    x, expected = torch.tensor(numbers, dtype=dtype), [[near(p, q, **options) for q in numbers] for p in numbers]

    agree(owner.isclose(x[:, None], x, **options), expected)
    for turn, (p, row, close) in enumerate(zip(numbers, x, expected), owner is torch):
        assert owner.allclose(row, x, **options) == all(close)
        for q, one in list(zip(x, close))[turn % 2 :: 2]:  # the others are the other owner's
            assert owner.allclose(row, q, **options) == one
        agreeing = x[torch.tensor(close, device=x.device)]
        assert owner.allclose(row, agreeing, **options)  # of none as well
        agree(owner.isclose(x, row, **options), [near(q, p, **options) for q in numbers])


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    dtype=each(torch.complex64, torch.complex128),
    scale=each(1.0, 2.0**-120, 2.0**-80, 2.0**80, 2.0**120),
    shapes=among(((3, 4), (4,)), ((9, 1), (1, 33)), ((1,), (1,)), ((), (5,))),
    spelled=among((operator, "truediv"), (torch, "div"), (torch.Tensor, "div_")),
)
def test_a_quotient_of_complex_numbers_is_that_of_equally_larger_or_smaller_ones(dtype, scale, shapes, spelled):
    """Further out than 2 ** 80, single precision may be left to the CPU."""
    (x, a), (y, b) = Twin(dtype, shapes[0]), Twin(dtype, shapes[1], seed=1)
    if dtype == torch.complex64 and x.device.type != "cpu":
        scale = min(max(scale, 2.0**-80), 2.0**80)
    expected = a.astype(np.complex128) / (b.astype(np.complex128) + 9)
    # by the ratio of the divisor's parts: what is divided and the divisor each take 3 roundings, the reciprocal and the
    # product one each; either part may be off by so much of the whole: 8 for each
    agree(getattr(*spelled)((x * scale).expand(expected.shape).clone(), (y + 9) * scale), expected, 16)


WEIGHED = [dtype for dtype in FLOATS if dtype != torch.float16 or RELEASE >= (2, 2)]  # of which 2.0 has no kernels
WEIGHTS = {
    "a number": lambda x, weight: weight,
    "for each": torch.full_like,
    "repeated": lambda x, weight: x.new_full((1,) * x.dim(), weight),
}
if RELEASE >= (2, 7):  # up to 2.2, as was seen, it must be of the operands' dtype
    WEIGHTS["in single precision"] = lambda x, weight: torch.tensor(weight, device=x.device)


LED = {
    "twin": twins(WEIGHED, WRITABLE, shapes=((), (9,), (3, 4), (2, 1031)), values="fractions"),
    "spelled": each((torch, "lerp"), (torch.Tensor, "lerp"), (torch.Tensor, "lerp_")),
    "weight": each(*WEIGHTS),
}


def led(twin, spelled, weight, part):
    """What is ``part`` of the way from one number to another, and from which to which. Both have whatever digits."""
    x, array = twin
    start, end = (twin.tensor(each.astype(array.dtype)) for each in (array / 3, (array - 3) * 0.7))
    ends = host(start).copy(), host(end).copy()
    found = getattr(*spelled)(start, end, WEIGHTS[weight](x, part))

    assert (found is start) == (spelled[1] == "lerp_")
    agree(end, ends[1])
    untouched(start)
    return found, *ends


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, **LED)
def test_no_part_of_the_way_to_a_number_leads_nowhere_and_the_whole_way_to_it(twin, spelled, weight):
    found, start, _ = led(twin, spelled, weight, 0.0)
    agree(found, start)
    found, *ends = led(twin, spelled, weight, 1.0)
    # it may be added to the start: roundings of the way, of up to twice the size, and of the sum
    agree(found, ends[1], 3, np.abs(ends).max(initial=0))


@claim("broadcasting-matches-shapes")
@pytest.mark.cpu
@over(EVERY_MODE, **LED)
def test_on_the_cpu_the_whole_way_to_a_number_leads_to_every_digit_of_it(twin, spelled, weight):
    found, _, end = led(twin, spelled, weight, 1.0)
    agree(found, end)


OF_THREE = {  # what each makes of x in place, with y and z, and what NumPy makes of their arrays
    "addcmul_": (lambda x, y, z: x.addcmul_(y, z), lambda a, b, c: a + b * c),
    "addcmul_ with a value": (lambda x, y, z: x.addcmul_(y, z, value=-3), lambda a, b, c: a - 3 * b * c),
    "addcmul into x": (lambda x, y, z: torch.addcmul(x, y, z, value=2, out=x), lambda a, b, c: a + 2 * b * c),
    "clamp_": (lambda x, y, z: x.clamp_(y, z), lambda a, b, c: np.minimum(np.maximum(a, b), c)),
    "clip_ by name": (lambda x, y, z: x.clip_(max=z, min=y), lambda a, b, c: np.minimum(np.maximum(a, b), c)),
    "clamp_min_": (lambda x, y, z: x.clamp_min_(y), lambda a, b, c: np.maximum(a, b)),
    "clamp_max_": (lambda x, y, z: x.clamp_max_(z), lambda a, b, c: np.minimum(a, c)),
    "where into x": (lambda x, y, z: torch.where(y > z, x, z, out=x), lambda a, b, c: np.where(b > c, a, c)),
    "*= truths": (lambda x, y, z: x.__imul__(y > z), lambda a, b, c: a * (b > c)),
    "mul_ truths": (lambda x, y, z: x.mul_(z > 0), lambda a, b, c: a * (c > 0)),
    "+= truths": (lambda x, y, z: x.__iadd__(y > 0), lambda a, b, c: a + (b > 0)),
    "add_ truths": (lambda x, y, z: x.add_(z > 0, alpha=2), lambda a, b, c: a + 2 * (c > 0)),
    "copy_ truths": (lambda x, y, z: x.copy_(y > z), lambda a, b, c: a * 0 + (b > c)),
    "truths assigned": (lambda x, y, z: x.__setitem__(..., y > z), lambda a, b, c: a * 0 + (b > c)),
}
OF_FLOATS = {
    "addcdiv_": (lambda x, y, z: x.addcdiv_(y, (z > 0).to(x) + 1), lambda a, b, c: a + b / (1 + (c > 0))),
    "addcdiv_ with a value": (
        lambda x, y, z: x.addcdiv_(y, (z > 0).to(x) + 1, value=4),
        lambda a, b, c: a + 4 * b / (1 + (c > 0)),
    ),
    "lerp_": (lambda x, y, z: x.lerp_(y, (z > 0).to(x)), lambda a, b, c: np.where(c > 0, b, a)),
    "lerp_ by a half": (lambda x, y, z: x.lerp_(y, 0.5), lambda a, b, c: (a + b) / 2),
}


@claim("broadcasting-matches-shapes", "augmented-assignment-writes-through")
@over(
    EVERY_MODE,
    dtype=each(*WEIGHED, *INTEGERS),
    name=among(*OF_THREE, *OF_FLOATS),
    shapes=among(((3, 4), (4,), (3, 1)), ((3, 4), (3, 4), (3, 4)), ((2, 3, 4), (1,), (3, 4)), ((5, 33), (), (33,))),
    layout=among(*WRITABLE),
)
def test_what_is_made_in_place_of_several_operands_repeats_those_that_are_read(dtype, name, shapes, layout):
    dtype = torch.float32 if name in OF_FLOATS and dtype in INTEGERS else dtype
    (x, a), (y, b), (z, c) = (Twin(dtype, shape, layout, seed=seed) for seed, shape in enumerate(shapes))
    compute, expect = {**OF_THREE, **OF_FLOATS}[name]
    compute(x, y, z)
    agree(x, expect(a, b, c))
    agree(y, b)
    agree(z, c)
    untouched(x)
