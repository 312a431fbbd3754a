"""3.8 Numerical stability, for chains of many depths, widths and scales."""

import itertools
import math

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, SINGLE_AND_DOUBLE, agree, among, over, whole
from populations.comparing import host
from populations.layers import COMPUTED, passes, sigmoid
from torch import nn

claim = pytest.mark.claim

DTYPES = among(*SINGLE_AND_DOUBLE)


def chain(weight, layers, dtype):
    """``layers`` layers of one unit each, all with the same weight."""
    net = nn.Sequential(*(nn.Linear(1, 1, bias=False, dtype=dtype) for _ in range(layers)))
    for layer in net:
        nn.init.constant_(layer.weight, weight)
    return net


@claim("identity-network-is-a-matrix-product")
@over(
    EVERY_MODE,
    widths=among((2, 2, 2), (3, 3, 3, 3), (2, 3, 2, 4), (4, 5, 6, 7, 6, 5, 4), (33, 35, 9), (784, 17, 10), (2,) * 10),
    dtype=DTYPES,
)
def test_the_output_of_every_layer_is_the_input_times_all_matrices_so_far_and_of_all_one_matrix(widths, dtype):
    random = np.random.default_rng(len(widths))
    weights = [random.integers(-1, 1, sizes, endpoint=True) for sizes in itertools.pairwise(widths)]
    x = random.integers(-2, 2, (3, widths[0]), endpoint=True)  # products of whole numbers are exact in float32
    x = x * {torch.float32: 1, torch.float64: 1 + 2**-30}[dtype]  # and these in float64 alone
    layers = [nn.Linear(*sizes, bias=False, dtype=dtype) for sizes in itertools.pairwise(widths)]
    net = nn.Sequential(*layers, nn.Identity())
    for layer, weight in zip(layers, weights):
        layer.weight.data.copy_(torch.tensor(weight.T.copy()))

    h = inputs = torch.tensor(x, dtype=dtype)
    product, expected = torch.tensor(np.eye(widths[0]), dtype=dtype), x
    matrices = [torch.tensor(weight, dtype=dtype) for weight in weights]
    for layer, weight, matrix in zip(layers, weights, matrices):
        h, expected, product = layer(h), expected @ weight, product @ matrix
        agree(h, expected)
        agree(inputs @ product, expected)
    agree(torch.linalg.multi_dot([inputs, *matrices]), expected)
    for outputs in passes(net, inputs):
        agree(outputs, expected)
    layers[-1].bias = nn.Parameter(torch.ones(widths[-1], dtype=dtype))  # with a bias or an activation it is another
    agree(net(inputs), expected + 1)
    agree(nn.ReLU()(net(inputs)), np.maximum(expected + 1, 0))


@claim("deep-products-vanish-or-explode", "deep-gradients-vanish-or-explode")
@over(dtype=among(*COMPUTED), power=among(-13, 0, 13))
def test_every_dtype_ends_in_zero_or_infinity_and_a_wider_one_later(dtype, power):
    layers = 100 if dtype == torch.float64 else 40
    net, h, after = chain(2.0**power, layers, dtype), torch.tensor([[1.0], [-3.0]], dtype=dtype), []
    for layer in net:
        h = layer(h)
        after.append(host(h).reshape(-1).tolist())
    h[1].sum().backward()

    # normal numbers go from 2**-14 to 2**16, in float64 from 2**-1022 to 2**1024, in the others from 2**-126 to 2**128
    exact = {torch.float16: 1, torch.float64: 78}.get(dtype, 9) if power else layers
    assert after[:exact] == [[2.0 ** (power * depth), -3 * 2.0 ** (power * depth)] for depth in range(1, exact + 1)]
    end = {-13: 0.0, 0: 1.0, 13: math.inf}[power]
    assert after[-1] == [end, -3 * end]
    assert net[0].weight.grad.item() == -3 * end


