"""4.4 Sharing parameters: one tensor in several places

A parameter is shared (or *tied*) when one and the same `nn.Parameter` object serves in several places of a network:
because `forward` calls a layer more than once, because one layer instance stands in several places, or because two
layers were given the same parameter. There is then a single tensor of values, and an update is seen everywhere.
Sharing is a matter of object identity, not of equal values: two layers that merely start out equal go their own ways
with the first update. Weights of one or four numbers stand for a layer here, so that outputs can be checked by hand.
"""

import copy
from collections import OrderedDict

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


class LinearCalledTwice(nn.Module):
    """Computes A(Ax): one layer, called twice."""

    def __init__(self, size):
        super().__init__()
        self.linear = nn.Linear(size, size, bias=False)

    def forward(self, x):
        return self.linear(self.linear(x))


def scalar_layer(weight):
    """A linear layer that multiplies by one number."""
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, weight)
    return layer


# ── calling-a-layer-twice-shares ──


@claim("calling-a-layer-twice-shares")
def test_a_layer_called_twice_has_one_set_of_parameters():
    net = LinearCalledTwice(4)

    parameters = list(net.parameters())

    assert len(parameters) == 1
    assert parameters[0] is net.linear.weight
    assert parameters[0].shape == (4, 4)


@claim("calling-a-layer-twice-shares")
def test_both_calls_compute_with_the_same_matrix():
    net = LinearCalledTwice(2)
    a = torch.tensor([[1.0, 2.0], [3.0, 4.0]])  # A squared is [[7, 10], [15, 22]]
    with torch.no_grad():
        net.linear.weight.copy_(a)

    columns = net(torch.eye(2))  # row i is A(A e_i), the i-th column of A squared

    assert columns.tolist() == [[7.0, 15.0], [10.0, 22.0]]


@claim("calling-a-layer-twice-shares")
def test_one_step_of_an_optimizer_changes_both_calls_once():
    net = LinearCalledTwice(1)
    nn.init.constant_(net.linear.weight, 3.0)
    one = torch.ones(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)

    net(one).sum().backward()  # y = w * w, so dy/dw = 2w = 6
    optimizer.step()

    assert net.linear.weight.item() == 1.5  # 3 - 0.25 * 6, moved once and not once per call
    assert net(one).item() == 2.25  # 1.5 * 1.5: both calls see the new weight


@claim("calling-a-layer-twice-shares")
def test_two_layers_of_equal_weight_do_not_share():
    first, second = scalar_layer(3.0), scalar_layer(3.0)
    net = nn.Sequential(first, second)

    nn.init.constant_(first.weight, 5.0)

    assert second.weight.item() == 3.0
    assert net(torch.ones(1, 1)).item() == 15.0  # 5 * 3
    assert len(list(net.parameters())) == 2


# ── same-instance-in-sequential-shares ──


@claim("same-instance-in-sequential-shares")
def test_both_places_of_a_sequential_hold_the_same_object():
    linear = nn.Linear(3, 3)

    net = nn.Sequential(linear, nn.Tanh(), linear)

    assert len(net) == 3
    assert net[0] is linear
    assert net[2] is linear
    assert net[0].weight is net[2].weight
    assert net[0].bias is net[2].bias


@claim("same-instance-in-sequential-shares")
def test_a_change_through_one_place_shows_in_the_other():
    linear = scalar_layer(3.0)
    net = nn.Sequential(linear, linear)
    two = torch.full((1, 1), 2.0)
    assert net(two).item() == 18.0  # 3 * 3 * 2

    nn.init.constant_(net[1].weight, 5.0)

    assert net[0].weight.item() == 5.0
    assert net(two).item() == 50.0  # 5 * 5 * 2


@claim("same-instance-in-sequential-shares")
def test_a_new_parameter_set_in_one_place_serves_the_other():
    linear = scalar_layer(3.0)
    net = nn.Sequential(linear, linear)

    net[0].weight = nn.Parameter(torch.tensor([[7.0]]))

    assert net[1].weight is net[0].weight
    assert net(torch.ones(1, 1)).item() == 49.0


