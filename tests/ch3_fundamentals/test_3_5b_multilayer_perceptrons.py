"""3.5 Multilayer perceptrons: hidden layers

A *multilayer perceptron* puts one or more fully connected *hidden* layers between input and output, and an activation
after each of them; the output layer has none, so that its scores can be any real numbers. How many hidden layers
there are (the depth) and how many units each has (the width) is not learned. Both are *hyperparameters*: chosen before
training, which then changes the values of the parameters but never their number.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from harness.measured import curve
from torch import nn
from torch.nn import functional as F

claim = pytest.mark.claim

WIDTHS = [(3, 1, 2), (3, 4, 2), (3, 5, 7, 2), (3, 8, 8, 8, 2)]


def perceptron(*widths):
    """Layers of the given widths, from the input to the output, with tanh after each hidden one."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


# ── mlp-applies-activation-per-hidden-layer ──


@claim("mlp-applies-activation-per-hidden-layer")
def test_the_activation_transforms_the_hidden_layer_before_the_output_layer_sees_it():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 2.0], [3.0, -4.0], [-1.0, 0.0]]))
        net[0].bias.copy_(torch.tensor([0.0, 1.0, 0.5]))
        net[2].weight.copy_(torch.tensor([[2.0, -1.0, 100.0]]))
        net[2].bias.copy_(torch.tensor([-3.0]))
    # (1, 1) gives the hidden values 3, 0 and -0.5, of which ReLU leaves 3, 0 and 0;
    # (2, -1) gives 0, 11 and -1.5, of which it leaves 0, 11 and 0.
    assert net(torch.tensor([[1.0, 1.0], [2.0, -1.0]])).tolist() == [[2 * 3 - 3], [-11 - 3]]


@claim("mlp-applies-activation-per-hidden-layer")
def test_every_hidden_layer_is_followed_by_the_activation():
    net, inputs = perceptron(4, 6, 5, 3), torch.randn(7, 4, dtype=torch.float64)
    (w1, b1), (w2, b2), (w3, b3) = [
        (np.array(layer.weight.tolist()), np.array(layer.bias.tolist()))
        for layer in net
        if isinstance(layer, nn.Linear)
    ]
    hidden = np.tanh(np.tanh(np.array(inputs.tolist()) @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(net(inputs), torch.tensor(hidden @ w3.T + b3))


@claim("mlp-applies-activation-per-hidden-layer")
def test_a_hidden_layer_is_fully_connected():
    """Every hidden unit depends on every feature, in the measure of their weight."""
    layer = nn.Linear(4, 3, dtype=torch.float64)  # a float32 weight is exactly 0 once in 2**24 draws
    inputs = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(layer, inputs)
    assert jacobian.tolist() == layer.weight.tolist()
    assert layer.weight.count_nonzero().item() == 12


@claim("mlp-applies-activation-per-hidden-layer")
def test_the_output_layer_has_no_activation():
    """The hidden values are at most 1 in size, and the scores still reach 5 and -7."""
    net = nn.Sequential(nn.Linear(1, 1), nn.Tanh(), nn.Linear(1, 2))
    for parameter, value in zip(net.parameters(), ([[100.0]], [0.0], [[4.0], [-6.0]], [1.0, -1.0])):
        parameter.data.copy_(torch.tensor(value))
    assert net[:2](torch.tensor([[1.0], [-1.0]])).tolist() == [[1.0], [-1.0]]
    assert net(torch.tensor([[1.0], [-1.0]])).tolist() == [[5.0, -7.0], [-3.0, 5.0]]


# ── depth-and-width-are-hyperparameters ──


@claim("depth-and-width-are-hyperparameters")
@pytest.mark.parametrize(("widths", "expected"), list(zip(WIDTHS, [4 + 4, 16 + 10, 20 + 42 + 16, 32 + 72 + 72 + 18])))
def test_widths_and_depth_fix_the_number_of_parameters(widths, expected):
    """Each unit has one weight per unit of the layer before it, and a bias."""
    assert sum(parameter.numel() for parameter in perceptron(*widths).parameters()) == expected


@claim("depth-and-width-are-hyperparameters")
@pytest.mark.parametrize("widths", WIDTHS)
def test_any_choice_gives_a_network_that_can_be_trained(widths, record_property):
    inputs = torch.randn(20, 3, dtype=torch.float64)
    labels = (inputs[:, 0] > 0).long()
    net = perceptron(*widths)
    losses = []
    for _ in range(30):
        loss = F.cross_entropy(net(inputs), labels)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, list(net.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(net.parameters(), gradients):
                parameter -= 0.1 * gradient
    record_property("curve", curve("step", "loss", training=losses))
    assert all(gradient.count_nonzero().item() > 0 for gradient in gradients) is True
    assert all(later < earlier for earlier, later in pairwise(losses)) is True


@claim("depth-and-width-are-hyperparameters")
def test_training_changes_the_parameters_values_but_not_their_shapes():
    net, inputs = perceptron(3, 5, 7, 2), torch.randn(10, 3, dtype=torch.float64)
    before = {name: parameter.tolist() for name, parameter in net.named_parameters()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    F.cross_entropy(net(inputs), torch.tensor([0, 1] * 5)).backward()
    optimizer.step()
    after = {name: parameter.tolist() for name, parameter in net.named_parameters()}
    assert [tuple(p.shape) for p in net.parameters()] == [(5, 3), (5,), (7, 5), (7,), (2, 7), (2,)]
    assert [name for name in before if before[name] == after[name]] == []


@claim("depth-and-width-are-hyperparameters")
def test_parameters_of_one_choice_do_not_fit_another():
    with pytest.raises(RuntimeError, match=r"size mismatch for 0\.weight"):
        perceptron(3, 4, 2).load_state_dict(perceptron(3, 5, 2).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict"):
        perceptron(3, 4, 4, 2).load_state_dict(perceptron(3, 4, 2).state_dict())
