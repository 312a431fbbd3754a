"""4.2 Accessing parameters

A parameter is a tensor that training is to change. `nn.Parameter` marks a tensor as one: assigned to an attribute
of a module, it is entered in the module's register, under the name of the attribute. The modules form a tree, and a
parameter's full name is the path to it, with a dot between the steps: `hidden.weight`, or `0.weight` in an
`nn.Sequential`, whose layers are named by their index.

`parameters()` and `named_parameters()` walk the tree and hand out the parameters themselves, not copies, so that
they can be read, changed, frozen or given to an optimizer, all at once or layer by layer.
"""

import copy
import types

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


@pytest.fixture
def net():
    """A perceptron of four inputs, three hidden units and one output."""
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))


# ── named-parameters-is-a-generator ──


@claim("named-parameters-is-a-generator")
def test_named_parameters_is_a_generator(net):
    assert isinstance(net.named_parameters(), types.GeneratorType)
    assert isinstance(net.parameters(), types.GeneratorType)


@claim("named-parameters-is-a-generator")
def test_a_generator_is_used_up_by_one_pass_and_each_call_starts_afresh(net):
    pairs = net.named_parameters()
    assert len(list(pairs)) == 4
    assert len(list(pairs)) == 0
    assert len(list(net.named_parameters())) == 4


@claim("named-parameters-is-a-generator")
def test_each_item_pairs_a_name_with_the_parameter_itself(net):
    items = list(net.named_parameters())
    assert [type(item) for item in items] == [tuple] * 4
    (_, hidden_weight), (_, hidden_bias), (_, output_weight), (_, output_bias) = items
    assert hidden_weight is net[0].weight
    assert hidden_bias is net[0].bias
    assert output_weight is net[2].weight
    assert output_bias is net[2].bias


@claim("named-parameters-is-a-generator")
def test_parameters_gives_the_same_without_the_names(net):
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]


@claim("named-parameters-is-a-generator")
def test_a_change_made_through_the_generator_is_a_change_of_the_model(net):
    with torch.no_grad():
        for index, (_, parameter) in enumerate(net.named_parameters(), start=1):
            parameter.fill_(index)
    # Each hidden unit: 1 + 1 + 1 + 1 + 2 = 6. The output: 3 * (6 + 6 + 6) + 4.
    assert net(torch.ones(1, 4)).tolist() == [[58.0]]


@claim("named-parameters-is-a-generator")
def test_frozen_parameters_are_listed_too(net):
    net[0].weight.requires_grad_(False)
    assert [(name, p.requires_grad) for name, p in net.named_parameters()] == [
        ("0.weight", False),
        ("0.bias", True),
        ("2.weight", True),
        ("2.bias", True),
    ]


# ── parameter-names-carry-the-layer-index ──


@claim("parameter-names-carry-the-layer-index")
def test_names_begin_with_the_index_of_the_layer(net):
    assert [(name, list(p.size())) for name, p in net.named_parameters()] == [
        ("0.weight", [3, 4]),
        ("0.bias", [3]),
        ("2.weight", [1, 3]),
        ("2.bias", [1]),
    ]


@claim("parameter-names-carry-the-layer-index")
def test_an_activation_has_no_parameters(net):
    assert list(net[1].named_parameters()) == []


@claim("parameter-names-carry-the-layer-index")
@given(st.lists(st.booleans(), max_size=13))
@example([True] * 12)  # the alphabet would put 10 before 2
def test_an_activation_counts_although_it_has_no_parameters(is_linear):
    net = nn.Sequential(*(nn.Linear(2, 3, bias=False) if linear else nn.ReLU() for linear in is_linear))
    expected = [f"{index}.weight" for index, linear in enumerate(is_linear) if linear]
    assert [name for name, _ in net.named_parameters()] == expected


@claim("parameter-names-carry-the-layer-index")
def test_an_index_is_added_for_every_sequential_around_a_layer():
    inner = nn.Sequential(nn.ReLU(), nn.Linear(3, 2))
    assert [name for name, _ in nn.Sequential(inner, nn.Linear(2, 1, bias=False)).named_parameters()] == [
        "0.1.weight",
        "0.1.bias",
        "1.weight",
    ]


@claim("parameter-names-carry-the-layer-index")
def test_an_attribute_gives_its_own_name_instead_of_an_index():
    net = nn.Module()
    net.hidden = nn.Linear(4, 3)
    assert [name for name, _ in net.named_parameters()] == ["hidden.weight", "hidden.bias"]


# ── brackets-reach-a-layer ──


@claim("brackets-reach-a-layer")
def test_brackets_reach_each_layer_in_the_order_of_adding_beyond_ten():
    layers = [nn.Linear(1, size) for size in range(1, 13)]  # their names are 0 to 11; the alphabet has 10 before 2
    net = nn.Sequential(*layers)
    assert [net[index] for index in range(12)] == layers
    assert [net[index] for index in range(-12, 0)] == layers
    assert len(net) == 12


@claim("brackets-reach-a-layer")
def test_a_layer_added_twice_is_reached_under_both_indices():
    repeated, other = nn.Linear(2, 2), nn.ReLU()
    net = nn.Sequential(repeated, other, repeated, nn.Tanh())
    assert net[0] is net[2] is repeated
    assert net[1] is other


