"""4.2 Accessing parameters

A parameter is a tensor that training is to change. `nn.Parameter` marks a tensor as one: assigned to an attribute of a
module, it is entered in the module's register, under the name of the attribute. The modules form a tree, and a
parameter's full name is the path to it, with a dot between the steps: `hidden.weight`, or `0.weight` in an
`nn.Sequential`, which names its layers by number. `parameters()` and `named_parameters()` walk the tree and hand out
the parameters themselves, not copies: to be read, changed, frozen or given to an optimizer, all at once or by layers.
"""

from collections import OrderedDict

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("named-parameters-is-a-generator")
def test_named_parameters_hands_out_names_and_parameters_one_by_one(capsys):
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

    print(type(net.named_parameters()))
    for name, param in net.named_parameters():
        param.data.fill_(2)
        print(name, param.size())

    assert capsys.readouterr().out.splitlines() == [
        "<class 'generator'>",
        "0.weight torch.Size([3, 4])",
        "0.bias torch.Size([3])",
        "2.weight torch.Size([1, 3])",
        "2.bias torch.Size([1])",
    ]
    assert net[2].weight.tolist() == [[2, 2, 2]]  # they were the parameters themselves
    assert len(list(net.parameters())) == 4  # the same without names


@claim("parameter-names-carry-the-layer-index")
def test_an_activation_has_no_parameters_but_takes_up_an_index():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

    assert {name: list(param.size()) for name, param in net.named_parameters()} == {
        "0.weight": [3, 4],
        "0.bias": [3],
        "2.weight": [1, 3],
        "2.bias": [1],
    }


@claim("parameter-names-carry-the-layer-index", truth=True)
def test_a_named_layer_gives_its_name_and_a_slice_keeps_the_old_numbers():
    named = nn.Sequential(OrderedDict(hidden=nn.Linear(4, 3), act=nn.ReLU(), output=nn.Linear(3, 1)))
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

    assert [name for name, _ in named.named_parameters()] == [
        "hidden.weight",
        "hidden.bias",
        "output.weight",
        "output.bias",
    ]
    assert [name for name, _ in net[2:].named_parameters()] == ["2.weight", "2.bias"]


@claim("brackets-reach-a-layer")
def test_brackets_reach_a_layer_which_names_its_parameters_without_the_index(capsys):
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

    for name, param in net[0].named_parameters():
        print(name, param.size(), type(param))

    assert capsys.readouterr().out.splitlines() == [
        "weight torch.Size([3, 4]) <class 'torch.nn.parameter.Parameter'>",
        "bias torch.Size([3]) <class 'torch.nn.parameter.Parameter'>",
    ]
    assert type(net[1]) is nn.ReLU
    assert net[-1] is net[2]
    with pytest.raises(IndexError, match="out of range"):
        net[3]


@claim("parameter-is-a-tensor-subclass")
def test_a_parameter_is_a_tensor_and_computes_as_one():
    weight = nn.Linear(2, 1).weight

    assert type(weight) is torch.nn.parameter.Parameter
    assert isinstance(weight, torch.Tensor)
    assert not isinstance(torch.ones(1, 2), nn.Parameter)
    assert type(weight * 3) is torch.Tensor  # computed, not to be learned


@claim("parameter-attributes-register-themselves")
def test_a_parameter_attribute_is_listed_and_a_plain_tensor_is_not(capsys):
    class MyModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight1 = nn.Parameter(torch.ones(20, 20))
            self.weight2 = torch.ones(20, 20)

    model = MyModel()
    for name, _ in model.named_parameters():
        print(name)

    assert capsys.readouterr().out == "weight1\n"
    with pytest.raises(TypeError, match="as parameter 'weight1'"):
        model.weight1 = torch.ones(20, 20)
