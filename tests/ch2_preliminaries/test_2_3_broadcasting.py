"""2.3 Broadcasting

An element-wise operation needs operands of one shape. Broadcasting finds that shape: write the two shapes flush
right, supply missing dimensions by 1, and wherever the sizes differ, one of them must be 1 and counts as the other.
The result is as if the operand had been repeated along that dimension. Nothing is repeated in memory, though: a
stride of 0 makes every step along the dimension arrive at the same number.
"""

import operator

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis.extra.numpy import mutually_broadcastable_shapes

claim = pytest.mark.claim

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.lt, operator.eq, operator.floordiv]
FUNCTIONS = [
    pytest.param(lambda x, y: torch.add(x, y), id="torch.add"),
    pytest.param(lambda x, y: torch.mul(x, y), id="torch.mul"),
    pytest.param(lambda x, y: torch.maximum(x, y), id="torch.maximum"),
    pytest.param(lambda x, y: torch.pow(x, y), id="torch.pow"),
]

shape_pairs = mutually_broadcastable_shapes(num_shapes=2, max_dims=6, min_side=0, max_side=3).map(
    lambda s: s.input_shapes
)


def numbers(shape, start):
    """An integer array of distinct elements, none of them zero: start, start + 1, ..."""
    return np.arange(start, start + np.prod(shape, dtype=int), dtype=np.int64).reshape(shape)


def bytes_allocated_by(action):
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        action()
    return sum(max(event.nbytes(), 0) for event in profile.kineto_results.events() if event.name() == "[memory]")


# ── broadcasting-matches-shapes ──


@claim("broadcasting-matches-shapes")
def test_a_row_and_a_column_make_a_table():
    row = torch.arange(1, 3).view(1, 2)
    column = torch.arange(1, 4).view(3, 1)

    assert (row + column).tolist() == [[2, 3], [3, 4], [4, 5]]


@claim("broadcasting-matches-shapes")
def test_the_order_of_the_operands_matters_only_to_the_operator():
    row = torch.tensor([[10, 20]])
    column = torch.tensor([[1], [2], [3]])

    assert (row - column).tolist() == [[9, 19], [8, 18], [7, 17]]
    assert (column - row).tolist() == [[-9, -19], [-8, -18], [-7, -17]]


@claim("broadcasting-matches-shapes")
def test_shapes_are_aligned_at_their_last_dimension():
    square = torch.zeros(3, 3, dtype=torch.int64)

    assert (square + torch.tensor([1, 2, 3])).tolist() == [[1, 2, 3]] * 3
    assert (square + torch.tensor([[1], [2], [3]])).tolist() == [[1, 1, 1], [2, 2, 2], [3, 3, 3]]


@claim("broadcasting-matches-shapes")
def test_a_scalar_tensor_meets_every_element():
    assert (torch.tensor([[1, 2, 3], [4, 5, 6]]) * torch.tensor(10)).tolist() == [[10, 20, 30], [40, 50, 60]]


@claim("broadcasting-matches-shapes")
@pytest.mark.parametrize(
    "left, right, result",
    [
        ((2, 3), (2, 3), (2, 3)),
        ((3,), (2, 3), (2, 3)),
        ((2, 1, 4), (3, 1), (2, 3, 4)),
        ((5, 1, 1), (1, 7), (5, 1, 7)),
        ((), (2, 3), (2, 3)),
        ((1,), (0,), (0,)),
        ((2, 0), (2, 1), (2, 0)),
        ((150, 1), (1, 260), (150, 260)),
    ],
)
def test_each_size_of_the_result_is_the_size_that_is_not_one(left, right, result):
    assert torch.add(torch.zeros(left), torch.zeros(right)).shape == result
    assert torch.mul(torch.zeros(right), torch.zeros(left)).shape == result


@claim("broadcasting-matches-shapes")
@pytest.mark.parametrize("operation", ARITHMETIC)
@given(shapes=shape_pairs)
@example(shapes=((3, 4), (4,)))
@example(shapes=((2, 3, 1, 1, 1), (1, 2, 1, 3)))
def test_every_operator_broadcasts_as_in_numpy(operation, shapes):
    left, right = numbers(shapes[0], start=3), numbers(shapes[1], start=5)

    result = operation(torch.tensor(left), torch.tensor(right))
    expected = operation(left, right)

    assert result.shape == expected.shape
    assert result.tolist() == expected.tolist()


