"""2.3 Broadcasting, for operands of every dtype, shape and layout, and every spelling of an operation."""

import operator

import numpy as np
import pytest
import torch
from populations import FLOATS, SINGLE_AND_DOUBLE, WRITABLE, agree, among, each, over, twins, untouched
from populations.gradients import bytes_allocated_by
from populations.pairs import CLASHING, pairs

claim = pytest.mark.claim

EXACT = {  # on whole numbers from -8 to 8, or booleans
    "+": (operator.add, np.add),
    "method add": (lambda x, y: x.add(y), np.add),
    "torch.add": (lambda x, y: torch.add(x, y), np.add),
    "add with alpha": (lambda x, y: torch.add(x, y, alpha=3), lambda a, b: a + 3 * b),
    "out": (
        lambda x, y: torch.add(x, y, out=torch.empty(np.broadcast_shapes(x.shape, y.shape), dtype=x.dtype)),
        np.add,
    ),
    "-": (operator.sub, np.subtract),
    "torch.sub": (lambda x, y: torch.sub(x, y), np.subtract),
    "keyword": (lambda x, y: torch.sub(x, other=y), np.subtract),
    "*": (operator.mul, np.multiply),
    "torch.mul": (lambda x, y: torch.mul(x, y), np.multiply),
    "maximum": (lambda x, y: torch.maximum(x, y), np.maximum),
    "<": (operator.lt, np.less),
    "==": (operator.eq, np.equal),
    "where": (lambda x, y: torch.where(x > y, x, y * 2), lambda a, b: np.where(a > b, a, b * 2)),
}
ROUNDED = {  # with the number of roundings of a quotient or a power, one more where a vector's last digit may be off
    "/": (operator.truediv, np.true_divide, 1),
    "torch.pow": (lambda x, y: torch.pow(x, y % 3), lambda a, b: a ** (b % 3), 2),
    "**": (lambda x, y: x ** (y % 3), lambda a, b: a ** (b % 3), 2),
}
BOOLEAN = ("+", "torch.add", "*", "torch.mul", "maximum", "<", "==")
BITS = {
    "&": (operator.and_, np.bitwise_and),
    "|": (operator.or_, np.bitwise_or),
    "torch.bitwise_xor": (lambda x, y: torch.bitwise_xor(x, y), np.bitwise_xor),
}
IN_PLACE = {
    "+=": (lambda x, y: x.__iadd__(y), np.add),
    "add_": (lambda x, y: x.add_(y), np.add),
    "-=": (lambda x, y: x.__isub__(y), np.subtract),
    "mul_": (lambda x, y: x.mul_(y), np.multiply),
    "add_ with alpha": (lambda x, y: x.add_(y, alpha=2), lambda a, b: a + 2 * b),
    "assignment": (lambda x, y: x.__setitem__(..., y), lambda a, b: np.zeros_like(a) + b),
    "copy_": (lambda x, y: x.copy_(y), lambda a, b: np.zeros_like(a) + b),
}


def last_column_of(x, y):
    """Write to the last column what ``y``, repeated as needed, has there."""
    x[..., -1:] = y[..., -1:] if y.ndim else y
    return x


WRITTEN = {
    **IN_PLACE,
    "a slice": (last_column_of, lambda a, b: last_column_of(a.copy(), b)),
    "masked_fill_": (lambda x, y: x.masked_fill_(y > 0, 3), lambda a, b: np.where(b > 0, 3, a)),
}
CLASH = {name: compute for name, (compute, *_) in {**EXACT, **ROUNDED}.items() if name != "out"} | {"pow": torch.pow}
REAL = (*FLOATS, torch.int64, torch.int32, torch.int16)

# ── broadcasting-matches-shapes ──


@claim("broadcasting-matches-shapes")
@over(pair=pairs(REAL, grad=(False, True)), name=each(*EXACT))
@torch.no_grad()
def test_every_operation_combines_the_elements_that_repeated_operands_would_have_there(pair, name):
    compute, expect = EXACT[name]
    for x, a, y, b in (pair, pair.next()):  # of the same shapes: nothing is remembered
        agree(compute(x, y), expect(a, b))
        agree(compute(y, x), expect(b, a))
        agree(x, a)
        agree(y, b)


