"""3.2 Linear regression in PyTorch: data and model

The data set is synthetic: we choose the parameters, compute the labels from random features, add a little noise, and
see later whether training finds the parameters again. A `TensorDataset` pairs each row of the features with its label;
a `DataLoader` cuts the pairs into **mini-batches**. The model is a `Module`: an object that owns parameters, or further
modules that own some, and whose `forward` computes the output. One writes a class of one's own for it, or lines up
ready-made **layers** in a `Sequential`; autograd supplies the gradients either way.
"""

import inspect
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

claim = pytest.mark.claim


@claim("synthetic-regression-data")
def test_the_labels_are_a_weighted_sum_of_two_random_features_plus_a_little_noise():
    features = torch.tensor(np.random.normal(0, 1, (1000, 2)), dtype=torch.float32)
    exact = 2 * features[:, 0] - 3.4 * features[:, 1] + 4.2
    labels = exact + torch.tensor(np.random.normal(0, 0.01, 1000), dtype=torch.float32)

    assert (features.shape, labels.shape) == ((1000, 2), (1000,))
    assert (features.dtype, labels.dtype) == (torch.float32, torch.float32)
    # noise beyond eight standard deviations comes in one data set out of 10**12
    assert 0 < max(map(abs, (labels - exact).tolist())) < 0.08


@claim("dataloader-yields-minibatches")
def test_five_examples_in_batches_of_two_are_two_two_and_one():
    features = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0], [8.0, 9.0]])
    labels = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0])

    batches = [(x.tolist(), y.tolist()) for x, y in DataLoader(TensorDataset(features, labels), batch_size=2)]
    without_rest = list(DataLoader(TensorDataset(features, labels), batch_size=2, drop_last=True))

    assert batches == [
        ([[0.0, 1.0], [2.0, 3.0]], [10.0, 20.0]),
        ([[4.0, 5.0], [6.0, 7.0]], [30.0, 40.0]),
        ([[8.0, 9.0]], [50.0]),
    ]
    assert len(without_rest) == 2


@claim("dataloader-shuffle-visits-each-example-once")
def test_two_shuffled_epochs_are_two_orders_of_the_same_examples(device):
    examples = TensorDataset(torch.arange(100))
    # a loader draws its order on torch's default device, so its generator is of that device too
    generator = torch.Generator(device).manual_seed(torch.initial_seed())

    loader = DataLoader(examples, batch_size=8, shuffle=True, generator=generator)
    first, second = ([i for (x,) in loader for i in x.tolist()] for _ in range(2))

    assert sorted(first) == sorted(second) == list(range(100))
    assert len({tuple(first), tuple(second), tuple(range(100))}) == 3  # two alike: once in 100! times


