"""4.4 Sharing parameters

A parameter is shared (or *tied*) when one and the same `nn.Parameter` serves in several places of a network: because
`forward` calls a layer more than once, because one layer stands in several places, or because two layers were given
the same parameter. There is then a single tensor of values, and an update is seen everywhere. Sharing is a matter of
identity and not of equal values: two layers that merely start out equal part with the first update. The one tensor has
one gradient, to which every use contributes. Weights of one number stand for a layer here, so that all can be checked.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("calling-a-layer-twice-shares")
def test_a_layer_called_twice_has_one_weight_which_one_step_moves_once():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(1, 1, bias=False)

        def forward(self, x):
            return self.linear(self.linear(x))

    net, one = Net(), torch.ones(1, 1)
    nn.init.constant_(net.linear.weight, val=3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)

    assert len(list(net.parameters())) == 1
    net(one).sum().backward()  # y = w * w, so dy/dw = 2w = 6
    optimizer.step()
    assert net.linear.weight.item() == 1.5  # 3 - 0.25 * 6
    assert net(one).item() == 2.25  # both calls see the new weight


@claim("same-instance-in-sequential-shares")
def test_one_instance_in_two_places_is_changed_in_both(capsys):
    linear = nn.Linear(1, 1, bias=False)
    net = nn.Sequential(linear, linear)

    for name, param in net.named_parameters():
        nn.init.constant_(param, val=3)
        print(name, param.tolist())

    assert capsys.readouterr().out == "0.weight [[3.0]]\n"  # one parameter
    assert net[0].weight is net[1].weight
    assert net(torch.ones(1, 1)).item() == 9  # 3 * 3


@claim("shared-parameter-is-listed-once")
def test_a_shared_layer_goes_by_the_name_of_its_first_place():
    linear = nn.Linear(2, 2)
    net = nn.Sequential(nn.Linear(5, 2), linear, nn.Tanh(), linear)

    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias", "1.weight", "1.bias"]


@claim("shared-parameter-is-listed-once", truth=True)
def test_a_state_dict_has_it_under_every_name():
    linear = nn.Linear(2, 2, bias=False)
    net = nn.Sequential(linear, nn.Tanh(), linear)

    state = net.state_dict()
    every = dict(net.named_parameters(remove_duplicate=False))

    assert list(state) == list(every) == ["0.weight", "2.weight"]
    assert state["0.weight"].data_ptr() == state["2.weight"].data_ptr()
    assert every["0.weight"] is every["2.weight"] is linear.weight


@claim("parameters-carry-data-and-grad")
def test_backward_fills_grad_beside_data():
    linear = nn.Linear(2, 1, bias=False)
    linear.weight.data[0, 1] = 30  # the memory of the values
    assert linear.weight.tolist()[0][1] == 30

    y = linear(torch.tensor([[1.0, 2.0], [3.0, 5.0]])).sum()  # 4 w1 + 7 w2
    assert linear.weight.grad is None
    y.backward()
    assert linear.weight.grad.tolist() == [[4, 7]]
    linear.zero_grad()
    assert linear.weight.grad is None


@claim("shared-gradients-accumulate")
def test_two_uses_of_a_weight_of_three_give_the_gradient_six():
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, val=3)
    net = nn.Sequential(linear, linear)

    net(torch.ones(1, 1)).sum().backward()  # y = w * w * x with x = 1

    assert linear.weight.grad.item() == 6  # 3 by the first use and 3 by the second


@claim("shared-gradients-accumulate", truth=True)
def test_autograd_grad_returns_the_sum_and_keeps_it_nowhere():
    w = nn.Parameter(torch.tensor(3.0))

    (gradient,) = torch.autograd.grad(w * w, [w])

    assert gradient.item() == 6
    assert w.grad is None
