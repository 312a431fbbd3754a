"""3.9 Why parameters start random, for many widths, activations and optimizers."""

import functools

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, agree, among, over
from populations.comparing import host
from populations.layers import ACTIVATIONS, passes, tanh
from torch import nn

claim = pytest.mark.claim

NAMES = among(*ACTIVATIONS)
UNITS = among(2, 5, 9, 17, 33, 40, 257)
OPTIMIZERS = among(
    *(("SGD", {"lr": 0.05}), ("SGD", {"lr": 0.05, "momentum": 0.5}), ("Adam", {"lr": 0.05}), ("AdamW", {"lr": 0.05})),
    *(("RMSprop", {"lr": 0.01}), ("Adagrad", {"lr": 0.05}), ("Adam", {"lr": 0.05, "amsgrad": True, "foreach": True})),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.5}),
    ("SGD", {"lr": 0.05, "momentum": 0.5, "nesterov": True, "weight_decay": 0.01, "foreach": True}),
)
X = np.array([[1.0, -2.0, 0.5], [0.0, 1.5, 1.0], [2.0, 1.0, -1.0], [-1.0, 0.5, 3.0]])
Y = np.array([[1.0], [-2.0], [0.5], [3.0]])
W, B = np.array([0.5, -0.25, 0.375]), 0.1  # of each unit; no binary fraction


def outgoing(units, unequal):
    """Of sum 0.75, all alike; or the third, fourth, ... drifting away from the first two."""
    weights = np.full(units, 0.75 / units)
    return weights * np.r_[1, 1, 2 + np.arange(units - 2) / units] if unequal else weights


def network(weights, activation=nn.Tanh, dtype=torch.float32):
    """Three inputs, one unit for each outgoing weight, one output."""
    units = len(weights)
    net = nn.Sequential(nn.Linear(3, units, dtype=dtype), activation(), nn.Linear(units, 1, dtype=dtype))
    values = np.tile(W, (units, 1)), np.full(units, B), weights[None], np.array([-0.25])
    for parameter, value in zip(net.parameters(), values):
        parameter.data.copy_(torch.tensor(value, dtype=parameter.dtype))
    return net


def loss(net, times=1, before=(-1,), at_once=1000):
    """Of so many copies of the samples, with dimensions ``before`` their features, at most so many in a pass."""
    x, y = (torch.tensor(np.tile(array, (times, 1)), dtype=net[0].weight.dtype) for array in (X, Y))
    x, y = x.view(*before, 3), y.view(*before, 1)
    return (torch.cat([net(part) for part in x.split(at_once)]) - y).square().mean()


def trained(net, recipe, steps):
    """The network after so many steps; after the third another optimizer goes on with the state of the first."""
    name, options = recipe
    optimizer = getattr(torch.optim, name)(net.parameters(), **options)
    for step in range(steps):
        if step == 3:
            state = optimizer.state_dict()
            optimizer = getattr(torch.optim, name)(net.parameters(), **options)
            optimizer.load_state_dict(state)
        optimizer.zero_grad()
        loss(net).backward()
        optimizer.step()
    return net


def spread(units):
    """How far the rows of an array are from its first row."""
    return np.abs(units - units[:1]).max()


@claim("equal-units-compute-equal-values")
@over(units=UNITS, name=NAMES, other=among(0, -1), dtype=among(*SINGLE_AND_DOUBLE, torch.bfloat16))
def test_every_unit_computes_the_value_of_its_own_weights_whatever_their_number(units, name, other, dtype):
    module, formula, _ = ACTIVATIONS[name]
    hidden, x = network(outgoing(units, unequal=True), module, dtype)[:2], torch.tensor(X, dtype=dtype)
    expected = np.tile(formula(X @ W + B)[:, None], units)
    for outputs in passes(hidden, x):
        agree(outputs, expected, 12, 4)

    hidden[0].bias.data[other] = 1.0  # and a unit that differs another one
    expected[:, other] = formula(X @ W + 1)
    agree(hidden(x), expected, 12, 4)
    hidden[0].weight = nn.Parameter(hidden[0].weight.detach().t().contiguous().t())
    hidden[0].bias = None
    nn.init.constant_(hidden[0].weight, 0.5)
    agree(hidden(x), np.tile(formula(X.sum(1) / 2)[:, None], units), 12, 4)


@claim("equal-units-compute-equal-values")
@over(units=UNITS, kind=among("RNN", "GRU", "LSTM"), dtype=among(*SINGLE_AND_DOUBLE))
def test_the_units_of_a_recurrent_layer_put_out_the_same_if_all_parameters_are(units, kind, dtype):
    layer = getattr(nn, kind)(3, units, dtype=dtype)
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 0.5 / units)

    outputs, _ = layer(torch.tensor(X, dtype=dtype).repeat(3, 1)[:, None])  # it remembers what came before
    agree(outputs, np.repeat(host(outputs[..., :1]), units, -1), 12, 4)


