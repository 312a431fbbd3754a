"""3.2 Linear regression in PyTorch: the model

`torch.nn` offers ready-made **layers** and the means to build **networks** of them. Both are a `Module`: an object that
owns parameters, or further modules that own some, and whose `forward` method computes the output. A network of one's
own subclasses `Module` and writes `forward` only; autograd supplies the gradients. A network that merely runs its
layers one after the other needs no class: `Sequential` holds them in order. Calling a module, `net(x)`, runs its
`forward`.
"""

import inspect
from collections import OrderedDict

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


class LinearNet(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(features, 1)

    def forward(self, x):
        return self.linear(x)


# ── nn-builds-on-autograd ──


@claim("nn-builds-on-autograd")
def test_a_model_with_only_a_forward_gets_the_gradients_of_its_parameters():
    net = LinearNet(2)

    net(torch.tensor([[1.0, -2.0], [3.0, 5.0]])).sum().backward()

    assert hasattr(net, "backward") is False
    assert net.linear.weight.grad.tolist() == [[1.0 + 3.0, -2.0 + 5.0]]
    assert net.linear.bias.grad.tolist() == [2.0]


@claim("nn-builds-on-autograd")
def test_the_gradients_of_a_network_equal_finite_differences():
    """`gradcheck` moves each input, weight and bias a little, in place, and looks how far the output moves."""
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), LinearNet(4)).double()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    agree = torch.autograd.gradcheck(lambda *_: net(x), (x, *net.parameters()), raise_exception=False)

    assert agree is True


@claim("nn-builds-on-autograd")
def test_the_output_of_a_module_is_recorded_unless_recording_is_off():
    net, x = LinearNet(2), torch.ones(1, 2)

    assert net(x).grad_fn is not None
    with torch.no_grad():
        assert net(x).grad_fn is None


# ── module-is-layer-or-network ──


@claim("module-is-layer-or-network")
def test_a_layer_and_a_network_of_one_s_own_are_both_modules():
    net = LinearNet(2)

    assert isinstance(net, nn.Module) is True
    assert isinstance(net.linear, nn.Module) is True
    assert list(net.named_children()) == [("linear", net.linear)]


