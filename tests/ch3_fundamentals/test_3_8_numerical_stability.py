"""3.8 Numerical stability

Each layer of a deep network multiplies what it receives by its weights. Set biases and activations aside and the whole
network is one long matrix product. Products of many factors go one of two ways: if the factors shrink on average, the
result vanishes, and if they stretch, it explodes, both exponentially in the number of layers. Backpropagation
multiplies by the same matrices in the opposite order, so gradients share the fate. Floating-point numbers end
somewhere, float32 at about 1e-45 and 3e38: beyond, values are 0 and infinity.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


def scalar_chain(weight, layers, dtype=torch.float32):
    """A network of `layers` layers of one unit each, all with the same weight."""
    net = nn.Sequential(*(nn.Linear(1, 1, bias=False, dtype=dtype) for _ in range(layers)))
    for layer in net:
        nn.init.constant_(layer.weight, weight)
    return net


# ── identity-network-is-a-matrix-product ──


@claim("identity-network-is-a-matrix-product")
def test_the_output_of_each_layer_is_the_input_times_all_weights_so_far():
    """nn.Linear keeps W transposed, as (outputs, inputs)."""
    x = [[1.0, 2.0], [0.0, -1.0], [3.0, 1.0]]
    w1 = [[1.0, 0.0, 2.0], [-1.0, 1.0, 0.0]]
    w2 = [[2.0, 1.0], [0.0, 3.0], [1.0, -1.0]]
    w3 = [[0.0, 1.0], [2.0, -1.0]]  # square: its shape does not tell it from its transpose
    w4 = [[1.0, 2.0, 3.0, 4.0], [0.0, -1.0, 1.0, 5.0]]
    net = nn.Sequential(*(nn.Linear(*shape, bias=False) for shape in ((2, 3), (3, 2), (2, 2), (2, 4))))
    for layer, w in zip(net, (w1, w2, w3, w4)):
        layer.weight.data.copy_(torch.tensor(w).T)
    expected = np.array(x)
    for depth, w in enumerate((w1, w2, w3, w4), start=1):
        expected = expected @ np.array(w)
        assert net[:depth](torch.tensor(x)).tolist() == expected.tolist()


@claim("identity-network-is-a-matrix-product")
@given(widths=st.lists(st.integers(1, 6), min_size=2, max_size=7), seed=st.integers(0, 2**32 - 1))
@example(widths=[4, 5, 6, 7, 6, 5, 4], seed=0)
def test_a_network_of_any_widths_is_one_matrix(widths, seed):
    """The product is taken first and the input last: matrix multiplication is associative."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(size=shape) for shape in pairwise(widths)]
    x = rng.normal(size=(3, widths[0]))
    h = torch.tensor(x)
    for w in weights:
        h = nn.Identity()(h @ torch.tensor(w))
    product = weights[0]
    for w in weights[1:]:
        product = product @ w
    np.testing.assert_allclose(h.cpu().numpy(), x @ product, rtol=1e-9, atol=1e-9)  # float64, different order of sums


@claim("identity-network-is-a-matrix-product")
@pytest.mark.parametrize(
    "activation, bias, output",
    [(nn.Identity, 0.0, 6.0), (nn.ReLU, 0.0, 0.0), (nn.Identity, 1.0, 3.0)],
    ids=["identity", "with ReLU", "with bias"],
)
def test_an_activation_or_a_bias_makes_it_something_else(activation, bias, output):
    net = nn.Sequential(nn.Linear(1, 1), activation(), nn.Linear(1, 1, bias=False))
    net[0].weight.data.fill_(-2.0)
    net[0].bias.data.fill_(bias)
    net[2].weight.data.fill_(-3.0)
    assert net(torch.ones(1, 1)).item() == output  # 1 * -2 * -3, or with max(-2, 0), or with -2 + 1


# ── deep-products-vanish-or-explode ──


@claim("deep-products-vanish-or-explode")
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_layers_that_rotate_and_scale_multiply_the_length_by_the_scale_each(scale):
    """A rotation by 0.7 keeps lengths, so the length after n layers is 5 * scale^n: exactly stable only at scale 1."""
    c, s = math.cos(0.7), math.sin(0.7)
    layer = scale * torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    h, lengths = torch.tensor([[3.0, 4.0]], dtype=torch.float64), []
    for _ in range(50):
        h = h @ layer
        lengths.append(h.square().sum().sqrt().item())
    assert lengths == pytest.approx([5 * scale**n for n in range(1, 51)], rel=1e-9, abs=0)


@claim("deep-products-vanish-or-explode")
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_random_layers_of_deviation_s_over_root_width_multiply_the_length_by_about_s_each(scale):
    """The logarithm (base 10) of the length over s^50 has a standard deviation of 0.2: 2 is ten of them."""
    h = torch.randn(4, 64, dtype=torch.float64)
    start = h.square().sum().sqrt().item()
    for _ in range(50):
        h = h @ (torch.randn(64, 64, dtype=torch.float64) * scale / 64**0.5)
    growth = h.square().sum().sqrt().item() / start
    assert math.log10(growth) == pytest.approx(50 * math.log10(scale), abs=2)


@claim("deep-products-vanish-or-explode")
def test_in_float32_a_long_chain_ends_in_zero_and_in_infinity():
    x = torch.tensor([[1.0], [-3.0]])
    assert scalar_chain(0.2, 100)(x).tolist() == [[0.0], [0.0]]
    assert scalar_chain(5.0, 100)(x).tolist() == [[math.inf], [-math.inf]]
    assert scalar_chain(1.0, 100)(x).tolist() == [[1.0], [-3.0]]


