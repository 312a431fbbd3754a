"""3.9 Why parameters start random

Hidden units that start with the same parameters are indistinguishable: they compute the same value, and as long as the
next layer weighs them alike they get the same gradient and take the same step. A layer of a thousand such units can do
no more than a layer of one. One unit is a row of the hidden layer's weight; its outgoing weights are a column of the
next layer's. In exact arithmetic equal units would stay equal for ever; in floating point their symmetry is a pencil
standing on its tip. Random initial values break it at once, and each layer of PyTorch comes with a choice of its own,
whose scale depends on the number of inputs.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("equal-units-compute-equal-values")
def test_three_units_with_one_and_the_same_weight_and_bias():
    hidden = nn.Linear(2, 3)
    nn.init.constant_(hidden.weight, 0.5)
    nn.init.constant_(hidden.bias, 1.0)

    assert hidden(torch.tensor([[2.0, 4.0], [-6.0, 0.0]])).tolist() == [[4, 4, 4], [-2, -2, -2]]


@claim("equal-units-get-equal-gradients")
def test_the_rows_of_the_gradient_are_equal():
    hidden, output = nn.Linear(2, 3), nn.Linear(3, 1)
    for parameter in (*hidden.parameters(), *output.parameters()):
        nn.init.constant_(parameter, 0.5)

    output(hidden(torch.tensor([[2.0, 4.0]]))).sum().backward()

    assert hidden.weight.grad.tolist() == [[1, 2]] * 3  # outgoing weight 0.5 times the inputs
    assert output.weight.grad.tolist() == [[3.5] * 3]  # the values of the units


@claim("equal-units-get-equal-gradients", truth=True)
def test_a_gradient_is_proportional_to_the_outgoing_weight():
    hidden, output = nn.Linear(2, 3), nn.Linear(3, 1)
    for parameter in hidden.parameters():
        nn.init.constant_(parameter, 0.5)
    output.load_state_dict({"weight": torch.tensor([[0.5, 0.5, -2.0]]), "bias": torch.zeros(1)})

    output(hidden(torch.tensor([[2.0, 4.0]]))).sum().backward()

    assert hidden.weight.grad.tolist() == [[1, 2], [1, 2], [-4, -8]]


@claim("equal-units-stay-equal")
def test_ten_steps_move_equal_units_together():
    net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.5)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    for _ in range(10):
        optimizer.zero_grad()
        (net(torch.tensor([[1.0, -2.0], [0.5, 1.0]])) - torch.tensor([[1.0], [-1.0]])).square().mean().backward()
        optimizer.step()

    first, second, third = net[0].weight.tolist()
    assert second == pytest.approx(first, rel=1e-4)  # within rounding
    assert third == pytest.approx(first, rel=1e-4)
    assert first != pytest.approx([0.5, 0.5], rel=0.05)  # they moved


@claim("equal-units-stay-equal", truth=True)
def test_a_difference_of_one_rounding_grows_until_the_units_are_different():
    """Rounding alone does that, on some machines sooner than on others. Here one rounding of single precision is
    planted in a network of double precision, whose own are too small to matter.
    """
    x = torch.tensor([[-2.0], [-1.0], [2.0]]).double()
    y = torch.tensor([[4.0], [-1.0], [4.0]]).double()  # a valley: it takes two units
    net = nn.Sequential(nn.Linear(1, 2), nn.Tanh(), nn.Linear(2, 1)).double()
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.5)
    net[0].weight.data[0] += 2**-24  # the smallest step of single precision from 0.5

    optimizer = torch.optim.Adam(net.parameters(), lr=0.3)
    for _ in range(80):
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()

    first, second = net[0].weight.view(-1).tolist()
    assert abs(first - second) > 1  # 16 million times as much: one slope rises, the other falls


@claim("equal-units-act-as-one")
def test_three_equal_units_are_one_with_the_outgoing_weights_summed():
    three, one = nn.Linear(2, 3), nn.Linear(2, 1)
    for layer in (three, one):
        nn.init.constant_(layer.weight, 0.5)
        nn.init.constant_(layer.bias, 1.0)
    x = torch.tensor([[2.0, 4.0], [-6.0, 0.0]])

    outputs = torch.relu(three(x)) @ torch.tensor([[1.0], [2.0], [4.0]])

    assert outputs.tolist() == (torch.relu(one(x)) * 7).tolist() == [[28], [0]]


@claim("equal-units-act-as-one", truth=True)
def test_one_step_from_unequal_outgoing_weights_makes_different_units():
    net = nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 1, bias=False))
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.5)
    net[1].weight.data[0, 2] = -2.0

    net(torch.tensor([[2.0]])).sum().backward()
    torch.optim.SGD(net.parameters(), lr=0.25).step()

    assert net[0].weight.view(-1).tolist() == [0.25, 0.25, 1.5]


@claim("random-init-breaks-symmetry")
def test_sixty_four_random_units_learn_exclusive_or_and_one_unit_cannot():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    losses = []
    for units in (64, 1):
        net = nn.Sequential(nn.Linear(2, units), nn.Tanh(), nn.Linear(units, 1))
        for parameter in net.parameters():
            nn.init.normal_(parameter)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.8)
        for _ in range(80):
            optimizer.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())

    assert losses[0] < 0.02  # 0.0001 at most in each of 100,000 starts
    assert losses[1] > 0.16  # a single unit is monotone, and the best monotone fit is off by 1/6


@claim("default-init-is-sensible")
@pytest.mark.start_values
def test_a_linear_layer_draws_within_one_over_the_root_of_its_inputs():
    layer = nn.Linear(100, 300)

    for parameter in (layer.weight, layer.bias):
        numbers = parameter.view(-1).tolist()
        assert max(map(abs, numbers)) == pytest.approx(0.1, rel=0.1)  # 300 numbers between -0.1 and 0.1
        assert max(map(abs, numbers)) <= 0.1000001
        assert len(set(numbers)) > 250  # of 2**24 possible ones


@claim("default-init-is-sensible", truth=True)
def test_the_layers_of_a_transformer_encoder_start_as_copies_of_one():
    layer = nn.TransformerEncoderLayer(d_model=4, nhead=2, dim_feedforward=8, batch_first=True)
    first, second = nn.TransformerEncoder(layer, num_layers=2).layers

    assert first.linear1.weight.tolist() == second.linear1.weight.tolist() == layer.linear1.weight.tolist()
    assert first.linear1.weight is not second.linear1.weight  # equal, not shared

    second.linear1.reset_parameters()
    assert first.linear1.weight.tolist() != second.linear1.weight.tolist()
