"""2.3 Broadcasting

An element-wise operation needs operands of one shape. Broadcasting finds that shape: write the two shapes flush right,
supply missing dimensions by 1, and wherever the sizes differ, one of them must be 1 and counts as the other. The result
is as if the operand had been repeated along that dimension. Nothing is repeated in memory, though: a stride of 0 makes
every step along the dimension arrive at the same number.
"""

import pytest
import torch

claim = pytest.mark.claim


@claim("broadcasting-matches-shapes")
def test_a_row_and_a_column_make_a_table():
    x = torch.arange(1, 3).view(1, 2)
    y = torch.arange(1, 4).view(3, 1)
    print(x + y)

    assert (x + y).tolist() == [[2, 3], [3, 4], [4, 5]]
    assert (x / 2 - y).tolist() == [[-0.5, 0.0], [-1.5, -1.0], [-2.5, -2.0]]


@claim("broadcasting-matches-shapes", truth=True)
def test_sizes_are_compared_from_the_right_and_only_a_one_is_repeated():
    square = torch.zeros(3, 3)

    assert (square + torch.tensor([1.5, 2, 3])).tolist() == [[1.5, 2, 3], [1.5, 2, 3], [1.5, 2, 3]]
    with pytest.raises(RuntimeError):
        torch.ones(2, 3) + torch.ones(2)  # 3 against 2

    square += torch.tensor([[1.5], [2], [3]])
    assert square.tolist() == [[1.5, 1.5, 1.5], [2, 2, 2], [3, 3, 3]]
    row = torch.tensor([1.5, 2, 3])
    with pytest.raises(RuntimeError):
        row += square  # a row that is written to cannot become a table


@claim("broadcasting-copies-elements")
def test_each_repeated_element_has_a_place_of_its_own_in_memory():
    """Mistaken: the rows of the table are one row; broadcasting repeats it by a stride of 0."""
    row, column = torch.tensor([[1.5, 2.5]]), torch.zeros(3, 1)
    table, _ = torch.broadcast_tensors(row, column)

    assert table[0, 0].data_ptr() != table[1, 0].data_ptr()


@claim("broadcasting-copies-elements", truth=True)
def test_a_stride_of_zero_repeats_a_row_and_a_write_shows_in_every_repetition():
    row = torch.tensor([[1.5, 2.5]])
    table = row.expand(3, 2)

    assert table.stride() == (0, 1)
    row[0, 0] = 100
    assert table.tolist() == [[100, 2.5], [100, 2.5], [100, 2.5]]
    assert row.repeat(3, 1).stride() == (2, 1)  # three rows in memory, where they are wanted
