"""4.1b Building models: what a class of one's own can do

`forward` is an ordinary Python method. Autograd records the operations on tensors as they happen, so a model may do
anything that Python can: take several inputs, add an input to an output, compute with constants, call a layer twice,
loop, choose between branches. None of this fits into an `nn.Sequential`, in which each module is run once, on the
output of the one before.

A constant can be kept in two ways. A plain tensor is an attribute like any other, of which the module knows nothing. A
*buffer* is a tensor registered with `register_buffer`: it is no parameter and is not trained, yet it is moved, and
saved, with the module.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("subclassing-is-more-flexible")
def test_a_constant_a_layer_used_twice_a_loop_and_a_branch():
    class FancyMLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.mixing = torch.tensor([[0.0, 1.0], [2.0, 0.0]])  # a constant
            self.linear = nn.Linear(2, 2)
            self.linear.weight = nn.Parameter(torch.tensor([[1.0, 1.0], [0.0, 2.0]]))
            self.linear.bias = nn.Parameter(torch.tensor([0.0, -1.0]))

        def forward(self, x):
            x = torch.relu(torch.mm(self.linear(x), self.mixing) + 1)
            x = self.linear(x)  # again
            while x.norm().item() > 1:
                x = x / 2
            if x.norm().item() < 0.8:
                x = x * 10
            return x.sum()

    # (-4, 1) -> (-3, 1) -> mixed (2, -3), plus one, ReLU (3, 0) -> (3, -1), of norm 3.16; two halvings leave 0.79
    assert FancyMLP()(torch.tensor([[-4.0, 1.0]])).item() == (3 - 1) / 4 * 10
    with pytest.raises(TypeError, match="positional arguments"):
        nn.Sequential(nn.ReLU())(torch.ones(2), torch.ones(2))


@claim("module-is-not-subscriptable")
def test_a_model_of_our_own_has_attributes_where_a_sequential_has_numbers():
    class LinearNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 1)

    net = LinearNet()

    with pytest.raises(TypeError, match="'LinearNet' object is not subscriptable"):
        net[0]
    assert list(net.children()) == [net.linear]
    assert nn.Sequential(net.linear)[0] is net.linear


@claim("plain-tensor-is-a-constant-parameter")
def test_a_model_computes_with_a_plain_tensor_and_training_leaves_it_alone():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.factors = torch.tensor([2.0, -3.0])

        def forward(self, x):
            return self.linear(x) * self.factors

    net = Scaled()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.25)
    before = net.linear.bias.tolist()
    net(torch.zeros(4, 3)).sum().backward()
    optimizer.step()

    assert net.linear.bias.grad.tolist() == [4 * 2.0, 4 * -3.0]
    assert net.linear.bias.tolist() != before
    assert net.factors.tolist() == [2.0, -3.0]
    assert net.factors.grad is None


@claim("plain-tensor-is-a-constant-parameter", truth=True)
def test_a_buffer_is_saved_and_moved_and_a_plain_tensor_is_not():
    net = nn.Linear(3, 2)
    net.plain = torch.tensor([2.0, -3.0])
    net.register_buffer("saved", torch.tensor([5.0]))
    net.register_buffer("unsaved", torch.tensor([7.0]), persistent=False)

    assert list(net.state_dict()) == ["weight", "bias", "saved"]
    assert [name for name, _ in net.named_parameters()] == ["weight", "bias"]
    home = net.plain.device
    net.to("meta", torch.float16)  # meta stands for any other device
    assert [net.saved.device.type, net.unsaved.device.type, net.plain.device] == ["meta", "meta", home]
    assert [net.saved.dtype, net.unsaved.dtype, net.plain.dtype] == [torch.float16, torch.float16, torch.float32]


@claim("reusing-a-layer-shares-its-parameters")
def test_the_gradient_of_a_layer_called_twice_is_the_sum_over_both_calls():
    layer, first, second = nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)
    for each in (layer, first, second):
        each.weight, each.bias = nn.Parameter(torch.tensor([[3.0]])), nn.Parameter(torch.tensor([2.0]))

    y = layer(layer(torch.tensor([5.0])))  # 3 * 5 + 2 = 17 and 3 * 17 + 2
    y.sum().backward()
    assert y.tolist() == [53.0]
    assert layer.weight.grad.item() == 3.0 * 5 + 17
    assert layer.bias.grad.item() == 3.0 + 1

    second(first(torch.tensor([5.0]))).sum().backward()
    assert [first.weight.grad.item(), second.weight.grad.item()] == [3.0 * 5, 17.0]


@claim("reusing-a-layer-shares-its-parameters", truth=True)
def test_a_normalisation_called_twice_moves_its_one_set_of_statistics_twice():
    x = torch.tensor([[8.0], [8.0]])
    layer, other = nn.BatchNorm1d(1, momentum=0.5), nn.BatchNorm1d(1, momentum=0.5)
    other.weight, other.bias = layer.weight, layer.bias

    layer(x)
    assert layer.running_mean.item() == 4.0  # halfway from 0 to 8
    layer(x)
    other(x)

    assert layer.running_mean.item() == 6.0
    assert other.running_mean.item() == 4.0


@claim("forward-may-use-python-control-flow")
def test_the_input_decides_how_often_a_loop_turns_and_the_gradient_counts_the_turns():
    class Halving(nn.Module):
        def forward(self, x):
            while x > 1:
                x = x / 2
            return x

    for number, halved, slope in ((5.0, 0.625, 0.125), (1.0, 1.0, 1.0)):  # three turns, and none
        x = torch.tensor(number, requires_grad=True)
        y = Halving()(x)
        y.backward()
        assert (y.item(), x.grad.item()) == (halved, slope)


@claim("control-flow-needs-item")
def test_a_loop_on_a_tensor_without_item_fails():
    """Mistaken: a comparison that gives one element is a condition as it is."""
    x = torch.tensor(3.0)

    with pytest.raises(RuntimeError):
        while x > 1:
            x = x / 2


@claim("control-flow-needs-item", truth=True)
def test_one_element_makes_a_condition_and_any_other_number_does_not():
    x = torch.tensor([[3.0]])
    while x > 1:
        x = x / 2
    assert x.tolist() == [[0.75]]

    positive = torch.tensor([1.0, -2.0]) > 0
    with pytest.raises(RuntimeError, match="more than one value is ambiguous"):
        bool(positive)
    with pytest.raises(RuntimeError, match="no values is ambiguous"):
        bool(torch.tensor([]) > 0)
    assert bool(positive.any()) is True
    assert bool(positive.all()) is False