@claim("broadcasting-matches-shapes")
@over(pair=pairs(FLOATS, grad=(False, True)))
def test_quotients_and_powers_are_those_of_repeated_operands_within_rounding(pair):
    x, a, y, b = pair
    for compute, expect, roundings in ROUNDED.values():
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = expect(a.astype(np.float64), b.astype(np.float64)), expect(b.astype(np.float64), a)

        agree(compute(x, y), expected[0], roundings)
        agree(compute(y, x), expected[1], roundings)


@claim("broadcasting-matches-shapes")
@over(pair=pairs((torch.bool,)), name=each(*BOOLEAN, *BITS))
def test_booleans_are_read_where_they_lie_repeated_ones_too(pair, name):
    (compute, expect), (x, a, y, b) = {**EXACT, **BITS}[name], pair
    repeated = x.expand(pair.shape), y.expand(pair.shape)

    agree(compute(x, y), expect(a, b))
    agree(compute(y, x), expect(b, a))
    agree(compute(*repeated), expect(a, b))
    assert torch.equal(*repeated) == np.array_equal(*np.broadcast_arrays(a, b))


@claim("broadcasting-matches-shapes")
@over(twin=twins((*FLOATS, torch.int64, torch.int32, torch.uint8, torch.bool)))
def test_a_number_meets_every_element_from_either_side_with_a_dimension_or_without(twin):
    tensor, array = twin

    for five in (5, *(torch.tensor(data, device=tensor.device) for data in (5, [5]))):
        agree(tensor + five, (array + 5).reshape((tensor + five).shape))
        agree(five * tensor, (5 * array).reshape((five * tensor).shape))
        agree(tensor * five, (5 * array).reshape((five * tensor).shape))
    filled = tensor.contiguous().clone()
    filled[...] = torch.tensor([3, 4])[1]
    agree(filled, np.full_like(array, 4))


OUTPUTS = {
    "torch.add": (lambda x, y, out: torch.add(x, y, out=out), np.add),
    "torch.sub": (lambda x, y, out: torch.sub(x, y, out=out), np.subtract),
    "torch.mul": (lambda x, y, out: torch.mul(x, y, out=out), np.multiply),
    "torch.maximum": (lambda x, y, out: torch.maximum(x, y, out=out), np.maximum),
}


@claim("broadcasting-matches-shapes")
@over(pair=pairs(REAL), layout=among(*WRITABLE), name=among(*OUTPUTS))
def test_an_output_of_any_layout_gets_every_element_and_nothing_beside_it(pair, layout, name):
    (compute, expect), (x, a, y, b) = OUTPUTS[name], pair
    output, _ = pair.left.but(shape=pair.shape, layout=layout)

    assert compute(x, y, output) is output
    agree(output, expect(a, b))
    untouched(output)
    output.copy_(y)
    agree(compute(x, output, output), expect(a, b))  # an operand is read before it is written
    untouched(output)


@claim("broadcasting-matches-shapes")
@over(pair=pairs((torch.bfloat16, torch.int32)), name=among(*OUTPUTS))
def test_an_output_of_a_wider_dtype_is_written_in_that_dtype(pair, name):
    (compute, expect), (x, a, y, b) = OUTPUTS[name], pair
    output, _ = pair.left.but(dtype=torch.float32, shape=pair.shape, layout="gappy")

    assert compute(x, y, output) is output
    agree(output, expect(a, b))
    untouched(output)


@claim("broadcasting-matches-shapes")
@over(twin=twins(FLOATS, shapes=((),)), name=each(*EXACT))
def test_nan_infinity_and_negative_zero_meet_every_element_as_the_standard_says(twin, name):
    """IEEE 754, which NumPy follows: with NaN every result is NaN and every comparison false."""
    row = np.array([[np.nan, np.inf, -np.inf, -0.0, 3.0]], np.float32)
    x, y = torch.tensor(row).to(twin.dtype), torch.tensor(row.T.copy()).to(twin.dtype)

    compute, expect = EXACT[name]
    with np.errstate(invalid="ignore", divide="ignore"):
        agree(compute(x, y), expect(row, row.T))
        agree(x / torch.tensor(np.abs(row.T)).to(y), row / np.abs(row.T))


