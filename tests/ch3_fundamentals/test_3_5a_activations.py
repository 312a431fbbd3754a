"""3.5 Multilayer perceptrons: why layers need activations

A fully connected layer is an affine map, $x \\mapsto Wx + b$, and affine maps composed are again one affine map:
stacking such layers alone gains nothing. An *activation function* between them, non-linear and applied to each
element on its own, prevents the collapse. The three classics are ReLU, which cuts negative values off; the sigmoid,
which squeezes the real line into (0, 1); and tanh, which squeezes it into (-1, 1).
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

CORNERS = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
EXCLUSIVE_OR = [[0.0], [1.0], [1.0], [0.0]]


def linear(weight, bias):
    """A fully connected layer with the given parameters."""
    layer = nn.Linear(len(weight[0]), len(weight))
    layer.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
    return layer


# ── stacked-linear-layers-collapse ──


@claim("stacked-linear-layers-collapse")
def test_two_affine_maps_make_one():
    """3 (2x + 1) + 4 = 6x + 7."""
    net = nn.Sequential(linear([[2.0]], [1.0]), linear([[3.0]], [4.0]))
    assert net(torch.tensor([[0.0], [1.0], [-5.0]])).tolist() == [[7.0], [13.0], [-23.0]]


@claim("stacked-linear-layers-collapse")
@given(st.lists(st.integers(1, 5), min_size=2, max_size=7))
@example([2, 3, 4, 5, 4, 3, 2])
def test_layers_of_any_number_and_width_equal_a_single_one(widths):
    net = nn.Sequential(*[nn.Linear(*sizes) for sizes in pairwise(widths)]).double()
    weight, bias = np.eye(widths[0]), np.zeros(widths[0])
    for layer in net:
        weight = np.array(layer.weight.tolist()) @ weight
        bias = np.array(layer.weight.tolist()) @ bias + np.array(layer.bias.tolist())
    inputs = torch.randn(4, widths[0], dtype=torch.float64)
    torch.testing.assert_close(net(inputs), torch.tensor(np.array(inputs.tolist()) @ weight.T + bias))


@claim("stacked-linear-layers-collapse")
def test_a_narrow_hidden_layer_even_restricts_the_single_layer():
    """Through one hidden unit only a weight of rank one can pass, whatever the 3x4 layer could have been."""
    net = nn.Sequential(nn.Linear(4, 1), nn.Linear(1, 3)).double()
    inputs = torch.cat([torch.eye(4, dtype=torch.float64), torch.zeros(1, 4, dtype=torch.float64)])
    outputs = np.array(net(inputs).tolist())
    assert np.linalg.matrix_rank(outputs[:4] - outputs[4], tol=1e-9) == 1  # roundings are 1e-16


# ── nonlinearity-breaks-the-collapse ──


@claim("nonlinearity-breaks-the-collapse")
def test_two_rectified_units_compute_the_absolute_value():
    """No affine f is the absolute value: it would satisfy f(2) + f(-2) = 2 f(0)."""
    net = nn.Sequential(linear([[1.0], [-1.0]], [0.0, 0.0]), nn.ReLU(), linear([[1.0, 1.0]], [0.0]))
    assert net(torch.tensor([[2.0], [-2.0], [0.0], [-0.5]])).tolist() == [[2.0], [2.0], [0.0], [0.5]]


@claim("nonlinearity-breaks-the-collapse")
def test_two_rectified_units_compute_exclusive_or():
    hidden, output = linear([[1.0, 1.0], [1.0, 1.0]], [0.0, -1.0]), linear([[1.0, -2.0]], [0.0])
    with_activation = nn.Sequential(hidden, nn.ReLU(), output)
    without_activation = nn.Sequential(hidden, output)
    assert with_activation(torch.tensor(CORNERS)).tolist() == EXCLUSIVE_OR
    assert without_activation(torch.tensor(CORNERS)).tolist() == [[2.0], [1.0], [1.0], [0.0]]


@claim("nonlinearity-breaks-the-collapse")
def test_no_single_layer_computes_exclusive_or():
    """The affine map closest to it answers one half everywhere."""
    best, *_ = np.linalg.lstsq(np.c_[CORNERS, np.ones(4)], np.array(EXCLUSIVE_OR), rcond=None)
    assert best.ravel().tolist() == pytest.approx([0, 0, 0.5], abs=1e-12)


@claim("nonlinearity-breaks-the-collapse")
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Sigmoid(), nn.Tanh()], ids=["ReLU", "Sigmoid", "Tanh"])
def test_with_an_activation_no_affine_map_reproduces_the_network(activation):
    inputs = 10 * torch.randn(100, 3, dtype=torch.float64)
    net = nn.Sequential(nn.Linear(3, 16), activation, nn.Linear(16, 1)).double()
    outputs = np.array(net(inputs).tolist())
    columns = np.c_[np.array(inputs.tolist()), np.ones(100)]
    best, *_ = np.linalg.lstsq(columns, outputs, rcond=None)
    # What the best affine map leaves unexplained: a fiftieth or more over 2000 seeds, where the same network without an
    # activation leaves about 1e-30.
    assert np.square(outputs - columns @ best).sum() > 1e-4 * np.square(outputs - outputs.mean()).sum()


@claim("nonlinearity-breaks-the-collapse")
@pytest.mark.parametrize(
    ("activation", "scalar"),
    [(nn.ReLU(), lambda x: max(0, x)), (nn.Sigmoid(), lambda x: 1 / (1 + math.exp(-x))), (nn.Tanh(), math.tanh)],
    ids=["ReLU", "Sigmoid", "Tanh"],
)
def test_an_activation_works_element_by_element(activation, scalar):
    """Each output depends on the one input in its place, unlike softmax's."""
    inputs = [[-2.0, 0.5, 3.0], [1.0, -0.25, 0.0]]
    expected = torch.tensor([[scalar(x) for x in row] for row in inputs], dtype=torch.float64)
    torch.testing.assert_close(activation(torch.tensor(inputs, dtype=torch.float64)), expected)


