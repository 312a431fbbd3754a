"""4.1a Building models: modules and the containers that hold them

A model in PyTorch is an object of a class derived from `nn.Module`. Its constructor creates the layers, which are
modules themselves, and `forward` computes an output from an input. The base class registers every module, parameter
and buffer assigned to it: to ask a model for its parameters, to save or to convert it reaches the whole tree below it.

Containers are modules that hold other modules. `nn.Sequential` runs them one after the other. `nn.ModuleList` and
`nn.ModuleDict` hold them by position and by name and leave it to the `forward` around them what runs when. A module
does not look into a Python list or dict: the layers in it are not listed, trained, saved or moved, and nothing says so.
"""

from collections import OrderedDict

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("subclassing-module-defines-a-model")
def test_calling_a_perceptron_computes_what_its_forward_says():
    class MLP(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(3, 2)
            self.act = nn.ReLU()
            self.output = nn.Linear(2, 1)

        def forward(self, x):
            return self.output(self.act(self.hidden(x)))

    net = MLP()
    net.hidden.weight = nn.Parameter(torch.tensor([[1.0, 0.0, 1.0], [0.0, -1.0, 0.0]]))
    net.hidden.bias = nn.Parameter(torch.tensor([0.0, 1.0]))
    net.output.weight = nn.Parameter(torch.tensor([[2.0, 5.0]]))
    net.output.bias = nn.Parameter(torch.tensor([3.0]))

    assert net(torch.tensor([[1.0, 2.0, 3.0]])).tolist() == [[2.0 * 4 + 5 * 0 + 3]]  # relu(1 + 3), relu(-2 + 1)
    assert [tuple(parameter.shape) for parameter in net.parameters()] == [(2, 3), (2,), (1, 2), (1,)]


@claim("super-init-comes-first")
def test_a_layer_assigned_before_super_init_has_no_register_to_go_to():
    class TooEarly(nn.Module):
        def __init__(self):
            self.size = 3  # a plain attribute is entered nowhere, and may come first
            self.linear = nn.Linear(self.size, 2)
            super().__init__()

    with pytest.raises(AttributeError, match=r"before Module.__init__\(\) call"):
        TooEarly()


@claim("module-constructor-takes-other-arguments")
def test_keyword_arguments_may_be_passed_on_to_the_parent_constructor():
    """Mistaken: the constructor of `nn.Module` takes none."""

    class MLP(nn.Module):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    try:
        net = MLP(params=1)
    except TypeError as error:
        net = error
    assert isinstance(net, MLP)


@claim("module-constructor-takes-other-arguments", truth=True)
def test_the_parent_constructor_takes_no_arguments_so_a_model_names_its_own():
    class PassesOn(nn.Module):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)

    class Names(nn.Module):
        def __init__(self, params):
            super().__init__()
            self.params = params

    with pytest.raises(TypeError, match="unexpected keyword argument 'params'"):
        PassesOn(params=1)
    assert Names(params=1).params == 1


@claim("containers-subclass-module")
def test_a_layer_deep_in_containers_is_reached_from_the_outermost():
    assert all(issubclass(container, nn.Module) for container in (nn.Sequential, nn.ModuleList, nn.ModuleDict))
    linear = nn.Linear(3, 2)
    net = nn.Sequential(nn.ModuleDict({"branches": nn.ModuleList([nn.ReLU(), linear])}))

    net.to("meta").eval()  # meta stands for any other device

    assert [name for name, _ in net.named_parameters()] == ["0.branches.1.weight", "0.branches.1.bias"]
    assert (linear.weight.device.type, linear.training) == ("meta", False)