@claim("equal-units-get-equal-gradients")
@claim("equal-units-get-equal-gradients", truth=True)
@over(units=UNITS, name=NAMES, unequal=among(False, True), dtype=among(*SINGLE_AND_DOUBLE))
def test_the_gradient_of_each_unit_is_its_outgoing_weight_times_a_common_factor(units, name, unequal, dtype):
    weights = outgoing(units, unequal)
    module, formula, slope = ACTIVATIONS[name]
    net = network(weights, module, dtype)

    h = formula(X @ W + B)[:, None]
    error = 2 * (h * weights.sum() - 0.25 - Y) / 4
    roundings, scale = 40 + units + 260, 8 * np.abs(weights).sum()
    common = error * slope(h)
    own = weights[:, None] * (common * X).sum(0), weights * common.sum(), np.tile((error * h).sum(0), units)[None]
    parameters = net[0].weight, net[0].bias, net[2].weight

    def compare(gradients, times):
        for gradient, expected, most in zip(gradients, own, (weights.max(), weights.max(), 1)):
            agree(gradient, times * expected, roundings, times * scale * most)

    compare(torch.autograd.grad(loss(net, 65), parameters), 1)  # of 260 samples
    for before in ((5, 13, 4), (13, 20)):
        compare(torch.autograd.grad(loss(net, 65, before), parameters), 1)
    for at_once, times in ((131, 65), (1, 1)):
        compare(torch.autograd.grad(loss(net, times, at_once=at_once), parameters), 1)
    alone = sum((net(x) - y).square().sum() for x, y in zip(*(torch.tensor(each, dtype=dtype) for each in (X, Y)))) / 4
    compare(torch.autograd.grad(alone, parameters), 1)
    loss(net).backward()
    loss(net).backward()  # adds its gradients to those of the first
    compare([parameter.grad for parameter in parameters], 2)
    net[2].requires_grad_(False)
    compare(torch.autograd.grad(loss(net), parameters[:2]), 1)


@claim("equal-units-stay-equal")
@claim("equal-units-act-as-one")
@claim("random-init-breaks-symmetry")
@over(units=among(2, 41), optimizer=OPTIMIZERS)
def test_a_few_steps_leave_units_equal_and_the_network_equal_to_one_unit_with_the_weights_summed(units, optimizer):
    net = trained(network(outgoing(units, False)), optimizer, 16)
    weight, bias, out, last = (host(parameter).astype(np.float64) for parameter in net.parameters())

    moved = np.abs(weight - W).max()
    assert moved > 0.01
    for rows in (weight, bias[:, None], out.T):  # roundings are 1e-7, and 16 steps do not make a hundred of one
        assert spread(rows) < 1e-3 * moved
    x = np.linspace(-2, 2, 9).reshape(3, 3)
    one = tanh(x @ weight[0] + bias[0])[:, None] * out.sum() + last
    for outputs in passes(net, torch.tensor(x, dtype=torch.float32)):
        np.testing.assert_allclose(host(outputs), one, atol=1e-2)
    assert np.linalg.matrix_rank(host(net[:2](torch.tensor(x, dtype=torch.float32))), tol=1e-2) == 1


@claim("equal-units-stay-equal", truth=True)
@claim("equal-units-act-as-one", truth=True)
@over(units=among(5, 33), optimizer=OPTIMIZERS, steps=among(1, 5))
def test_units_of_unequal_outgoing_weights_part_at_the_first_step_and_of_equal_ones_never(units, optimizer, steps):
    net = network(5 * outgoing(units, True) * np.r_[1, 1, np.tile([-1, 1], units)[: units - 2]])
    weight = host(trained(net, optimizer, steps)[0].weight)

    assert spread(weight) > 0.01
    assert spread(weight[:2]) < 1e-3
    x = torch.linspace(-2, 2, 30).view(10, 3)
    assert np.linalg.matrix_rank(host(net[:2](x)), tol=1e-3) > 1


@claim("equal-units-get-equal-gradients", "equal-units-stay-equal", "equal-units-act-as-one", truth=True)
@over(units=among(40, 257), name=NAMES)
def test_dropout_gives_equal_units_unequal_gradients_and_parts_them_in_one_step(units, name):
    net = network(outgoing(units, False), ACTIVATIONS[name][0])
    net.insert(2, nn.Dropout(0.5))  # that four samples drop the same of 40 units has the probability 2 ** -156
    gradients = host(trained(net, ("SGD", {"lr": 4.0}), 1)[0].weight.grad)

    assert spread(gradients) > 0.1 * np.abs(gradients).max()
    assert spread(host(net[0].weight)) > 0.01


RANDOM = (
    *("uniform_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"),
    "orthogonal_",
)


@claim("random-init-breaks-symmetry")
@over(
    units=UNITS,
    name=among("sigmoid", "tanh"),
    where=among("all", "weight", "bias", "reset", *RANDOM),
    dtype=among(*SINGLE_AND_DOUBLE),
)
def test_random_numbers_in_the_weights_or_even_in_the_biases_alone_give_each_unit_its_own_gradient(
    units, name, where, dtype
):
    net = network(outgoing(units, False), ACTIVATIONS[name][0], dtype)
    loss(net).backward()
    before = host(net[0].weight.grad).copy()
    fill = getattr(nn.init, where) if where in RANDOM else functools.partial(nn.init.normal_, std=0.3)
    for parameter in {"all": net.parameters(), "bias": [net[0].bias], "reset": []}.get(where, [net[0].weight]):
        fill(parameter)
    net[0].reset_parameters() if where == "reset" else None
    net.zero_grad()
    loss(net).backward()

    assert spread(before) <= 1e-5 * np.abs(before).max()
    started, gradients = host(net[0].weight if where != "bias" else net[0].bias[:, None]), host(net[0].weight.grad)
    filters = [
        host(fill(torch.empty(units, *sizes, dtype=dtype))).reshape(units, -1)
        for sizes in ((3, 2), (3, 2, 2), (3, 2, 2, 2))
    ]
    for rows in (started, gradients, *filters):
        # float32 may round two of 257 to one, but not all numbers of two filters
        assert len(np.unique(rows, axis=0)) >= (1 if rows.shape[1] > 5 else 0.9) * units
        assert np.any(rows[0] != rows[-1])