# ── relu-formula ──


@claim("relu-formula")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_relu_keeps_the_positive_and_zeroes_the_negative(dtype):
    inputs = torch.tensor([[-3, -1, 0], [1, 2, 100]], dtype=dtype)
    expected = torch.tensor([[0, 0, 0], [1, 2, 100]], dtype=dtype)
    torch.testing.assert_close(torch.relu(inputs), expected, rtol=0, atol=0)
    torch.testing.assert_close(nn.ReLU()(inputs), expected, rtol=0, atol=0)
    assert inputs.tolist() == [[-3, -1, 0], [1, 2, 100]]


@claim("relu-formula")
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=40))
@example([-1.0] * 33)  # longer than the blocks in which a CPU computes, and than most lists that are drawn
def test_relu_is_the_larger_of_zero_and_x(values):
    outputs = F.relu(torch.tensor(values, dtype=torch.float64))
    assert outputs.tolist() == [max(0.0, x) for x in values]


@claim("relu-formula")
def test_relu_does_not_hide_a_nan():
    outputs = torch.relu(torch.tensor([math.nan, -math.inf, math.inf]))
    assert outputs.isnan().tolist() == [True, False, False]
    assert outputs[1:].tolist() == [0.0, math.inf]


@claim("relu-formula")
def test_relu_has_slope_zero_on_the_left_and_one_on_the_right():
    """At zero, where there is no derivative, PyTorch uses 0."""
    inputs = torch.tensor([-2.0, -1e-6, 0.0, 1e-6, 5.0], requires_grad=True)
    torch.relu(inputs).sum().backward()
    assert inputs.grad.tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]


# ── sigmoid-formula ──


@claim("sigmoid-formula")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_sigmoid_of_log_odds_is_the_probability(dtype):
    """exp(-log 3) = 1/3, and 1 / (1 + 1/3) = 3/4."""
    log_odds = torch.tensor([0.0, math.log(3), -math.log(3), math.log(99)], dtype=dtype)
    expected = torch.tensor([1 / 2, 3 / 4, 1 / 4, 99 / 100], dtype=dtype)
    torch.testing.assert_close(torch.sigmoid(log_odds), expected)
    torch.testing.assert_close(nn.Sigmoid()(log_odds), expected)


@claim("sigmoid-formula")
@given(st.lists(st.floats(-700, 700), min_size=1, max_size=20))
def test_the_sigmoid_follows_the_formula_to_double_precision(values):
    outputs = torch.sigmoid(torch.tensor(values, dtype=torch.float64)).tolist()
    # A relative tolerance of a few thousand roundings; none absolute, so that the left tail counts as well.
    assert outputs == pytest.approx([1 / (1 + math.exp(-x)) for x in values], rel=1e-12, abs=0)