@claim("sequential-chains-its-modules")
def test_a_sequential_of_our_own_is_a_loop_over_the_modules_it_was_given():
    class MySequential(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            for index, layer in enumerate(layers):
                self.add_module(str(index), layer)

        def forward(self, x):
            for layer in self.children():
                x = layer(x)
            return x

    layers = [nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)]
    layers[0].weight = nn.Parameter(torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
    layers[2].weight = nn.Parameter(torch.tensor([[3.0, 5.0]]))
    x = torch.tensor([[1.0, 4.0]])  # gives 9 and -1; ReLU leaves 9 and 0

    assert nn.Sequential(*layers)(x).tolist() == [[27.0]]
    assert MySequential(*layers)(x).tolist() == [[27.0]]


@claim("sequential-chains-its-modules", truth=True)
def test_appending_to_a_slice_replaces_a_module_that_bears_the_next_number():
    net = nn.Sequential(nn.Flatten(), nn.ReLU())
    net.append(nn.Tanh())
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    part = net[1:]  # its modules are still called 1 and 2
    part.append(nn.Sigmoid())  # the third module, it seems; as there are 2, its name is 2
    assert [type(layer) for layer in part] == [nn.ReLU, nn.Sigmoid]

    named = nn.Sequential(OrderedDict(first=nn.Flatten(), second=nn.ReLU()))
    with pytest.raises(KeyError):  # it looks for a layer called 1, to call it 2
        named.insert(0, nn.Tanh())


@claim("sequential-needs-matching-sizes")
def test_a_mismatch_is_found_when_the_net_is_called():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1))  # no complaint yet
    fits = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with pytest.raises(RuntimeError):
        net(torch.ones(5, 2))
    assert tuple(fits(torch.ones(5, 2)).shape) == (5, 1)


@claim("sequential-needs-matching-sizes", truth=True)
def test_each_operation_objects_in_its_own_way_or_not_at_all():
    class AddOffsets(nn.Module):
        def forward(self, x):
            return x + torch.tensor([10.0, 20.0, 30.0, 40.0])  # for four features

    with pytest.raises(RuntimeError):
        nn.Sequential(nn.Conv2d(1, 3, kernel_size=1), nn.Conv2d(4, 2, kernel_size=1))(torch.ones(1, 1, 5, 5))
    with pytest.raises(ValueError, match="expected 4D input"):
        nn.Sequential(nn.Linear(2, 3), nn.BatchNorm2d(3))(torch.ones(5, 2))

    net = nn.Sequential(nn.ReLU(), AddOffsets())
    assert net(torch.tensor([[-5.0], [1.0]])).tolist() == [[10.0, 20.0, 30.0, 40.0], [11.0, 21.0, 31.0, 41.0]]


@claim("modulelist-acts-like-a-list")
def test_a_module_list_is_appended_to_indexed_and_printed(capsys):
    net = nn.ModuleList([nn.Linear(4, 3), nn.ReLU()])
    net.append(nn.Linear(3, 2))
    print(net[-1], net, sep="\n")

    assert capsys.readouterr().out.splitlines() == [
        "Linear(in_features=3, out_features=2, bias=True)",
        "ModuleList(",
        "  (0): Linear(in_features=4, out_features=3, bias=True)",
        "  (1): ReLU()",
        "  (2): Linear(in_features=3, out_features=2, bias=True)",
        ")",
    ]
    net.insert(1, nn.Tanh())
    net.extend([nn.Sigmoid()])
    assert [type(layer) for layer in net[1:]] == [nn.Tanh, nn.ReLU, nn.Linear, nn.Sigmoid]
    assert len(net) == 5


@claim("modulelist-acts-like-a-list", truth=True)
def test_a_module_list_refuses_some_of_what_a_list_takes():
    net = nn.ModuleList([nn.ReLU(), nn.Tanh(), None])
    with pytest.raises(TypeError, match="is not a Module subclass"):
        net.append("a string")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        net.pop()
    with pytest.raises(TypeError):
        net[0:2] = [nn.Sigmoid()]
    assert [hasattr(net, name) for name in ("remove", "index", "count", "sort", "reverse", "clear", "copy")] == 7 * [0]

    net.insert(100, nn.Sigmoid())  # its name is 100, not 3
    with pytest.raises(KeyError, match="3"):
        net[-1]

    net = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    with pytest.raises(KeyError, match="-1"):
        net.insert(-1, nn.Sigmoid())
    assert [type(layer) for layer in net] == [nn.ReLU, nn.ReLU, nn.Tanh]
    with pytest.raises(RuntimeError, match="during iteration"):
        net.extend(net)


@claim("modulelist-has-no-forward")
def test_a_module_list_stores_what_need_not_fit_together_and_runs_none_of_it():
    net = nn.ModuleList([nn.Linear(2, 3), nn.Linear(5, 1)])
    with pytest.raises(NotImplementedError, match="forward"):
        net(torch.zeros(1, 2))
    assert tuple(net[0](torch.zeros(4, 2)).shape) == (4, 3)
    assert tuple(net[1](torch.zeros(4, 5)).shape) == (4, 1)