@claim("module-is-layer-or-network")
def test_a_network_can_be_a_layer_of_another_network():
    """(1 + 2 * 3, then the ReLU) gives 7; a second LinearNet makes it -2 * 7 + 4."""
    net = nn.Sequential(LinearNet(2), nn.ReLU(), LinearNet(1))
    net[0].linear.load_state_dict({"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([0.0])})
    net[2].linear.load_state_dict({"weight": torch.tensor([[-2.0]]), "bias": torch.tensor([4.0])})

    assert net(torch.tensor([[1.0, 3.0], [1.0, -3.0]])).tolist() == [[-10.0], [4.0]]
    assert list(net.state_dict()) == ["0.linear.weight", "0.linear.bias", "2.linear.weight", "2.linear.bias"]
    assert list(net.modules()) == [net, net[0], net[0].linear, net[1], net[2], net[2].linear]


# ── module-has-layers-and-forward ──


@claim("module-has-layers-and-forward")
def test_calling_a_network_returns_what_its_forward_computes_with_its_layers():
    net = LinearNet(3)
    net.linear.load_state_dict({"weight": torch.tensor([[1.0, -2.0, 0.5]]), "bias": torch.tensor([3.0])})
    x = torch.tensor([[4.0, 1.0, 2.0]])

    assert net(x).tolist() == net.forward(x).tolist() == [[4.0 - 2.0 + 1.0 + 3.0]]
    assert net(-x).tolist() == net.forward(-x).tolist() == [[-4.0 + 2.0 - 1.0 + 3.0]]


@claim("module-has-layers-and-forward", truth=True)
def test_a_module_without_layers_is_valid():
    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    double = Double()

    assert double(torch.tensor([1.0, -3.0])).tolist() == [2.0, -6.0]
    assert list(double.children()) == []
    assert list(double.parameters()) == []


@claim("module-has-layers-and-forward", truth=True)
def test_a_module_without_forward_raises_only_when_it_is_called():
    class Unfinished(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 1)

    net = Unfinished()

    assert len(list(net.parameters())) == 2
    with pytest.raises(NotImplementedError, match="forward"):
        net(torch.ones(1, 2))


# ── printing-shows-the-structure ──


@claim("printing-shows-the-structure")
def test_printing_a_network_shows_its_layers_with_their_sizes(capsys):
    print(LinearNet(2))

    assert capsys.readouterr().out == "LinearNet(\n  (linear): Linear(in_features=2, out_features=1, bias=True)\n)\n"


@claim("printing-shows-the-structure")
def test_printing_indents_the_layers_of_a_layer():
    net = nn.Sequential(LinearNet(5), nn.ReLU(), nn.Linear(1, 7, bias=False))

    assert str(net).splitlines() == [
        "Sequential(",
        "  (0): LinearNet(",
        "    (linear): Linear(in_features=5, out_features=1, bias=True)",
        "  )",
        "  (1): ReLU()",
        "  (2): Linear(in_features=1, out_features=7, bias=False)",
        ")",
    ]


# ── sequential-keeps-order ──


class Add(nn.Module):
    def __init__(self, amount):
        super().__init__()
        self.amount = amount

    def forward(self, x):
        return x + self.amount


class Times(Add):
    def forward(self, x):
        return x * self.amount


@claim("sequential-keeps-order")
def test_swapping_two_layers_swaps_the_functions():
    x = torch.tensor([5.0, -1.0])

    assert nn.Sequential(Add(3), Times(2))(x).tolist() == [(5 + 3) * 2, (-1 + 3) * 2]
    assert nn.Sequential(Times(2), Add(3))(x).tolist() == [5 * 2 + 3, -1 * 2 + 3]


@claim("sequential-keeps-order")
def test_a_layer_that_is_passed_twice_runs_twice():
    double = Times(2)

    assert nn.Sequential(double, Add(3), double)(torch.tensor(5.0)).item() == (5 * 2 + 3) * 2


@claim("sequential-keeps-order")
def test_an_appended_layer_runs_last():
    net = nn.Sequential(Add(3), Times(2))

    net.append(Add(1))

    assert net(torch.tensor(5.0)).item() == (5 + 3) * 2 + 1


@claim("sequential-keeps-order")
def test_more_than_ten_layers_run_in_the_order_in_which_they_were_passed():
    """A `Sequential` names its layers by their numbers, and '10' would come before '2' if the names were sorted."""
    digits = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    layers = [layer for digit in digits for layer in (Times(10), Add(digit))]

    net = nn.Sequential(*layers)

    assert net(torch.tensor(0)).item() == 314159265358
    assert list(net) == layers


# ── sequential-can-be-built-three-ways ──


def three_ways():
    positional = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    added = nn.Sequential()
    added.add_module("hidden", nn.Linear(2, 3))
    added.add_module("squash", nn.Tanh())
    added.add_module("out", nn.Linear(3, 1))
    ordered = OrderedDict([("hidden", nn.Linear(2, 3)), ("squash", nn.Tanh()), ("out", nn.Linear(3, 1))])
    return positional, added, nn.Sequential(ordered)


@claim("sequential-can-be-built-three-ways")
def test_given_the_same_parameters_the_three_compute_the_same():
    nets = three_ways()
    values = [torch.randn(3, 2), torch.randn(3), torch.randn(1, 3), torch.randn(1)]
    x = torch.randn(4, 2)

    with torch.no_grad():
        for net in nets:
            for parameter, value in zip(net.parameters(), values):
                parameter.copy_(value)

    expected = (x @ values[0].T + values[1]).tanh() @ values[2].T + values[3]
    for net in nets:
        torch.testing.assert_close(net(x).detach(), expected)


@claim("sequential-can-be-built-three-ways")
def test_only_the_names_of_the_layers_differ():
    positional, added, ordered = three_ways()

    assert [name for name, _ in positional.named_children()] == ["0", "1", "2"]
    assert [name for name, _ in added.named_children()] == ["hidden", "squash", "out"]
    assert [name for name, _ in ordered.named_children()] == ["hidden", "squash", "out"]
    assert list(added.state_dict()) == ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]


@claim("sequential-can-be-built-three-ways")
@pytest.mark.parametrize("way", [0, 1, 2], ids=["positional", "add_module", "OrderedDict"])
def test_indexing_returns_the_layer_at_a_position(way):
    net = three_ways()[way]

    assert [str(net[0]), str(net[1])] == ["Linear(in_features=2, out_features=3, bias=True)", "Tanh()"]
    assert net[-1] is net[2] is list(net.children())[2]
    assert len(net) == 3


# ── parameters-is-a-generator-of-learnables ──


@claim("parameters-is-a-generator-of-learnables")
def test_parameters_returns_a_generator_which_is_used_up_by_one_pass():
    parameters = LinearNet(2).parameters()

    assert inspect.isgenerator(parameters) is True
    assert [tuple(parameter.shape) for parameter in parameters] == [(1, 2), (1,)]
    assert list(parameters) == []


@claim("parameters-is-a-generator-of-learnables")
def test_parameters_are_the_weights_and_biases_of_every_layer_and_nothing_else():
    """Batch normalisation also keeps running statistics: buffers, which are no parameters."""
    net = nn.Sequential(LinearNet(2), nn.BatchNorm1d(1), nn.ReLU(), nn.Linear(1, 3, bias=False))

    parameters = list(net.parameters())

    expected = [net[0].linear.weight, net[0].linear.bias, net[1].weight, net[1].bias, net[3].weight]
    assert [id(parameter) for parameter in parameters] == [id(parameter) for parameter in expected]
    assert all(isinstance(parameter, nn.Parameter) and parameter.requires_grad for parameter in parameters) is True


@claim("parameters-is-a-generator-of-learnables")
def test_parameters_yields_a_shared_parameter_once():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False))
    net[1].weight = net[0].weight

    assert [id(parameter) for parameter in net.parameters()] == [id(net[0].weight), id(net[0].bias)]


@claim("parameters-is-a-generator-of-learnables")
def test_parameters_yields_a_frozen_parameter_too():
    net = LinearNet(2)
    net.linear.weight.requires_grad_(False)

    assert [parameter.requires_grad for parameter in net.parameters()] == [False, True]
