"""3.8 Numerical stability

Each layer of a deep network multiplies what it receives by its weights. Set biases and activations aside and the whole
network is one long matrix product. Products of many factors go one of two ways: if the factors shrink on average, the
result vanishes, and if they stretch, it explodes, both exponentially in the number of layers. Backpropagation
multiplies by the same matrices in the opposite order, so gradients share the fate. Floating-point numbers end
somewhere, `float32` at about 1e-45 and 3e38: beyond, values are 0 and infinity.
"""

import math

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("identity-network-is-a-matrix-product")
def test_two_layers_multiply_the_input_by_two_matrices():
    x = torch.tensor([[1.0, 2.0]])
    w1, w2 = torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), torch.tensor([[2.0, 1.0], [0.0, 3.0]])
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Identity(), nn.Linear(2, 2, bias=False))
    net[0].weight.data.copy_(w1.T)  # a layer keeps its weight transposed, as (outputs, inputs)
    net[2].weight.data.copy_(w2.T)

    assert (x @ w1).tolist() == net[0](x).tolist() == [[-1, 2]]
    assert (x @ w1 @ w2).tolist() == net(x).tolist() == [[-2, 5]]


@claim("identity-network-is-a-matrix-product", truth=True)
def test_an_infinite_row_leaves_its_neighbours_alone_in_bfloat16_if_rows_are_32_long():
    """In bfloat16 a CPU with AVX-512 reads on behind a row of 33 inputs, in the row that follows, and multiplies what
    it finds by 0: infinity times 0 is NaN. In single precision it does not.
    """
    for layer in (nn.Linear(32, 10, bias=False, dtype=torch.bfloat16), nn.Linear(33, 10, bias=False)):
        nn.init.ones_(layer.weight)
        x = torch.ones(64, layer.in_features, dtype=layer.weight.dtype)
        x[1::2] = math.inf

        assert layer(x)[:, 0].tolist() == [layer.in_features, math.inf] * 32


@claim("deep-products-vanish-or-explode")
def test_after_a_hundred_layers_zero_or_infinity_is_left():
    ends = {}
    for weight in (0.2, 1.0, 5.0):
        h = torch.tensor([[1.0], [-3.0]])
        for _ in range(100):
            h = h @ torch.tensor([[weight]])
        ends[weight] = h.view(-1).tolist()

    assert ends == {0.2: [0, 0], 1.0: [1, -3], 5.0: [math.inf, -math.inf]}


@claim("scalar-chain-vanishes-and-explodes")
def test_thirty_layers_of_one_weight():
    outputs = []
    for weight in (0.2, 5.0):
        net = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(30)))
        for layer in net:
            nn.init.constant_(layer.weight, weight)
        outputs.append(f"{net(torch.ones(1, 1)).item():.0e}")

    assert outputs == ["1e-21", "9e+20"]


@claim("deep-gradients-vanish-or-explode")
def test_the_first_weight_s_gradient_is_the_product_of_the_29_others():
    gradients = []
    for weight in (0.2, 5.0):
        net = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(30)))
        for layer in net:
            nn.init.constant_(layer.weight, weight)
        net(torch.ones(1, 1)).sum().backward()
        gradients.append(f"{net[0].weight.grad.item():.0e}")

    assert gradients == ["5e-21", "2e+20"]  # 0.2 ** 29 and 5 ** 29