@claim("broadcasting-matches-shapes")
@over(twin=twins((*SINGLE_AND_DOUBLE, torch.int32, torch.int64), shapes=((),)))
def test_no_digit_of_a_large_number_is_lost_beside_small_ones(twin):
    number = 1 + 2 ** {torch.float32: 23, torch.float64: 52, torch.int32: 30, torch.int64: 62}[twin.dtype]
    row, one = torch.arange(33).to(twin.dtype), torch.tensor([[number]], dtype=twin.dtype)

    agree(one + row, number + np.arange(33)[None])
    agree(row - one, np.arange(33)[None] - number)
    agree(torch.maximum(row, one + 1), np.full((1, 33), number + 1))


@claim("broadcasting-matches-shapes")
@over(pair=pairs(SINGLE_AND_DOUBLE, shapes=(((2, 1, 3), (4, 1)), ((3,), (2, 3)), ((), (5, 1)), ((1, 1), (7, 65)))))
def test_three_operands_broadcast_together(pair):
    x, a, y, b = pair
    agree(torch.addcmul(x, y, y), a + b * b)
    row = np.arange(pair.shape[-1]) % 2 == 0
    column = np.arange(pair.shape[-2]).reshape(-1, 1) % 2 == 0

    for condition in (row, column):
        agree(torch.where(torch.tensor(condition), x, y), np.where(condition, a, b))
        agree(torch.where(x > y, torch.tensor(condition).to(x.dtype), y), np.where(a > b, condition, b))
    table = np.broadcast_to(row ^ column, pair.shape[-2:]).copy()
    agree(torch.where(torch.tensor(table.T.copy()).t(), x, y), np.where(table, a, b))


@claim("broadcasting-matches-shapes", truth=True)
@over(
    twin=twins(REAL, WRITABLE, ((2, 3), (3, 3), (2, 1, 4), (2, 2, 3, 2), (7, 257), (0, 3), (2, 3, 1, 2, 2))),
    how=among(*WRITTEN),
    other=among(None, torch.int64, torch.float32, torch.bfloat16),
)
def test_the_operand_that_is_read_is_repeated_in_place_too_and_converted(twin, how, other):
    compute, expect = WRITTEN[how]
    other = twin.dtype if other is None or not torch.can_cast(other, twin.dtype) else other
    for shape in [twin.shape[-1:], (*twin.shape[:-1], 1), (1,) * len(twin.shape), ()]:
        tensor, array = twin
        read, numbers = twin.but(shape=shape, seed=twin.seed + 9, dtype=other)

        compute(tensor, read)
        agree(tensor, expect(array, numbers))
        agree(read, numbers)
        untouched(tensor)


@claim("broadcasting-matches-shapes", truth=True)
@over(
    shapes=among(((3,), (3, 3)), ((1, 3), (2, 3)), ((3, 1), (3, 2)), ((), (2,)), ((2, 2), (2, 3))),
    how=among(*(how for how in WRITTEN if how != "a slice")),
    dtype=among("float32", "int64"),
)
def test_the_target_of_an_in_place_operation_is_never_repeated(shapes, how, dtype):
    target, read = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape in shapes)

    with pytest.raises(RuntimeError):
        WRITTEN[how][0](target, read)
    agree(target, np.ones(shapes[0]))


@claim("broadcasting-matches-shapes", truth=True)
@over(shapes=among(*CLASHING), dtype=among("float32", "int64", "float16"), name=each(*CLASH))
def test_sizes_that_differ_without_a_one_are_refused_by_every_operation(shapes, dtype, name):
    left, right = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape in shapes)

    with pytest.raises(RuntimeError):
        CLASH[name](left, right)
    with pytest.raises(RuntimeError):
        CLASH[name](right, left)


# ── broadcasting-copies-elements ──

EXPANSIONS = {
    "expand": lambda x, shape: x.expand(shape),
    "sizes": lambda x, shape: x.expand(*shape or [()]),
    "minus one": lambda x, shape: x.expand([*shape[: len(shape) - x.dim()], *map(kept, x.shape, shape[-x.dim() :])]),
    "expand_as": lambda x, shape: x.expand_as(torch.empty(shape)),
    "torch.broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "method broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "first of broadcast_tensors": lambda x, shape: torch.broadcast_tensors(x, torch.empty(shape))[0],
    "second of broadcast_tensors": lambda x, shape: torch.broadcast_tensors(torch.empty(shape), x)[1],
}


def kept(size, wanted):
    """-1, by which expand leaves a size as it is, where that is wanted."""
    return -1 if size == wanted else wanted