@claim("same-instance-in-sequential-shares")
@pytest.mark.parametrize("size", [1, 40])
def test_places_filled_later_or_by_name_share_as_well(size):
    linear = nn.Linear(size, size)

    grown = nn.Sequential(linear).append(nn.Tanh()).append(linear)
    named = nn.Sequential(OrderedDict(first=linear, between=nn.Tanh(), last=linear))
    listed = nn.Sequential(*[linear] * 3)

    assert grown[2] is grown[0]
    assert named.last is named.first
    assert [place is linear for place in listed] == [True, True, True]


@claim("same-instance-in-sequential-shares")
def test_a_copied_network_shares_within_itself_only():
    linear = scalar_layer(3.0)
    net = nn.Sequential(linear, linear)

    twin = copy.deepcopy(net)

    assert twin[0].weight is twin[1].weight
    assert twin[0].weight is not net[0].weight


@claim("same-instance-in-sequential-shares")
def test_a_copy_of_the_instance_does_not_share():
    linear = scalar_layer(3.0)
    net = nn.Sequential(linear, copy.deepcopy(linear))

    nn.init.constant_(net[0].weight, 5.0)

    assert net[1].weight.item() == 3.0
    assert len(list(net.parameters())) == 2


# ── shared-parameter-is-listed-once ──


@claim("shared-parameter-is-listed-once")
def test_named_parameters_names_a_shared_layer_after_its_first_place():
    linear = nn.Linear(2, 2)
    net = nn.Sequential(nn.Linear(5, 2), linear, nn.Tanh(), linear)

    names = [name for name, _ in net.named_parameters()]

    assert names == ["0.weight", "0.bias", "1.weight", "1.bias"]


@claim("shared-parameter-is-listed-once")
def test_a_weight_tied_between_two_layers_is_counted_once():
    """Language models tie the output layer's weight to the embedding in this way."""
    embedding, output = nn.Embedding(7, 3), nn.Linear(3, 7)
    output.weight = embedding.weight
    net = nn.Sequential(embedding, output)

    numbers = sum(parameter.numel() for parameter in net.parameters())

    assert numbers == 7 * 3 + 7
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.bias"]


@claim("shared-parameter-is-listed-once")
def test_a_layer_shared_across_levels_of_nesting_is_listed_once():
    linear = nn.Linear(2, 2, bias=False)
    net = nn.Sequential(nn.Sequential(linear), nn.Sequential(nn.Sequential(linear)), linear)

    assert [name for name, _ in net.named_parameters()] == ["0.0.weight"]


@claim("shared-parameter-is-listed-once")
def test_parameters_that_are_merely_equal_are_all_listed():
    net = nn.Sequential(scalar_layer(3.0), scalar_layer(3.0))

    assert [name for name, _ in net.named_parameters()] == ["0.weight", "1.weight"]


@claim("shared-parameter-is-listed-once", truth=True)
def test_state_dict_lists_a_shared_parameter_under_every_name():
    linear = nn.Linear(2, 2, bias=False)
    net = nn.Sequential(linear, nn.Tanh(), linear)

    state = net.state_dict()

    assert list(state) == ["0.weight", "2.weight"]
    assert state["0.weight"].data_ptr() == state["2.weight"].data_ptr()


@claim("shared-parameter-is-listed-once", truth=True)
def test_named_parameters_can_be_told_to_keep_duplicates():
    linear = nn.Linear(2, 2, bias=False)
    net = nn.Sequential(linear, nn.Tanh(), linear)

    every_name = list(net.named_parameters(remove_duplicate=False))

    assert [name for name, _ in every_name] == ["0.weight", "2.weight"]
    assert every_name[0][1] is linear.weight
    assert every_name[1][1] is linear.weight