@claim("brackets-reach-a-layer")
def test_a_layer_names_its_own_parameters_without_an_index(net):
    assert [(name, list(p.size())) for name, p in net[0].named_parameters()] == [("weight", [3, 4]), ("bias", [3])]
    assert [(name, list(p.size())) for name, p in net[2].named_parameters()] == [("weight", [1, 3]), ("bias", [1])]


@claim("brackets-reach-a-layer")
def test_the_net_and_its_layer_hold_the_same_parameters(net):
    assert dict(net.named_parameters())["2.weight"] is net[2].weight


@claim("brackets-reach-a-layer")
def test_a_slice_is_a_sequential_of_the_layers_themselves(net):
    assert isinstance(net[1:], nn.Sequential)
    assert list(net[1:]) == [net[1], net[2]]


@claim("brackets-reach-a-layer")
def test_brackets_replace_a_layer(net):
    wider = nn.Linear(3, 5)
    net[2] = wider
    assert net[2] is wider
    assert tuple(net(torch.ones(7, 4)).shape) == (7, 5)


@claim("brackets-reach-a-layer")
@pytest.mark.parametrize("index", [3, -4])
def test_an_index_past_either_end_is_an_error(net, index):
    with pytest.raises(IndexError, match="out of range"):
        net[index]


# ── parameter-is-a-tensor-subclass ──


@claim("parameter-is-a-tensor-subclass")
def test_the_type_of_every_parameter_is_parameter(net):
    assert [type(parameter) for parameter in net.parameters()] == [torch.nn.parameter.Parameter] * 4
    assert nn.Parameter is torch.nn.parameter.Parameter


@claim("parameter-is-a-tensor-subclass")
def test_parameter_is_a_proper_subclass_of_tensor():
    assert issubclass(nn.Parameter, torch.Tensor) is True
    assert issubclass(torch.Tensor, nn.Parameter) is False
    assert isinstance(torch.ones(2), nn.Parameter) is False


@claim("parameter-is-a-tensor-subclass")
def test_a_parameter_computes_as_a_tensor_and_gives_tensors():
    result = nn.Parameter(torch.tensor([1.0, -2.0])) * 3
    assert result.tolist() == [3.0, -6.0]
    assert type(result) is torch.Tensor


@claim("parameter-is-a-tensor-subclass")
def test_a_parameter_is_a_leaf_that_requires_a_gradient_unless_told_otherwise():
    trained, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)
    assert (trained.requires_grad, trained.is_leaf) == (True, True)
    assert (frozen.requires_grad, frozen.is_leaf) == (False, True)


@claim("parameter-is-a-tensor-subclass")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_parameter_shares_the_storage_of_the_tensor_it_was_made_from(dtype):
    tensor = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=dtype)
    parameter = nn.Parameter(tensor)
    tensor[1, 2] = 60.0
    assert parameter.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 60.0]]
    assert parameter.dtype == dtype


@claim("parameter-is-a-tensor-subclass")
def test_a_deep_copy_of_a_parameter_is_a_parameter_of_its_own():
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]), requires_grad=False)
    copied = copy.deepcopy(parameter)
    parameter.fill_(0)
    assert type(copied) is nn.Parameter
    assert copied.tolist() == [1.0, 2.0]
    assert copied.requires_grad is False


# ── parameter-attributes-register-themselves ──


class Mixed(nn.Module):
    """One parameter and one plain tensor, alike but for their type."""

    def __init__(self):
        super().__init__()
        self.trained = nn.Parameter(torch.rand(2, 3))
        self.plain = torch.rand(2, 3)


@claim("parameter-attributes-register-themselves")
def test_a_parameter_attribute_is_listed_and_a_plain_tensor_is_not():
    model = Mixed()
    assert [name for name, _ in model.named_parameters()] == ["trained"]
    assert list(model.state_dict()) == ["trained"]
    assert next(model.parameters()) is model.trained


@claim("parameter-attributes-register-themselves")
def test_a_plain_tensor_is_not_listed_even_if_it_requires_a_gradient():
    model = nn.Module()
    model.plain = torch.ones(2, requires_grad=True)
    assert list(model.parameters()) == []


@claim("parameter-attributes-register-themselves")
def test_parameters_join_in_the_order_of_assignment_at_any_time():
    model = Mixed()
    model.later = nn.Parameter(torch.ones(4))
    model.frozen = nn.Parameter(torch.ones(5), requires_grad=False)
    assert [(name, list(p.shape)) for name, p in model.named_parameters()] == [
        ("trained", [2, 3]),
        ("later", [4]),
        ("frozen", [5]),
    ]


@claim("parameter-attributes-register-themselves")
def test_a_second_assignment_replaces_the_parameter_and_del_removes_it():
    model = Mixed()
    model.trained = replacement = nn.Parameter(torch.ones(7))
    assert [p is replacement for p in model.parameters()] == [True]
    del model.trained
    assert list(model.parameters()) == []


@claim("parameter-attributes-register-themselves")
def test_a_plain_tensor_cannot_take_the_place_of_a_parameter():
    model = Mixed()
    with pytest.raises(TypeError, match="as parameter 'trained'"):
        model.trained = torch.ones(2, 3)


@claim("parameter-attributes-register-themselves")
def test_a_parameter_in_a_python_list_does_not_join():
    model = nn.Module()
    model.collected = [nn.Parameter(torch.ones(2))]
    assert list(model.parameters()) == []