@claim("scalar-chain-vanishes-and-explodes", "deep-products-vanish-or-explode", "deep-gradients-vanish-or-explode")
@over(weight=among(0.2, 5.0, -0.2, -5.0), depth=whole(1, 50, 3), dtype=DTYPES)
def test_every_layer_contributes_one_factor_to_all_outputs_and_to_the_gradients_of_all_others(weight, depth, dtype):
    # past 256 rows where the chain is one layer: passes() calls every layer for each of them
    x = np.array([[-2.0], *[[0.0]] * (298 if depth == 1 else 2), [70.0]])
    net = chain(weight, depth, dtype)
    inputs = torch.tensor(x, dtype=dtype, requires_grad=True)
    net[1:-1].requires_grad_(False)
    net(inputs).sum().backward()

    for outputs in passes(net, inputs):
        agree(outputs, x * weight**depth, 2 * depth)  # the weight rounded, and the product: twice a layer
    agree(nn.Sequential(*[net[-1]] * depth)(inputs), x * weight**depth, 2 * depth)  # one layer again and again
    agree(inputs.grad, np.full(x.shape, weight**depth), 2 * depth)
    for layer in (net[0], net[-1]):
        agree(layer.weight.grad, [[x.sum() * weight ** (depth - 1)]], 2 * depth + 4, 72 * abs(weight) ** (depth - 1))


@claim("deep-products-vanish-or-explode", "deep-gradients-vanish-or-explode")
@over(scale=among(0.5, 1.0, 2.0, 5.0), pairs=among(1, 33), dtype=DTYPES)
def test_layers_that_rotate_and_scale_multiply_all_lengths_and_those_of_gradients_by_the_scale(scale, pairs, dtype):
    turn = scale * np.array([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]])
    layer = torch.tensor(np.kron(np.eye(pairs), turn), dtype=dtype)
    x = torch.tensor([[3.0, 4.0] * pairs], dtype=dtype, requires_grad=True)
    lengths, h, stack, layers = [], x, x.detach().expand(2, 1, -1), layer.expand(2, -1, -1)
    for depth in range(50):
        h = h @ layer
        stack = stack @ layers if depth % 2 else torch.bmm(stack, layers)
        lengths.append(np.linalg.norm(host(h).astype(np.float64).reshape(pairs, 2), axis=1))
    agree(stack, np.stack([host(h)] * 2), 4 * 50 * 2, 5 * scale**50)  # of two matrices at a time
    h.backward(torch.tensor([[5.0, 12.0] * pairs], dtype=dtype))

    # the cosine, two products and a sum a layer: 4 roundings each, of the length
    depth = np.arange(1, 51)[:, None]
    assert np.all(np.abs(lengths / (5 * scale**depth) - 1) < 4 * depth * torch.finfo(dtype).eps)
    back = np.linalg.norm(host(x.grad).astype(np.float64).reshape(pairs, 2), axis=1)
    assert np.all(np.abs(back / (13 * scale**50) - 1) < 4 * 50 * torch.finfo(dtype).eps)


@claim("deep-gradients-vanish-or-explode")
@over(depth=whole(1, 30, 3), start=among(-5.0, 0.0, 0.5, 5.0), module=among(True, False), dtype=DTYPES)
def test_a_chain_of_sigmoids_passes_back_its_slopes_at_most_a_quarter_each(depth, start, module, dtype):
    leaf = torch.tensor(start, dtype=dtype, requires_grad=True)
    h, x, slope = leaf, np.float64(start), 1.0
    for _ in range(depth):
        h, x = (nn.Sigmoid()(h) if module else torch.sigmoid(h)), sigmoid(x)
        slope *= float(x * (1 - x))
    h.backward()

    assert leaf.grad.item() == pytest.approx(slope, rel=400 * depth * torch.finfo(dtype).eps, abs=0)
    assert leaf.grad.item() <= 0.25**depth * (1 + 1e-5)
