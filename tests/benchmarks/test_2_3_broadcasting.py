"""2.3 Broadcasting: one call for a whole table

A column and a row are added to a square table. Broadcasting and `expand` read the short operands again and again;
`repeat` first writes them out in full, and needs the memory for it; a Python loop pays Python's price for every row.
The weighted sum of a linear model shows that price for every *element*: some microseconds each, however little is
computed.
"""

import math

import numpy as np
import pytest
import torch


@pytest.mark.comparison(
    size="elements of the table", claims=["broadcasting-matches-shapes", "broadcasting-copies-elements"]
)
@pytest.mark.parametrize("way", ["broadcasting", "expand", "repeat", "loop over rows"])
@pytest.mark.parametrize("size", [100, 1024, 10_000, 99_856, 1_000_000])
def test_sum_of_column_and_row(size, way, measure):
    side = math.isqrt(size)
    column, row = torch.arange(side).view(-1, 1), torch.arange(side)
    ways = {
        "broadcasting": lambda: column + row,
        "expand": lambda: column.expand(side, side) + row.expand(side, side),
        "repeat": lambda: column.repeat(1, side) + row.repeat(side, 1),
        "loop over rows": lambda: torch.stack([element + row for element in column]),
    }
    table = measure(ways[way])
    assert np.array_equal(table.cpu(), np.add.outer(np.arange(side), np.arange(side)))


@pytest.mark.comparison(size="elements of each vector", claims=["linear-model-is-weighted-sum"])
@pytest.mark.parametrize("way", ["torch @", "NumPy @", "loop over lists", "loop over tensors"])
@pytest.mark.parametrize("size", [10, 100, 1000, 10_000])
@pytest.mark.cpu  # NumPy's memory is main memory
def test_weighted_sum(size, way, measure):
    x, w = torch.arange(size, dtype=torch.float64), torch.full([size], 0.5, dtype=torch.float64)
    x_array, w_array = x.numpy(), w.numpy()
    x_list, w_list = x.tolist(), w.tolist()
    ways = {
        "torch @": lambda: x @ w,
        "NumPy @": lambda: x_array @ w_array,
        "loop over lists": lambda: sum(a * b for a, b in zip(x_list, w_list)),
        "loop over tensors": lambda: sum(a * b for a, b in zip(x, w)),
    }
    total = measure(ways[way], operations=2 * size)
    assert total == size * (size - 1) / 4  # a half of 0 + 1 + ... + (size - 1)