@claim("nn-builds-on-autograd")
def test_a_model_with_only_a_forward_gets_the_gradients_of_its_parameters():
    class LinearNet(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.linear = nn.Linear(features, 1)

        def forward(self, x):
            return self.linear(x)

    net = LinearNet(2)
    net(torch.tensor([[1.0, -2.0], [3.0, 5.0]])).sum().backward()

    assert all(parameter.grad is not None for parameter in net.parameters())
    assert net.linear.weight.grad.tolist() == [[1.0 + 3.0, -2.0 + 5.0]]
    assert net.linear.bias.grad.tolist() == [2.0]
    assert not hasattr(net, "backward")


@claim("module-is-layer-or-network")
def test_a_layer_is_a_module_and_so_is_a_network_that_holds_it():
    class LinearNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 1)

        def forward(self, x):
            return self.linear(x)

    net = nn.Sequential(LinearNet(), nn.ReLU())  # one's own network is a layer of the next

    assert all(isinstance(part, nn.Module) for part in (net, net[0], net[0].linear))
    net[0].linear.load_state_dict({"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([0.5])})
    assert list(net.modules()) == [net, net[0], net[0].linear, net[1]]
    assert list(net.state_dict()) == ["0.linear.weight", "0.linear.bias"]
    assert net(torch.tensor([[1.0, 3.0], [1.0, -3.0]])).tolist() == [[7.5], [0.0]]


@claim("module-has-layers-and-forward")
def test_calling_a_network_returns_what_its_forward_computes_with_its_layers():
    class LinearNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 1)

        def forward(self, x):
            return self.linear(x)

    net = LinearNet()
    net.linear.load_state_dict({"weight": torch.tensor([[1.0, -2.0, 0.5]]), "bias": torch.tensor([3.0])})

    assert net(torch.tensor([[4.0, 1.0, 2.0]])).tolist() == [[4.0 - 2.0 + 1.0 + 3.0]]
    assert net(torch.tensor([[-4.0, -1.0, -2.0]])).tolist() == [[-4.0 + 2.0 - 1.0 + 3.0]]


@claim("module-has-layers-and-forward", truth=True)
def test_neither_layers_nor_forward_are_enforced():
    class Double(nn.Module):
        def forward(self, x):
            return 2 * x

    class Unfinished(nn.Module):
        pass

    assert Double()(torch.tensor([1.0, -3.0])).tolist() == [2.0, -6.0]
    unfinished = Unfinished()  # no error yet
    with pytest.raises(NotImplementedError, match="forward"):
        unfinished(torch.ones(1, 2))
    with pytest.raises(TypeError):
        unfinished(x=torch.ones(1, 2))


@claim("printing-shows-the-structure")
def test_printing_a_network_shows_its_layers_with_their_sizes(capsys):
    class LinearNet(nn.Module):
        def __init__(self, features):
            super().__init__()
            self.linear = nn.Linear(features, 1)

    print(nn.Sequential(LinearNet(2), nn.ReLU()))

    assert capsys.readouterr().out.splitlines() == [
        "Sequential(",
        "  (0): LinearNet(",
        "    (linear): Linear(in_features=2, out_features=1, bias=True)",
        "  )",
        "  (1): ReLU()",
        ")",
    ]


@claim("printing-shows-the-structure", truth=True)
def test_functions_layers_in_a_list_and_the_order_of_execution_are_not_shown():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(3, 1)
            self.first = nn.Linear(2, 3)
            self.more = [nn.Linear(1, 1)]
            self.scale = nn.Parameter(torch.ones(3, 4))

        def forward(self, x):
            return self.more[0](self.last(torch.relu(self.first(x))))

    assert str(Net()).splitlines() == [
        "Net(",  # no word of the sizes of its own parameter
        "  (last): Linear(in_features=3, out_features=1, bias=True)",
        "  (first): Linear(in_features=2, out_features=3, bias=True)",
        ")",
    ]


@claim("sequential-keeps-order")
def test_swapping_two_layers_swaps_what_is_done_first():
    double, threshold = nn.Linear(1, 1), nn.Threshold(4, 0)  # 2 x; and 0 for all that is not above 4
    double.load_state_dict({"weight": torch.tensor([[2.0]]), "bias": torch.tensor([0.0])})
    x = torch.tensor([[3.0], [5.0]])

    assert nn.Sequential(double, threshold)(x).tolist() == [[6.0], [10.0]]
    assert nn.Sequential(threshold, double)(x).tolist() == [[0.0], [10.0]]
    assert nn.Sequential(double, threshold, double)(x).tolist() == [[12.0], [20.0]]


@claim("sequential-keeps-order", truth=True)
def test_layers_join_the_graph_when_the_container_is_called():
    ran, linear, tanh = [], nn.Linear(1, 1), nn.Tanh()
    linear.register_forward_hook(lambda layer, inputs, output: ran.append("linear"))
    tanh.register_forward_hook(lambda layer, inputs, output: ran.append("tanh"))

    net = nn.Sequential(linear, tanh)
    assert ran == []

    y = net(torch.ones(1, 1))
    assert ran == ["linear", "tanh"]
    assert y.grad_fn.name() == "TanhBackward0"
    assert y.grad_fn.next_functions[0][0].name() == "AddmmBackward0"


@claim("sequential-can-be-built-three-ways")
def test_the_three_ways_make_the_same_layers_under_other_names(capsys):
    positional = nn.Sequential(nn.Linear(2, 1))
    added = nn.Sequential()
    added.add_module("linear", nn.Linear(2, 1))
    ordered = nn.Sequential(OrderedDict([("linear", nn.Linear(2, 1))]))

    for net in (positional, added, ordered):
        print(net)
        print(net[0])

    layer = "Linear(in_features=2, out_features=1, bias=True)"
    named = ["Sequential(", f"  (linear): {layer}", ")", layer]
    assert capsys.readouterr().out.splitlines() == ["Sequential(", f"  (0): {layer}", ")", layer, *named, *named]


@claim("parameters-is-a-generator-of-learnables")
def test_parameters_gives_weights_and_biases_one_after_the_other():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))

    parameters = net.parameters()

    assert inspect.isgenerator(parameters)
    assert [tuple(parameter.shape) for parameter in parameters] == [(3, 2), (3,), (1, 3), (1,)]
    assert list(parameters) == []  # used up by one pass


@claim("parameters-is-a-generator-of-learnables", truth=True)
def test_frozen_parameters_come_and_shared_ones_once_but_neither_buffers_nor_plain_tensors():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2, affine=False))
    net[0].bias.requires_grad_(False)
    net[1].weight = net[0].weight
    net[0].plain = torch.ones(2, requires_grad=True)

    parameters = list(net.parameters())

    assert len(parameters) == 2
    assert parameters[0] is net[0].weight is net[1].weight
    assert parameters[1] is net[0].bias