@claim("broadcasting-matches-shapes")
@given(shapes=shape_pairs)
def test_every_function_broadcasts_as_in_numpy(shapes):
    left, right = numbers(shapes[0], start=3), numbers(shapes[1], start=5)
    x, y = torch.tensor(left), torch.tensor(right)

    assert torch.add(x, y).tolist() == (left + right).tolist()
    assert torch.mul(x, y).tolist() == (left * right).tolist()
    assert torch.maximum(x, y).tolist() == np.maximum(left, right).tolist()
    assert torch.where(x > y, x, y * 2).tolist() == np.where(left > right, left, right * 2).tolist()
    torch.testing.assert_close((x / y).tolist(), (left / right).tolist(), rtol=1e-6, atol=0)  # float32 quotients


@claim("broadcasting-matches-shapes")
@given(shapes=shape_pairs)
def test_the_result_equals_that_of_operands_repeated_in_memory(shapes):
    left, right = numbers(shapes[0], start=3), numbers(shapes[1], start=5)
    left_repeated, right_repeated = (torch.tensor(np.array(array)) for array in np.broadcast_arrays(left, right))

    assert torch.equal(torch.tensor(left) - torch.tensor(right), left_repeated - right_repeated)


@claim("broadcasting-matches-shapes")
def test_every_element_of_a_large_table_combines_its_row_and_its_column():
    column, row = torch.arange(150).view(150, 1), torch.arange(260)

    assert (column * 1000 + row).tolist() == [[1000 * i + j for j in range(260)] for i in range(150)]


@claim("broadcasting-matches-shapes")
def test_three_operands_broadcast_together():
    condition = torch.tensor([[True], [False]])
    result = torch.where(condition, torch.tensor([1, 2, 3]), torch.tensor([[10], [20]]))

    assert result.tolist() == [[1, 2, 3], [20, 20, 20]]


@claim("broadcasting-matches-shapes")
def test_a_non_contiguous_operand_broadcasts_in_its_logical_order():
    x = torch.tensor([[1, 2, 3], [4, 5, 6]]).t()

    assert (x + torch.tensor([10, 20])).tolist() == [[11, 24], [12, 25], [13, 26]]


@claim("broadcasting-matches-shapes")
def test_the_operands_are_left_as_they_were():
    row, column = torch.tensor([[1, 2]]), torch.tensor([[1], [2], [3]])

    row + column

    assert row.tolist() == [[1, 2]]
    assert column.tolist() == [[1], [2], [3]]


@claim("broadcasting-matches-shapes")
def test_an_in_place_operation_repeats_the_other_operand_only():
    table, row = torch.zeros(3, 3), torch.tensor([1.0, 2.0, 3.0])

    table += row
    assert table.tolist() == [[1, 2, 3]] * 3
    table += torch.tensor([[10.0], [20.0], [30.0]])
    assert table.tolist() == [[11, 12, 13], [21, 22, 23], [31, 32, 33]]

    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        row += table


@claim("broadcasting-matches-shapes")
@pytest.mark.parametrize("operation", [*ARITHMETIC, *FUNCTIONS])
@pytest.mark.parametrize(
    "left, right",
    [
        ((2, 3), (4,)),
        ((2, 3), (2,)),
        ((3, 2), (2, 3)),
        ((2, 1), (3, 3, 1)),
        ((0,), (2,)),
        ((6,), (3,)),
        ((2, 4, 3), (2, 3)),
        ((2, 3, 4), (2, 3)),
    ],
)
def test_sizes_that_differ_without_a_one_are_refused(operation, left, right):
    with pytest.raises(RuntimeError, match="must match the size of tensor"):
        operation(torch.ones(left), torch.ones(right))


# ── broadcasting-copies-elements ──

