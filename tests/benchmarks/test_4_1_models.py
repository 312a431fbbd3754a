"""4.1 Models: a Sequential, a subclass, or functions

The arithmetic is the same, so what differs is Python's: a call of a module looks for hooks and then calls `forward`.
That is a fixed price for each layer, which disappears beside the arithmetic of wide layers.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F


class Perceptron(nn.Module):
    """One hidden layer, as wide as its input."""

    def __init__(self, width):
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.output = nn.Linear(width, 10)

    def forward(self, x):
        return self.output(F.relu(self.hidden(x)))


@pytest.mark.comparison(
    size="inputs and hidden units", claims=["sequential-chains-its-modules", "subclassing-module-defines-a-model"]
)
@pytest.mark.parametrize("way", ["Sequential", "subclass", "functional"])
@pytest.mark.parametrize("size", [8, 64, 256, 1024])
def test_perceptron_of_32_examples(size, way, measure):
    net, x = Perceptron(size), torch.randn(32, size)
    chain = nn.Sequential(net.hidden, nn.ReLU(), net.output)
    w1, b1, w2, b2 = net.parameters()
    ways = {
        "Sequential": lambda: chain(x),
        "subclass": lambda: net(x),
        "functional": lambda: F.linear(F.relu(F.linear(x, w1, b1)), w2, b2),
    }
    result = measure(ways[way], operations=2 * 32 * size * (size + 10))
    expected = (x @ w1.t() + b1).clamp(min=0) @ w2.t() + b2
    torch.testing.assert_close(result, expected)