@claim("broadcasting-copies-elements", truth=True)
@over(pair=pairs((torch.float32, torch.float64, torch.int64, torch.bool), WRITABLE), how=among(*EXPANSIONS))
def test_an_expanded_tensor_has_stride_zero_where_it_repeats_and_follows_every_write(pair, how):
    x, a, _, _ = pair
    expanded = EXPANSIONS[how](x, pair.shape)

    agree(expanded, np.broadcast_to(a, pair.shape))
    assert expanded.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert expanded.storage_offset() == x.storage_offset()
    sizes, strides = (1,) * (expanded.dim() - x.dim()) + a.shape, (0,) * (expanded.dim() - x.dim()) + x.stride()
    repeats = [size == 1 < wanted for size, wanted in zip(sizes, pair.shape)]
    assert [stride for stride, repeat in zip(expanded.stride(), repeats) if repeat] == [0] * sum(repeats)
    own = [size > 1 for size in sizes]
    assert [*np.compress(own, expanded.stride())] == [*np.compress(own, strides)]
    x.fill_(1)
    agree(expanded, np.ones(pair.shape))


@claim("broadcasting-copies-elements", truth=True)
@over(twin=twins((torch.float32, torch.int64), shapes=((1, 2), (2, 3), (3, 1), (5, 1, 2))))
def test_repeat_copies_where_expand_does_not(twin):
    tensor, array = twin
    repeated = tensor.repeat(3, *[1] * (tensor.dim() - 1))

    assert repeated.untyped_storage().nbytes() == 3 * array.nbytes
    tensor.detach().contiguous().zero_()
    agree(repeated, np.concatenate([array] * 3))


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@over(dtype=among("float32", "int64"), write=among("add_", "mul_", "copy_", "sub_"), one=among(False, True))
def test_an_expanded_tensor_cannot_be_written_in_place(dtype, write, one):
    expanded = torch.zeros(1, 2, dtype=getattr(torch, dtype)).expand(3, 2)

    with pytest.raises(RuntimeError):
        getattr(expanded, write)(torch.tensor(1) if one else torch.ones(3, 2, dtype=expanded.dtype))
    with pytest.raises(RuntimeError):
        expanded.add_(1)
    with pytest.raises(RuntimeError):
        expanded[:, 1:] += 1
    agree(expanded, np.zeros((3, 2)))


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@over(batches=among(((2, 1), (1, 5)), ((3, 1, 2), (4, 1))), dtype=among("float32", "float64"))
def test_matrices_that_matmul_repeats_along_several_dimensions_are_copied(batches, dtype):
    left, right = (torch.ones(*batch, 8, 8, dtype=getattr(torch, dtype)) for batch in batches)
    output = (left @ right).numel() * left.element_size()

    assert (
        bytes_allocated_by(lambda: left @ right) >= 3 * output
    )  # all matrices are as large, and both sides are repeated


ALONE = [(name, dtype) for name in EXACT if name not in ("out", "where") for dtype in ("float32", "float16", "int64")]
ALONE += [(name, dtype) for name in ("/", "pow") for dtype in ("float32", "float64")]  # int64 / makes floats


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@over(operation=among(*ALONE))
def test_an_operation_on_operands_of_one_dtype_allocates_its_output_alone(operation):
    name, dtype = operation
    compute = torch.pow if name == "pow" else {**EXACT, **ROUNDED}[name][0]
    for shapes in [((1, 1_200), (10, 1)), ((2, 1, 4), (3, 1)), ((257,), ())]:
        left, right = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape in shapes)
        output = compute(left, right)

        assert bytes_allocated_by(lambda: compute(left, right)) == output.numel() * output.element_size()  # noqa: B023


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@over(dtype=among("float32", "float64", "int64"), how=among(*EXPANSIONS, *IN_PLACE))
def test_expanding_and_working_in_place_allocate_nothing(dtype, how):
    table, row = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape in ((100, 200), (200,)))
    act = {
        **{name: lambda expand=expand: expand(row, (100, 200)) for name, expand in EXPANSIONS.items()},
        **{name: lambda write=write: write(table, row) for name, (write, _) in IN_PLACE.items()},
    }[how]
    other = {name: 4 * 100 * 200 for name in EXPANSIONS if "_as" in name or "tensors" in name}

    assert bytes_allocated_by(act) == other.get(how, 0)  # the table that it is compared with
    assert bytes_allocated_by(lambda: row.repeat(100, 1)) >= table.numel() * table.element_size()