EXPANSIONS = [
    pytest.param(lambda x, shape: x.expand(shape), id="expand"),
    pytest.param(lambda x, shape: torch.broadcast_to(x, shape), id="broadcast_to"),
    pytest.param(lambda x, shape: torch.broadcast_tensors(x, torch.zeros(shape))[0], id="broadcast_tensors"),
]


@claim("broadcasting-copies-elements")
def test_each_repeated_element_has_its_own_place_in_memory():
    row = torch.tensor([[1, 2]])
    repeated, _ = torch.broadcast_tensors(row, torch.zeros(3, 1))

    assert repeated[0, 0].data_ptr() != repeated[1, 0].data_ptr()


@claim("broadcasting-copies-elements")
@pytest.mark.cpu
def test_an_operation_allocates_more_than_its_output():
    row, column = torch.ones(1, 200), torch.ones(100, 1)

    assert bytes_allocated_by(lambda: row + column) > 4 * 100 * 200  # a float32 takes 4 bytes


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.parametrize("expansion", EXPANSIONS)
@pytest.mark.parametrize(
    "source, target, stride",
    [
        ((1, 2), (3, 2), (0, 1)),
        ((3, 1), (3, 2), (1, 0)),
        ((2,), (4, 3, 2), (0, 0, 1)),
        ((2, 1, 3), (2, 5, 3), (3, 0, 1)),
        ((), (2, 3), (0, 0)),
        ((1, 200), (160, 200), (0, 1)),
        ((160, 1), (160, 200), (1, 0)),
    ],
)
def test_an_expanded_tensor_has_stride_zero_where_it_repeats(expansion, source, target, stride):
    x = torch.zeros(source)
    expanded = expansion(x, target)

    assert expanded.shape == target
    assert expanded.stride() == stride
    assert expanded.data_ptr() == x.data_ptr()
    assert expanded.untyped_storage().nbytes() == 4 * x.numel()


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.parametrize("expansion", EXPANSIONS)
def test_a_write_to_the_source_shows_in_every_repetition(expansion):
    x = torch.tensor([[1], [2], [3]])
    expanded = expansion(x, (3, 2))

    x[1, 0] = 100

    assert expanded.tolist() == [[1, 1], [100, 100], [3, 3]]


@claim("broadcasting-copies-elements", truth=True)
def test_repeat_copies_where_expand_does_not():
    x = torch.tensor([[1, 2]])
    repeated = x.repeat(3, 1)

    x[0, 0] = 100

    assert repeated.tolist() == [[1, 2], [1, 2], [1, 2]]
    assert repeated.stride() == (2, 1)
    assert repeated.untyped_storage().nbytes() == 3 * 2 * 8


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
def test_expanding_allocates_nothing_and_repeating_does():
    x, column = torch.ones(1, 200), torch.ones(100, 1)

    assert bytes_allocated_by(lambda: torch.broadcast_tensors(x, column)) == 0
    assert bytes_allocated_by(lambda: x.expand(100, 200)) == 0
    assert bytes_allocated_by(lambda: x.repeat(100, 1)) >= 4 * 100 * 200


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
@pytest.mark.parametrize(
    "operation",
    [operator.add, operator.sub, operator.mul, operator.truediv, *FUNCTIONS],
)
@pytest.mark.parametrize("rows, columns", [(3, 5), (100, 200)])
def test_an_operation_allocates_its_output_alone(operation, rows, columns):
    row, column = torch.ones(1, columns), torch.ones(rows, 1)

    assert bytes_allocated_by(lambda: operation(row, column)) == 4 * rows * columns


@claim("broadcasting-copies-elements", truth=True)
@pytest.mark.cpu
def test_an_in_place_operation_allocates_nothing():
    table, row = torch.ones(100, 200), torch.ones(200)

    assert bytes_allocated_by(lambda: table.add_(row)) == 0


@claim("broadcasting-copies-elements", truth=True)
def test_an_expanded_tensor_cannot_be_written_in_place():
    """Several elements of it are one place in memory."""
    with pytest.raises(RuntimeError, match="refers to a single memory location"):
        torch.zeros(1, 2).expand(3, 2).add_(1)