@claim("sigmoid-formula")
def test_the_sigmoid_s_slope_is_s_times_one_minus_s():
    inputs = torch.tensor([0.0, math.log(3), -math.log(9)], dtype=torch.float64, requires_grad=True)
    torch.sigmoid(inputs).sum().backward()
    expected = torch.tensor([1 / 2 * 1 / 2, 3 / 4 * 1 / 4, 1 / 10 * 9 / 10], dtype=torch.float64)
    torch.testing.assert_close(inputs.grad, expected)


@claim("sigmoid-formula")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_out_the_formula_s_gradient_is_nan_and_torch_s_is_zero(dtype):
    """The values agree; but exp(1000) is infinite, and its derivative meets the factor 1 / infinity ** 2 = 0."""
    x = torch.tensor(-1000.0, dtype=dtype, requires_grad=True)
    by_formula, by_torch = 1 / (1 + torch.exp(-x)), torch.sigmoid(x)
    assert [by_formula.item(), by_torch.item()] == [0.0, 0.0]
    assert math.isnan(torch.autograd.grad(by_formula, x)[0].item()) is True
    assert torch.autograd.grad(by_torch, x)[0].item() == 0.0


# ── tanh-formula ──


@claim("tanh-formula")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tanh_of_known_logarithms(dtype):
    """exp(-2 log 2) = 1/4, and (1 - 1/4) / (1 + 1/4) = 3/5; likewise (1 - 9) / (1 + 9) = -4/5."""
    inputs = torch.tensor([0.0, math.log(2), -math.log(3)], dtype=dtype)
    expected = torch.tensor([0, 3 / 5, -4 / 5], dtype=dtype)
    torch.testing.assert_close(torch.tanh(inputs), expected)
    torch.testing.assert_close(nn.Tanh()(inputs), expected)


@claim("tanh-formula")
@given(st.lists(st.floats(-300, 300), min_size=1, max_size=20))
def test_tanh_follows_the_formula_where_it_does_not_overflow(values):
    outputs = torch.tanh(torch.tensor(values, dtype=torch.float64)).tolist()
    expected = [(1 - math.exp(-2 * x)) / (1 + math.exp(-2 * x)) for x in values]
    # Close to zero the formula subtracts two numbers near 1, so its error is absolute: a few roundings of 1e-16.
    assert outputs == pytest.approx(expected, rel=0, abs=1e-15)


@claim("tanh-formula")
def test_tanh_s_slope_is_one_minus_its_square():
    inputs = torch.tensor([0.0, math.log(2), -math.log(3)], dtype=torch.float64, requires_grad=True)
    torch.tanh(inputs).sum().backward()
    expected = torch.tensor([1, 1 - 9 / 25, 1 - 16 / 25], dtype=torch.float64)
    torch.testing.assert_close(inputs.grad, expected)


@claim("tanh-formula", truth=True)
@pytest.mark.parametrize(("dtype", "far"), [(torch.float32, 50.0), (torch.float64, 400.0)])
def test_for_large_negative_x_the_formula_overflows_and_tanh_does_not(dtype, far):
    x = torch.tensor([-far, far], dtype=dtype)
    by_formula = (1 - torch.exp(-2 * x)) / (1 + torch.exp(-2 * x))
    assert by_formula.isnan().tolist() == [True, False]
    assert by_formula[1].item() == 1.0
    assert torch.tanh(x).tolist() == [-1.0, 1.0]


@claim("tanh-formula", truth=True)
def test_far_out_tanh_saturates_with_a_finite_gradient():
    x = torch.tensor([-1000.0, 1000.0], requires_grad=True)
    torch.tanh(x).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]


@claim("tanh-formula", truth=True)
@given(st.floats(1e-300, 1e300))
def test_tanh_is_odd_and_accurate_at_every_scale(x):
    plus, minus = torch.tanh(torch.tensor([x, -x], dtype=torch.float64)).tolist()
    assert plus == pytest.approx(math.tanh(x), rel=1e-12, abs=0)  # a few thousand roundings of float64
    assert minus == -plus
