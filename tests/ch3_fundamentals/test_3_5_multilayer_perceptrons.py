"""3.5 Multilayer perceptrons and activations

A fully connected layer is an affine map, $x \\mapsto Wx + b$, and affine maps composed are again one affine map:
stacking such layers gains nothing. An *activation function* between them, bent and applied to each element on its own,
prevents the collapse. Three are classics: ReLU cuts off what is negative, the sigmoid squeezes the real line into
(0, 1), tanh into (-1, 1). Fully connected layers with an activation after each hidden one make a *multilayer
perceptron*. How many layers it has and how wide they are is chosen before training, which changes the values of the
parameters but never their number.
"""

import math

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("stacked-linear-layers-collapse")
def test_two_affine_maps_make_one():
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))
    for parameter, value in zip(net.parameters(), [2.0, 1.0, 3.0, 4.0]):
        nn.init.constant_(parameter, value)

    assert net(torch.tensor([[0.0], [1.0], [-5.0]])).tolist() == [[7], [13], [-23]]  # 3 (2x + 1) + 4 = 6x + 7


@claim("nonlinearity-breaks-the-collapse")
def test_two_bent_units_compute_exclusive_or_and_no_affine_map_can():
    hidden, output = nn.Linear(2, 2), nn.Linear(2, 1)
    hidden.load_state_dict({"weight": torch.ones(2, 2), "bias": torch.tensor([0.0, -1.0])})
    output.load_state_dict({"weight": torch.tensor([[1.0, -2.0]]), "bias": torch.zeros(1)})
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])

    bent = nn.Sequential(hidden, nn.ReLU(), output)(corners).view(-1).tolist()
    affine = nn.Sequential(hidden, output)(corners).view(-1).tolist()

    assert bent == [0, 1, 1, 0]
    assert affine == [2, 1, 1, 0]
    assert affine[0] + affine[3] == affine[1] + affine[2]  # true of every affine map, and false of exclusive or


@claim("nonlinearity-breaks-the-collapse", truth=True)
def test_two_bends_can_cancel():
    x = torch.tensor([-3.0, -0.5, 0.0, 2.0])

    assert (torch.relu(x) - torch.relu(-x)).tolist() == [-3, -0.5, 0, 2]


@claim("relu-formula")
def test_relu_keeps_the_positive_and_zeroes_the_negative():
    x = torch.tensor([-3.0, -0.5, 0.0, 0.5, 100.0])

    assert torch.relu(x).tolist() == [0, 0, 0, 0.5, 100]
    assert nn.ReLU()(x).tolist() == [0, 0, 0, 0.5, 100]


@claim("sigmoid-formula")
def test_the_sigmoid_of_log_odds_is_the_probability():
    log_odds = torch.tensor([0.0, math.log(3), -math.log(3), math.log(99)])  # 1 / (1 + exp(-log 3)) = 3/4

    assert torch.sigmoid(log_odds).tolist() == pytest.approx([1 / 2, 3 / 4, 1 / 4, 99 / 100])


@claim("sigmoid-formula", truth=True)
def test_where_the_exponential_overflows_the_formula_has_no_derivative():
    x = torch.tensor(-100.0, requires_grad=True)
    formula = 1 / (1 + torch.exp(-x))  # exp(100) is infinite in float32

    assert formula.item() == 0
    assert math.isnan(torch.autograd.grad(formula, x)[0].item())
    assert torch.autograd.grad(torch.sigmoid(x), x)[0].item() == pytest.approx(0, abs=1e-40)


@claim("tanh-formula")
def test_tanh_of_known_logarithms():
    x = torch.tensor([0.0, math.log(2), -math.log(3)])  # exp(-2 log 2) = 1/4, and (1 - 1/4) / (1 + 1/4) = 3/5

    assert torch.tanh(x).tolist() == pytest.approx([0, 3 / 5, (1 - 9) / (1 + 9)])


@claim("tanh-formula", truth=True)
def test_infinity_by_infinity_where_torch_gives_minus_one_and_zero_where_it_gives_a_tiny_number():
    x = torch.tensor([-50.0, 50.0, 1 / 10**8])

    formula = (1 - torch.exp(-2 * x)) / (1 + torch.exp(-2 * x))  # exp(100) is infinite, exp(-2e-8) is 1 in float32

    assert [str(number) for number in formula.tolist()] == ["nan", "1.0", "0.0"]
    assert torch.tanh(x).tolist() == pytest.approx([-1, 1, 1 / 10**8])


@claim("mlp-applies-activation-per-hidden-layer")
def test_the_hidden_values_are_bent_before_the_output_layer_sees_them():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    net[0].load_state_dict(
        {"weight": torch.tensor([[1.0, 2.0], [3.0, -4.0], [-1.0, 0.0]]), "bias": torch.tensor([0.0, 1.0, 0.5])}
    )
    net[2].load_state_dict({"weight": torch.tensor([[2.0, -1.0, 100.0]]), "bias": torch.tensor([-3.0])})
    x = torch.tensor([[1.0, 1.0], [2.0, -1.0]])

    assert net[0](x).tolist() == [[3, 0, -0.5], [0, 11, -1.5]]
    assert net[:2](x).tolist() == [[3, 0, 0], [0, 11, 0]]
    assert net(x).tolist() == [[2 * 3 - 3], [-11 - 3]]  # the output is not bent: it may be negative


@claim("depth-and-width-are-hyperparameters")
def test_depth_and_width_fix_the_shapes_and_training_changes_the_values_alone():
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))
    shapes = [(5, 3), (5,), (7, 5), (7,), (2, 7), (2,)]  # 20 + 42 + 16 numbers
    before = [parameter.tolist() for parameter in net.parameters()]

    net(torch.ones(1, 3)).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.5).step()

    assert [tuple(parameter.shape) for parameter in net.parameters()] == shapes
    assert all(parameter.tolist() != old for parameter, old in zip(net.parameters(), before))
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.weight"):
        nn.Sequential(nn.Linear(3, 4)).load_state_dict({"0.weight": torch.ones(5, 3), "0.bias": torch.ones(5)})