@claim("modulelist-has-no-order")
def test_forward_may_run_the_last_module_first():
    class LastToFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 1), nn.Linear(3, 4), nn.Linear(2, 3)])

        def forward(self, x):
            for layer in reversed(self.layers):
                x = layer(x)
            return x

    assert tuple(LastToFirst()(torch.ones(5, 2)).shape) == (5, 1)


@claim("modulelist-has-no-order", truth=True)
def test_names_and_keys_follow_the_list_and_an_insertion_renames_what_is_behind():
    first, last, new = nn.Linear(9, 1, bias=False), nn.Linear(1, 2, bias=False), nn.Linear(3, 3, bias=False)
    net = nn.ModuleList([first, last])
    assert list(net.state_dict()) == ["0.weight", "1.weight"]

    net.insert(1, new)
    assert list(net.named_children()) == [("0", first), ("1", new), ("2", last)]
    assert list(net.state_dict()) == ["0.weight", "1.weight", "2.weight"]
    assert list(net) == [net[0], net[1], net[2]] == [first, new, last]


@claim("modulelist-registers-parameters")
def test_the_layers_in_a_python_list_do_not_belong_to_the_network():
    registered, forgotten = nn.Module(), nn.Module()
    registered.layers = nn.ModuleList([nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False)])
    forgotten.layers = [nn.Linear(2, 3), nn.BatchNorm1d(3, affine=False)]

    assert [name for name, _ in registered.named_parameters()] == ["layers.0.weight", "layers.0.bias"]
    assert "layers.1.running_mean" in dict(registered.named_buffers())
    assert list(forgotten.parameters()) == list(forgotten.buffers()) == list(forgotten.state_dict()) == []


@claim("moduledict-acts-like-a-dict")
def test_a_module_dict_is_added_to_and_read_by_key_and_as_attributes(capsys):
    net = nn.ModuleDict({"linear": nn.Linear(4, 3), "act": nn.ReLU()})
    net["output"] = nn.Linear(3, 2)
    print(net["linear"], net.output, net, sep="\n")

    assert capsys.readouterr().out.splitlines() == [
        "Linear(in_features=4, out_features=3, bias=True)",
        "Linear(in_features=3, out_features=2, bias=True)",
        "ModuleDict(",
        "  (linear): Linear(in_features=4, out_features=3, bias=True)",
        "  (act): ReLU()",
        "  (output): Linear(in_features=3, out_features=2, bias=True)",
        ")",
    ]
    assert list(net.keys()) == ["linear", "act", "output"]


@claim("moduledict-acts-like-a-dict", truth=True)
def test_a_key_must_be_fit_for_an_attribute():
    net = nn.ModuleDict({"relu": nn.ReLU(), "nothing": None})
    with pytest.raises(TypeError, match="module name should be a string"):
        net[1] = nn.Tanh()
    for key in ("a.b", "", "items", "train", "training"):
        with pytest.raises(KeyError, match="module name can.*t|attribute '.*' already exists"):
            net[key] = nn.Tanh()
    with pytest.raises(TypeError, match="is not a Module subclass"):
        net["one"] = 1
    for refused in (lambda: net.pop("two", None), lambda: net.update(three=nn.Tanh())):
        with pytest.raises(TypeError, match="argument"):
            refused()
    with pytest.raises(KeyError):
        next(reversed(net))
    assert [hasattr(net, name) for name in ("get", "setdefault", "popitem", "copy", "__or__")] == 5 * [False]


@claim("moduledict-has-no-forward")
def test_calling_a_module_dict_is_not_implemented():
    net = nn.ModuleDict({"linear": nn.Linear(2, 3)})
    with pytest.raises(NotImplementedError, match="forward"):
        net(torch.zeros(1, 2))
    assert tuple(net["linear"](torch.zeros(1, 2)).shape) == (1, 3)


@claim("moduledict-registers-parameters")
def test_the_layers_in_a_python_dict_do_not_belong_to_the_network():
    registered, forgotten = nn.Module(), nn.Module()
    registered.layers = nn.ModuleDict({"linear": nn.Linear(2, 3), "norm": nn.BatchNorm1d(3, affine=False)})
    forgotten.layers = {"linear": nn.Linear(2, 3), "norm": nn.BatchNorm1d(3, affine=False)}

    assert [name for name, _ in registered.named_parameters()] == ["layers.linear.weight", "layers.linear.bias"]
    assert "layers.norm.running_mean" in dict(registered.named_buffers())
    assert list(forgotten.parameters()) == list(forgotten.buffers()) == list(forgotten.state_dict()) == []
