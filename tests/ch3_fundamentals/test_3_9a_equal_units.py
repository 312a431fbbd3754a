"""3.9 Why parameters start random: equal units stay equal

Hidden units that start with the same parameters are indistinguishable: they compute the same value, and as long as the
next layer weights them alike they get the same gradient, take the same step and remain the same for ever. A layer of a
thousand such units can do no more than a layer of one.

One unit is one row of the hidden layer's weight; its outgoing weights are one column of the next layer's.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim

EQUAL, UNEQUAL = [0.7] * 5, [0.7, 0.7, -0.3, 1.1, 0.2]
ACTIVATIONS = [nn.Sigmoid, nn.Tanh, nn.ReLU]
X = [[1.0, -2.0, 0.5], [0.0, 1.5, 1.0], [2.0, 1.0, -1.0], [-1.0, 0.5, 3.0]]
Y = [[1.0], [-2.0], [0.5], [3.0]]


def network_of_equal_units(outgoing, activation=nn.Tanh):
    """Three inputs, one hidden unit for each outgoing weight, one output. float64, so that rounding stays at 1e-16."""
    units = len(outgoing)
    net = nn.Sequential(nn.Linear(3, units), activation(), nn.Linear(units, 1)).double()
    net[0].weight.data[:] = torch.tensor([0.5, -0.4, 0.3], dtype=torch.float64)
    net[0].bias.data[:] = 0.1
    net[2].weight.data[:] = torch.tensor([outgoing], dtype=torch.float64)
    net[2].bias.data[:] = -0.2
    return net


def squared_error(net):
    x, y = torch.tensor(X, dtype=torch.float64), torch.tensor(Y, dtype=torch.float64)
    return ((net(x) - y) ** 2).mean()


def train(net, optimizer_type=torch.optim.SGD, steps=20, **options):
    optimizer = optimizer_type(net.parameters(), lr=0.05, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        squared_error(net).backward()
        optimizer.step()
    return net


def spread(units):
    """How far the rows of a tensor are from its first row: 0 where all units are equal."""
    return (units - units[:1]).abs().max().item()


# ── equal-units-compute-equal-values ──


@claim("equal-units-compute-equal-values")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_units_with_equal_parameters_compute_equal_values(activation):
    hidden = network_of_equal_units(UNEQUAL, activation)[:2](torch.tensor(X, dtype=torch.float64))
    assert list(hidden.shape) == [4, 5]
    assert spread(hidden.T) < 1e-12
    assert spread(hidden) > 0.1  # different inputs, different values


@claim("equal-units-compute-equal-values")
@given(
    x=st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    w=st.lists(st.floats(-10, 10), min_size=3, max_size=3),
    units=st.integers(1, 33),
)
def test_any_number_of_equal_units_computes_the_value_of_one(x, w, units):
    hidden = nn.Linear(3, units).double()
    hidden.weight.data[:] = torch.tensor(w, dtype=torch.float64)
    nn.init.constant_(hidden.bias, 0.5)
    value = sum(a * b for a, b in zip(x, w)) + 0.5
    assert hidden(torch.tensor([x], dtype=torch.float64)).tolist()[0] == pytest.approx([value] * units, abs=1e-9)


@claim("equal-units-compute-equal-values")
def test_a_unit_with_another_parameter_computes_another_value():
    net = network_of_equal_units(EQUAL)
    net[0].bias.data[3] = 0.2
    hidden = net[:2](torch.tensor(X, dtype=torch.float64))
    assert spread(hidden.T[[0, 1, 2, 4]]) < 1e-12
    assert spread(hidden.T[[0, 3]]) > 0.01


# ── equal-units-get-equal-gradients ──


@claim("equal-units-get-equal-gradients")
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_units_with_equal_outgoing_weights_get_equal_gradients(activation):
    net = network_of_equal_units(EQUAL, activation)
    squared_error(net).backward()
    assert spread(net[0].weight.grad) < 1e-12
    assert spread(net[0].bias.grad[:, None]) < 1e-12
    assert spread(net[2].weight.grad.T) < 1e-12
    assert net[0].weight.grad.abs().min().item() > 0.01  # equal, and not because they are 0


@claim("equal-units-get-equal-gradients")
def test_the_common_gradient_is_that_of_the_chain_rule():
    """By hand: dL/dw = mean of 2 (out - y) * v * (1 - h^2) * x for tanh units with outgoing weight v = 0.7."""
    net = network_of_equal_units(EQUAL)
    squared_error(net).backward()
    x, y = np.array(X), np.array(Y)
    h = np.tanh(x @ [0.5, -0.4, 0.3] + 0.1)[:, None]
    delta = 2 * (5 * 0.7 * h - 0.2 - y) * 0.7 * (1 - h**2) / 4
    assert net[0].weight.grad[4].tolist() == pytest.approx((delta * x).sum(0))
    assert net[0].bias.grad[4].item() == pytest.approx(delta.sum())


@claim("equal-units-get-equal-gradients", truth=True)
def test_gradients_are_proportional_to_the_outgoing_weights():
    net = network_of_equal_units(UNEQUAL)
    squared_error(net).backward()
    outgoing = torch.tensor(UNEQUAL, dtype=torch.float64)[:, None]
    assert spread(net[0].weight.grad) > 0.1
    assert spread(net[0].weight.grad / outgoing) < 1e-12
    assert spread(net[0].bias.grad[:, None] / outgoing) < 1e-12


@claim("equal-units-get-equal-gradients", truth=True)
def test_with_two_outputs_the_weights_to_both_must_be_equal():
    hidden = nn.Linear(3, 2).double()
    nn.init.constant_(hidden.weight, 0.3)
    nn.init.constant_(hidden.bias, 0.1)
    outgoing = torch.tensor([[0.7, 0.7], [0.2, 0.9]], dtype=torch.float64)
    out = torch.tanh(hidden(torch.tensor(X, dtype=torch.float64))) @ outgoing.T
    (of_first,) = torch.autograd.grad((out[:, 0] ** 2).mean(), hidden.weight, retain_graph=True)
    (of_second,) = torch.autograd.grad((out[:, 1] ** 2).mean(), hidden.weight)
    assert spread(of_first) < 1e-12
    assert spread(of_second) > 0.01


# ── equal-units-stay-equal ──

OPTIMIZERS = [
    pytest.param(torch.optim.SGD, {}, id="SGD"),
    pytest.param(torch.optim.SGD, {"momentum": 0.5}, id="SGD with momentum"),
    pytest.param(torch.optim.Adam, {}, id="Adam"),
]


@claim("equal-units-stay-equal")
@pytest.mark.parametrize("optimizer_type, options", OPTIMIZERS)
def test_twenty_steps_leave_equal_units_equal(optimizer_type, options):
    """Equal within rounding: sums over the batch may round differently from one unit to the next."""
    net = train(network_of_equal_units(EQUAL), optimizer_type, **options)
    assert spread(net[0].weight) < 1e-9
    assert spread(net[0].bias[:, None]) < 1e-9
    assert spread(net[2].weight.T) < 1e-9
    start = torch.tensor([0.5, -0.4, 0.3], dtype=torch.float64)
    assert (net[0].weight - start).abs().max().item() > 0.1  # they moved, and moved together


@claim("equal-units-stay-equal", truth=True)
@pytest.mark.parametrize("optimizer_type, options", OPTIMIZERS)
def test_units_with_unequal_outgoing_weights_drift_apart(optimizer_type, options):
    net = train(network_of_equal_units(UNEQUAL), optimizer_type, **options)
    assert spread(net[0].weight) > 0.1
    assert spread(net[0].weight[:2]) < 1e-9  # the first two have equal outgoing weights, and stay equal


@claim("equal-units-stay-equal", truth=True)
def test_one_step_parts_units_with_unequal_outgoing_weights():
    net = train(network_of_equal_units(UNEQUAL), steps=1)
    assert spread(net[0].weight) > 0.01


# ── equal-units-act-as-one ──


def network_of_the_first_unit(net):
    """One hidden unit, the first of `net`, with the sum of all outgoing weights as its own."""
    single = nn.Sequential(nn.Linear(3, 1), nn.Tanh(), nn.Linear(1, 1)).double()
    single[0].weight.data.copy_(net[0].weight[:1])
    single[0].bias.data.copy_(net[0].bias[:1])
    single[2].weight.data.copy_(net[2].weight.sum(1, keepdim=True))
    single[2].bias.data.copy_(net[2].bias)
    return single


@claim("equal-units-act-as-one")
@pytest.mark.parametrize("units", [2, 5, 40])
@pytest.mark.parametrize("steps", [0, 20])
def test_equal_units_can_be_replaced_by_one_with_the_outgoing_weights_summed(units, steps):
    net = train(network_of_equal_units([0.35 / units] * units), steps=steps)  # the sum is the same for any number
    x = torch.randn(50, 3, dtype=torch.float64)
    torch.testing.assert_close(network_of_the_first_unit(net)(x), net(x), rtol=0, atol=1e-9)
    assert np.linalg.matrix_rank(net[:2](x).detach().cpu().numpy(), tol=1e-6) == 1


@claim("equal-units-act-as-one", truth=True)
def test_units_with_unequal_outgoing_weights_are_more_than_one_once_trained():
    net = train(network_of_equal_units(UNEQUAL))
    x = torch.randn(50, 3, dtype=torch.float64)
    assert (network_of_the_first_unit(net)(x) - net(x)).abs().max().item() > 0.01
    assert np.linalg.matrix_rank(net[:2](x).detach().cpu().numpy(), tol=1e-6) > 1
