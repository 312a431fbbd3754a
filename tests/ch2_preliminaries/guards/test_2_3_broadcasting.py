"""2.3 Broadcasting, for operands of every dtype, shape and layout, and every spelling of an operation."""

import math
import operator
from itertools import compress, product, starmap

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, FLOATS, SINGLE_AND_DOUBLE, WRITABLE, agree, among, each, over, twins, untouched
from populations.arrays import array_of
from populations.binaries import BINARIES, Binary, category, common, made, trials
from populations.comparing import host
from populations.core import in_turn
from populations.gradients import bytes_allocated_by
from populations.initialisers import RELEASE
from populations.pairs import CLASHING, pairs
from populations.twins import NUMPY, Twin
from populations.written import ALONE, IN_PLACE, THREE, WRITTEN

claim = pytest.mark.claim

# those of halves too, that neither round nor divide by what may be infinite
SPECIAL = [each for each in BINARIES if torch.float16 in each.dtypes and not each.roundings and each.name not in "//%"]
NUMERIC = (*FLOATS, torch.int64, torch.int32, torch.uint8, torch.bool)
SIGNED = (*FLOATS, torch.int64, torch.int32, torch.int16)
CLASH = [*(binary for binary in BINARIES if binary.name != "out"), Binary("together", torch.broadcast_tensors, None)]
CLASH.append(Binary("where", lambda x, y: torch.where(torch.ones_like(x, dtype=torch.bool), y, y), None))


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, trial=trials())
def test_every_operation_combines_the_elements_that_repeated_operands_would_have_there(trial):
    (binary, pairs), wide = trial, np.complex128 if trial.pair.left.dtype.is_complex else np.float64
    for x, a, y, b in pairs:  # of the same shapes: nothing is remembered
        with np.errstate(divide="ignore", invalid="ignore"):
            found = binary.compute(x, y)
            expected = binary.expect(a.astype(wide), b.astype(wide)) if binary.roundings else binary.expect(a, b)
        agree(found, expected, binary.roundings)
        assert found.dtype == made(common(x, y), expected.dtype)
        agree(x, a)
        agree(y, b)


@claim("broadcasting-matches-shapes")
@over(pair=pairs((torch.bool, torch.int32)))
def test_equal_compares_repeated_operands_where_they_lie(pair):
    x, a, y, b = pair
    x, y = torch.broadcast_tensors(x, y)

    agree(x == y, np.equal(a, b))
    assert torch.equal(x, y) == np.array_equal(*np.broadcast_arrays(a, b))


LEFT_ONLY = ("torch.add", "torch.sub", "torch.mul", "complex /")  # functions that take a number on the right alone
EITHER = ("+", "-", "*", "//", "%", "<", "<=", ">", ">=", "==", "!=", "/", "torch.where")
NUMBERED = [binary for binary in BINARIES if binary.name in LEFT_ONLY + EITHER]
NUMBERS = {
    "number": lambda device: 5,
    "fraction": lambda device: 2.5,
    "whole fraction": lambda device: 1.0,
    "of NumPy": lambda device: np.int64(5),
    "an element": lambda device: torch.tensor([7, 5], device=device)[1],
    "a dimension": lambda device: torch.tensor([5], device=device),
}


@claim("broadcasting-matches-shapes")
@over(
    EVERY_MODE,
    twin=twins((*NUMERIC, torch.complex64), shapes=((), (0,), (9,), (2, 3, 4, 5)), values=("small", "quarters")).rarely(
        *starmap(Twin, product(SINGLE_AND_DOUBLE, ((300, 2), (2, 1031), (2, 3, 2, 3, 2)), ("gappy",)))
    ),
    form=among(*NUMBERS),
    binary=each(*NUMBERED),
)
def test_a_number_meets_every_element_from_either_side_with_a_dimension_or_without(twin, form, binary):
    tensor, array = twin if twin.dtype in binary.dtypes else twin.but(dtype=torch.int16)
    five = NUMBERS[form](tensor.device)
    own = torch.as_tensor(five).dtype  # which counts, of a number, if its category is higher
    met = common(tensor, five) if isinstance(five, torch.Tensor) else max(tensor.dtype, own, key=category)
    array, alike = array.astype(NUMPY[met]), host(torch.as_tensor(five)).astype(NUMPY[met])

    sides = [(tensor, five, array, alike), (five, tensor, alike, array)]
    for left, right, a, b in sides[: 1 if binary.name in LEFT_ONLY else 2]:
        with np.errstate(divide="ignore", invalid="ignore"):
            found, expected = binary.compute(left, right), binary.expect(a, b)
        agree(found, expected.reshape(found.shape), 2 * binary.roundings)  # 5 times an inverse
        assert found.dtype == made(met, expected.dtype)


