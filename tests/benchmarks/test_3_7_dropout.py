"""3.7 Dropout: in training and in evaluation

In evaluation dropout hands back its input, whatever the size: an exponent of 0. In training it draws a random number
for every unit, which costs far more than the multiplication that follows. The results differ, as they must.
"""

import pytest
import torch
from torch import nn


@pytest.mark.comparison(size="units", claims=["dropout-zeroes-with-probability-p", "dropout-scales-survivors"])
@pytest.mark.parametrize("way", ["eval", "train", "mask by hand"])
@pytest.mark.parametrize("size", [10**3, 10**4, 10**5, 10**6])
def test_dropout(size, way, measure):
    layer, x = nn.Dropout(0.5).train(way == "train"), torch.ones(size)
    ways = {
        "eval": lambda: layer(x),
        "train": lambda: layer(x),
        "mask by hand": lambda: x * (torch.rand(size) > 0.5) / 0.5,
    }
    result = measure(ways[way])
    survivors = (result > 0).sum().item()
    assert set(result.tolist()) == ({1.0} if way == "eval" else {0.0, 2.0})
    # a binomial count is within seven standard deviations of its mean, but once in 4e11 times
    expected, margin = (size, 0) if way == "eval" else (size / 2, 7 * (size / 4) ** 0.5)
    assert abs(survivors - expected) <= margin