@claim("deep-products-vanish-or-explode")
@pytest.mark.parametrize("weight, end", [(0.02, 0.0), (50.0, math.inf)])
def test_float64_only_postpones_the_end(weight, end):
    hundred_layers = scalar_chain(weight, 100, torch.float64)
    after_100 = hundred_layers(torch.ones(1, 1, dtype=torch.float64))
    after_200 = hundred_layers(after_100)
    assert after_100.item() == pytest.approx(weight**100, rel=1e-9, abs=0)  # 1e-170 or 8e169, beyond float32
    assert after_200.item() == end


# ── scalar-chain-vanishes-and-explodes ──


@claim("scalar-chain-vanishes-and-explodes")
@pytest.mark.parametrize("weight, written", [(0.2, "1e-21"), (5.0, "9e+20")])
def test_thirty_layers_scale_one_by_the_thirtieth_power_of_their_weight(weight, written):
    """0.2^30 is 1.07e-21 and 5^30 is 9.31e20: rounded to one digit, the numbers of the notes."""
    out = scalar_chain(weight, 30)(torch.ones(1, 1)).item()
    assert f"{out:.0e}" == written
    assert out == pytest.approx(weight**30, rel=1e-5, abs=0)  # float32: thirty roundings of 6e-8


@claim("scalar-chain-vanishes-and-explodes")
@pytest.mark.parametrize("weight, power", [(0.2, 1 / 5**30), (5.0, 931322574615478515625)])
def test_thirty_layers_scale_any_input_alike(weight, power):
    x = torch.tensor([[1.0], [-2.0], [0.0], [70.0]])
    out = scalar_chain(weight, 30)(x)
    assert out.flatten().tolist() == pytest.approx([power, -2 * power, 0, 70 * power], rel=1e-5, abs=0)


@claim("scalar-chain-vanishes-and-explodes")
@pytest.mark.parametrize("weight", [0.2, 5.0])
def test_each_layer_contributes_one_factor(weight):
    net, x = scalar_chain(weight, 30), torch.ones(1, 1)
    outputs = [net[:depth](x).item() for depth in range(1, 31)]
    assert outputs == pytest.approx([weight**depth for depth in range(1, 31)], rel=1e-5, abs=0)


# ── deep-gradients-vanish-or-explode ──


@claim("deep-gradients-vanish-or-explode")
@pytest.mark.parametrize("weight, written", [(0.2, "5e-21"), (5.0, "2e+20")])
def test_the_first_weight_of_the_scalar_chain_gets_the_product_of_the_other_weights(weight, written):
    """The output is x * w1 * w2 * ... * w30, its derivative by w1 x times the 29 others: 5.4e-21 and 1.9e20."""
    net = scalar_chain(weight, 30)
    net(torch.ones(1, 1)).sum().backward()
    gradient = net[0].weight.grad.item()
    assert f"{gradient:.0e}" == written
    assert gradient == pytest.approx(weight**29, rel=1e-5, abs=0)


@claim("deep-gradients-vanish-or-explode")
@pytest.mark.parametrize("weight, gradient", [(0.2, 0.0), (1.0, -3.0), (5.0, -math.inf)])
def test_in_float32_the_gradient_of_a_long_chain_is_zero_or_infinite(weight, gradient):
    net = scalar_chain(weight, 100)
    net(torch.tensor([[-3.0]])).sum().backward()
    assert net[0].weight.grad.item() == gradient


@claim("deep-gradients-vanish-or-explode")
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_backpropagation_multiplies_the_gradient_by_the_scale_of_each_layer(scale):
    c, s = math.cos(0.7), math.sin(0.7)
    layer = scale * torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    x = torch.tensor([[3.0, 4.0]], dtype=torch.float64, requires_grad=True)
    h = x
    for _ in range(50):
        h = h @ layer
    h.backward(torch.tensor([[5.0, 12.0]], dtype=torch.float64))
    assert x.grad.square().sum().sqrt().item() == pytest.approx(13 * scale**50, rel=1e-9, abs=0)


@claim("deep-gradients-vanish-or-explode")
def test_in_a_sigmoid_network_the_first_layers_gradient_vanishes_with_depth():
    """Each sigmoid multiplies by at most 1/4. The logarithms (base 10) of the norms are near -0.8, -4.2, -8.5 and
    -17.1, with standard deviations of 0.05, 0.11, 0.16 and 0.24."""
    norms = []
    for depth in (1, 5, 10, 20):
        layers = [part for _ in range(depth) for part in (nn.Linear(32, 32), nn.Sigmoid())]
        net = nn.Sequential(*layers, nn.Linear(32, 1)).double()
        net(torch.randn(16, 32, dtype=torch.float64)).mean().backward()
        norms.append(net[0].weight.grad.square().sum().sqrt().item())
        assert net[-1].weight.grad.square().sum().sqrt().item() > 1  # the last layer's stays as it is
    assert norms[1] < norms[0] / 100
    assert norms[2] < norms[1] / 100
    assert norms[3] < norms[2] / 10_000


@claim("deep-gradients-vanish-or-explode")
@given(depth=st.integers(1, 30), x=st.floats(-5, 5))
@example(depth=3, x=5.0)  # where the slope is least, 0.0066
def test_a_chain_of_sigmoids_passes_back_at_most_a_quarter_per_layer(depth, x):
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    h, slope = leaf, 1.0
    for _ in range(depth):
        h = torch.sigmoid(h)
        slope *= h.item() * (1 - h.item())
    h.backward()
    assert leaf.grad.item() == pytest.approx(slope, rel=1e-9, abs=0)
    assert leaf.grad.item() <= 0.25**depth