@claim("broadcasting-matches-shapes")
@over(twin=twins((torch.uint8,)))
def test_a_number_is_shifted_or_raised_by_every_element_and_every_element_raised_to_a_fraction(twin):
    exponents, numbers = twin
    whole = exponents.int()

    agree(5 >> exponents, 5 >> numbers)
    for window in (slice(None), slice(None, -1), slice(1, None)):  # in one memory, two of a size
        n, powers = np.atleast_1d(numbers)[..., window], torch.atleast_1d(whole)[..., window]
        agree(2**powers, 2 ** n.astype(int))
        agree(0.5**powers, 0.5 ** n.astype(int))
    for power in (exponents**1.5, torch.pow(exponents, 1.5), exponents.pow(1.5)):
        agree(power, numbers.astype(np.float64) ** 1.5, roundings=2)
    filled = exponents.contiguous().clone()
    filled[...] = torch.tensor([3, 4])[1]
    agree(filled, np.full_like(numbers, 4))


OUTPUTS = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "eq": np.equal, "ne": np.not_equal}
WIDER = (None, torch.float32, *[torch.complex64] * (RELEASE >= (2, 2)))  # torch 2.0 set both parts of truth values
PUT_OUT = *product(OUTPUTS.items(), WIDER), (("maximum", np.maximum), None)


@claim("broadcasting-matches-shapes")
@over(EVERY_MODE, pair=pairs(SIGNED), layout=among(*WRITABLE), trial=among(*PUT_OUT))
def test_an_output_of_any_layout_or_wider_dtype_gets_every_element_and_nothing_beside_it(pair, layout, trial):
    ((name, expect), wider), (x, a, y, b) = trial, pair
    compute = getattr(torch, name)
    output, _ = pair.left.but(shape=pair.shape, layout=layout, dtype=wider or x.dtype)

    assert compute(x, y, out=output) is output
    agree(output, expect(a, b))
    negative, _ = pair.left.but(shape=pair.shape, layout=layout)
    torch.neg(x.expand(pair.shape).contiguous(), out=negative)
    agree(negative, np.broadcast_to(-a, pair.shape))
    untouched(output)
    output.copy_(y)
    agree(compute(x, output, out=output), expect(a, b))  # an operand is read before it is written
    untouched(output)


@claim("broadcasting-matches-shapes", "augmented-assignment-writes-through")
@over(trial=in_turn(among(*product(FLOATS, SPECIAL, EVERY_MODE)), among(*IN_PLACE)))
def test_nan_infinity_and_negative_zero_meet_every_element_as_the_standard_says(trial):
    """IEEE 754, which NumPy follows: with NaN every result is NaN and every comparison false."""
    row, ((dtype, binary, mode), into) = np.array([[np.nan, np.inf, -np.inf, -0.0, 3.0]], np.float32), trial

    with np.errstate(invalid="ignore", divide="ignore"), mode():
        x, y = torch.tensor(row).to(dtype), torch.tensor(row.T.copy()).to(dtype)
        agree(binary.compute(x, y), binary.expect(row, row.T))
        agree(x**y, row**row.T)  # even of zero
        agree(torch.stack([x == x, x != x]), np.stack([row == row, row != row]))
        agree(x / torch.tensor(np.abs(row.T)).to(y), row / np.abs(row.T))
        written, (write, expect) = x.repeat(5, 1), IN_PLACE[into]
        write(written, y)
        agree(written, expect(row.repeat(5, 0), row.T))


@claim("broadcasting-matches-shapes")
@over(twin=twins((*SINGLE_AND_DOUBLE, torch.int32, torch.int64), shapes=((),)))
def test_no_digit_of_a_large_number_is_lost_beside_small_ones(twin):
    number = 1 + 2 ** {torch.float32: 23, torch.float64: 52, torch.int32: 30, torch.int64: 62}[twin.dtype]
    row, one = torch.arange(33).to(twin.dtype), torch.tensor([[number]], dtype=twin.dtype)

    agree(row - one, np.arange(33)[None] - number)
    agree(one * (row % 2), number * (np.arange(33)[None] % 2))
    agree(torch.maximum(row, one + 1), np.full((1, 33), number + 1))
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        for compare in (getattr(operator, name), getattr(torch, name), getattr(torch.Tensor, name)):
            agree(compare(one - 1 - row, one - 1 - 16), getattr(operator, name)(-np.arange(33), -16)[None])
    for sum_ in (one + row, row + number, number + row):
        agree(sum_.reshape(1, 33), number + np.arange(33)[None])
        agree(sum_.reshape(1, 33) % 31, (number + np.arange(33)[None]) % 31)
        agree(sum_.reshape(1, 33) // 31, (number + np.arange(33)[None]) // 31)


@claim("broadcasting-matches-shapes")
@over(pair=pairs(SINGLE_AND_DOUBLE), how=each(*THREE))
def test_three_operands_broadcast_together(pair, how):
    (x, a, y, b), (compute, expect) = pair, THREE[how]
    row = np.arange(math.prod(pair.shape[-1:])) % 2 == 0
    column = np.arange(math.prod(pair.shape[-2:-1])).reshape(-1, 1) % 2 == 0

    for mask in (row, column, row ^ column):
        agree(compute(torch.tensor(mask.T.copy()).permute(*range(mask.ndim)[::-1]), x, y), expect(mask, a, b))


@claim("broadcasting-matches-shapes", truth=True)
@over(
    EVERY_MODE,
    twin=twins(
        SIGNED, WRITABLE, ((2, 3), (3, 3), (2, 1, 4), (2, 2, 3, 2), (92, 93), (0, 3), (2, 3, 1, 2, 2)), values="small"
    ),
    how=among(*WRITTEN),
    other=among(None, torch.int64, torch.float32, torch.bfloat16),
    size=among(0, 1, 2, 3, 4),
)
def test_the_operand_that_is_read_is_repeated_in_place_too_and_converted(twin, how, other, size):
    compute, expect = WRITTEN[how]
    other = twin.dtype if other is None or not torch.can_cast(other, twin.dtype) else other
    tensor, array = twin
    sizes = [twin.shape, twin.shape[-1:], (*twin.shape[:-1], 1), (1,) * len(twin.shape), ()]
    operand, numbers = twin.but(shape=sizes[size], seed=twin.seed + 9, dtype=other)

    compute(tensor, operand)
    agree(tensor, expect(array, numbers))
    agree(operand, numbers)
    untouched(tensor)


REFUSED = ("sub_", "div_", "pow_", "fmod_", "remainder_", "copysign_", "hypot_", "atan2_", "xlogy_", "eq_", "lt_")


@claim("broadcasting-matches-shapes", truth=True)
@over(
    EVERY_MODE,
    shapes=among(((3,), (3, 3)), ((1, 3), (2, 3)), ((3, 1), (3, 2)), ((), (2,)), ((2, 2), (2, 3))),
    how=each(*(how for how in WRITTEN if how != "a slice"), *REFUSED),
    dtype=among("float32", "int64"),
)
def test_the_target_of_an_in_place_operation_is_never_repeated(shapes, how, dtype):
    target, read = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape in shapes)

    for operand in (read, *[target[None]] * (how != "assignment")):  # which passes over leading ones
        with pytest.raises(RuntimeError):
            WRITTEN[how][0](target, operand) if how in WRITTEN else getattr(target, how)(operand)
    agree(target, np.ones(shapes[0]))


@claim("broadcasting-matches-shapes", truth=True)
@over(EVERY_MODE, shapes=among(*CLASHING), binary=each(*CLASH))
def test_sizes_that_differ_without_a_one_are_refused_by_every_operation(shapes, binary):
    left, right = (torch.ones(shape, dtype=binary.dtypes[0]) for shape in shapes)
    for operands in ((left, right), (right, left)):
        with pytest.raises(RuntimeError):
            binary.compute(*operands)


EXPANSIONS = {
    "expand": lambda x, shape: x.expand(shape),
    "sizes": lambda x, shape: x.expand(*shape or [()]),
    "minus one": lambda x, shape: x.expand(
        [-1 if own == size else size for own, size in zip([None] * (len(shape) - x.dim()) + [*x.shape], shape)]
    ),
    "expand_as": lambda x, shape: x.expand_as(torch.empty(shape)),
    "torch.broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "method broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "first of broadcast_tensors": lambda x, shape: torch.broadcast_tensors(x, torch.empty(shape))[0],
    "third of broadcast_tensors": lambda x, shape: torch.broadcast_tensors(*2 * [torch.empty(shape)], x)[2],
    "second of broadcast_tensors": lambda x, shape: torch.broadcast_tensors(torch.empty(shape), x)[1],
}


@claim("broadcasting-copies-elements", truth=True)
@over(pair=pairs((*NUMERIC, torch.complex64), WRITABLE, grad=(False, True)))
def test_an_expanded_tensor_has_stride_zero_where_it_repeats_and_follows_every_write(pair):
    (x, *_), wanted = pair.left, np.broadcast_to(array_of(pair.left)[0], pair.shape)
    several = [size > 1 and x.numel() > 0 for size in pair.shape]  # elements, between which there is a stride
    strides = [stride // wanted.itemsize for stride in wanted.strides]
    results = [expand(x, pair.shape) for expand in EXPANSIONS.values()]

    for expanded in results:
        agree(expanded, wanted)
        assert expanded.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
        assert expanded.storage_offset() == x.storage_offset()
        assert [*compress(expanded.stride(), several)] == [*compress(strides, several)]
    x.detach().fill_(1)
    for expanded in results:
        agree(expanded, np.ones(pair.shape))


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@over(batches=among(((2, 1), (1, 5)), ((3, 1, 2), (4, 1))), dtype=among("float32", "float64"))
def test_matrices_that_matmul_repeats_along_several_dimensions_are_copied(batches, dtype):
    left, right = (torch.ones(*batch, 8, 8, dtype=getattr(torch, dtype)) for batch in batches)
    assert bytes_allocated_by(lambda: left @ right) >= 3 * (left @ right).numel() * left.element_size()  # both repeated


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@over(operation=among(*ALONE))
def test_an_operation_allocates_its_output_alone_and_a_division_whole_numbers_as_floats(operation):
    shapes = (((1, 1_200), (10, 1)), ((2, 1, 4), (3, 1)), ((257,), (1,)))
    pairs = [[torch.ones(shape, dtype=dtype) for shape in both] for both in shapes for dtype in operation.dtypes]
    converted = [x.float() for pair in pairs for x in pair if operation.name == "/" and x.dtype not in FLOATS]
    outputs = [*converted, *(operation.compute(*pair) for pair in pairs)]

    asked = bytes_allocated_by(lambda: [operation.compute(*pair) for pair in pairs])
    assert asked == sum(output.numel() * output.element_size() for output in outputs)


@claim("broadcasting-copies-elements", "broadcasting-matches-shapes", truth=True)
@pytest.mark.cpu
@over(dtype=among("float32", "float64", "int64"), how=among(*IN_PLACE))
def test_a_large_target_is_written_once_where_it_lies(dtype, how):
    (write, expect), reads = IN_PLACE[how], [np.full(shape, 3, dtype) for shape in ((), (200,), (100, 200))]
    pairs = [(torch.ones(100, 200, dtype=getattr(torch, dtype)), torch.tensor(read)) for read in reads]

    assert bytes_allocated_by(lambda: [write(*pair) for pair in pairs]) == 0
    for (table, _), read in zip(pairs, reads):
        agree(table, expect(np.ones((100, 200)), read))
