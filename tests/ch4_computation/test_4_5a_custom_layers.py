"""4.5 Custom layers: modules of our own

A layer of our own is a subclass of `nn.Module` whose `forward` says what it computes. A whole network is written in the
same way, so either can stand inside the other. A layer need not learn anything; what it is to learn must be an
`nn.Parameter`. Only then does the module *register* it: list it in `parameters()`, where the optimizer finds it, move
and convert it with the layer, and store it with the model. A plain tensor attribute gets none of this, even where it
requires a gradient.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

claim = pytest.mark.claim


class CenteredLayer(nn.Module):
    """Subtracts the mean of all its input's elements; has nothing to learn."""

    def forward(self, x):
        return x - x.mean()


class ScaledLayer(nn.Module):
    """Multiplies by a learnable scale; `shift` takes part in the computation but is a plain tensor."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([2.0, 3.0]))
        self.shift = torch.tensor([10.0, 20.0], requires_grad=True)

    def forward(self, x):
        return x * self.scale + self.shift


# ── model-can-serve-as-layer ──


@claim("model-can-serve-as-layer")
def test_a_network_inside_a_network_computes_as_a_layer():
    inner = nn.Sequential(CenteredLayer(), nn.ReLU())
    outer = nn.Sequential(inner, CenteredLayer())

    output = outer(torch.tensor([1.0, 2.0, 6.0]))  # the inner one gives [0, 0, 3], whose mean is 1

    assert output.tolist() == [-1.0, -1.0, 2.0]


@claim("model-can-serve-as-layer")
def test_the_parameters_of_an_inner_network_have_nested_names():
    inner = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    outer = nn.Sequential(inner, nn.Linear(2, 1, bias=False))

    names = [name for name, _ in outer.named_parameters()]

    assert names == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias", "1.weight"]


@claim("model-can-serve-as-layer")
def test_gradients_flow_through_both_networks():
    inner = nn.Sequential(ScaledLayer())
    outer = nn.Sequential(inner, ScaledLayer())

    outer(torch.tensor([1.0, 1.0])).sum().backward()

    assert outer[1].scale.grad.tolist() == [12.0, 23.0]  # what the inner network gave: 1 * 2 + 10, 1 * 3 + 20
    assert inner[0].scale.grad.tolist() == [2.0, 3.0]  # the input, 1, times the outer scale


@claim("model-can-serve-as-layer")
def test_a_mode_set_outside_reaches_the_layers_of_the_inner_network():
    inner = nn.Sequential(CenteredLayer(), nn.Dropout())
    outer = nn.Sequential(inner, nn.Dropout())

    outer.eval()

    assert [module.training for module in outer.modules()] == [False] * 5


@claim("model-can-serve-as-layer")
def test_what_is_done_to_the_outer_network_reaches_the_innermost_layers():
    innermost = nn.Linear(2, 1, bias=False)
    outer = nn.Sequential(nn.Sequential(nn.Sequential(innermost)))

    outer.double()

    assert innermost.weight.dtype == torch.float64
    assert list(outer.state_dict()) == ["0.0.0.weight"]
    assert outer.state_dict()["0.0.0.weight"].tolist() == innermost.weight.tolist()


# ── layer-without-parameters ──


@claim("layer-without-parameters")
def test_the_centered_layer_subtracts_the_mean():
    output = CenteredLayer()(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))

    assert output.tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]


@claim("layer-without-parameters")
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20))
def test_the_centered_output_has_mean_zero_for_any_input(values):
    output = CenteredLayer()(torch.tensor(values))

    # Rounding the mean and each of up to 20 differences errs by a few float32 epsilons (1.2e-7) of the largest value;
    # 1e-30 is for numbers so small (below 1e-38) that float32 rounds them to a multiple of 1e-45.
    assert abs(sum(output.tolist()) / len(values)) <= 1e-5 * (1e-30 + max(map(abs, values)))


@claim("layer-without-parameters")
def test_the_centered_layer_leaves_its_input_and_the_dtype_alone():
    x = torch.tensor([1.0, 2.0, 3.5], dtype=torch.float64)

    output = CenteredLayer()(x)

    assert x.tolist() == [1.0, 2.0, 3.5]
    assert output.dtype == torch.float64
    assert abs(output.sum().item()) < 1e-14  # in single precision the mean of 6.5 / 3 would be 5e-8 off


@claim("layer-without-parameters")
def test_a_layer_without_parameters_has_nothing_to_train_or_to_store():
    layer = CenteredLayer()

    assert list(layer.parameters()) == []
    assert len(layer.state_dict()) == 0


@claim("layer-without-parameters")
def test_a_layer_without_parameters_takes_its_place_in_a_sequential():
    net = nn.Sequential(ScaledLayer(), CenteredLayer())

    output = net(torch.tensor([[1.0, 1.0], [5.0, 3.0]]))  # [[12, 23], [20, 29]], of mean 21

    assert output.tolist() == [[-9.0, 2.0], [-1.0, 8.0]]
    assert [name for name, _ in net.named_parameters()] == ["0.scale"]


# ── parameter-list-is-a-module-member ──


@claim("parameter-list-is-a-module-member")
def test_a_module_keeps_its_parameters_in_a_dictionary_of_its_own():
    first, second = ScaledLayer(), ScaledLayer()

    assert list(vars(first)["_parameters"]) == ["scale"]  # and not the plain tensor `shift`
    assert first._parameters["scale"] is first.scale
    assert second._parameters["scale"] is second.scale


@claim("parameter-list-is-a-module-member")
def test_assigning_a_parameter_adds_it_and_deleting_removes_it():
    layer = ScaledLayer()

    layer.extra = nn.Parameter(torch.ones(3))
    assert [name for name, _ in layer.named_parameters()] == ["scale", "extra"]

    del layer.scale
    assert list(layer._parameters) == ["extra"]
    assert [name for name, _ in layer.named_parameters()] == ["extra"]
    assert hasattr(layer, "scale") is False


@claim("parameter-list-is-a-module-member")
def test_a_parameter_assigned_again_takes_the_place_of_the_old_one():
    layer = ScaledLayer()
    layer.last = nn.Parameter(torch.ones(1))

    layer.scale = nn.Parameter(torch.tensor([5.0]))

    assert [(name, p.tolist()) for name, p in layer.named_parameters()] == [("scale", [5.0]), ("last", [1.0])]
    assert layer._parameters["scale"] is layer.scale


@claim("parameter-list-is-a-module-member")
def test_each_module_lists_its_own_parameters_and_asks_its_children_for_theirs():
    net = nn.Sequential(nn.Linear(2, 3))

    assert len(net._parameters) == 0
    assert list(net[0]._parameters) == ["weight", "bias"]
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]


@claim("parameter-list-is-a-module-member")
def test_no_parameter_can_be_added_before_the_module_is_initialised():
    class Hasty(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(torch.ones(2))

    with pytest.raises(AttributeError, match=r"cannot assign parameters before Module.__init__\(\) call"):
        Hasty()


# ── layer-with-parameters-uses-parameter ──


@claim("layer-with-parameters-uses-parameter")
def test_an_optimizer_trains_the_parameter_and_not_the_plain_tensor():
    layer = ScaledLayer()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)

    layer(torch.tensor([1.0, 4.0])).sum().backward()
    optimizer.step()

    assert layer.scale.grad.tolist() == [1.0, 4.0]
    assert layer.scale.tolist() == [1.5, 1.0]  # 2 - 0.5 * 1, 3 - 0.5 * 4
    assert layer.shift.grad.tolist() == [1.0, 1.0]  # autograd serves the plain tensor, but nobody updates it
    assert layer.shift.tolist() == [10.0, 20.0]


@claim("layer-with-parameters-uses-parameter")
def test_a_parameter_is_a_tensor_that_asks_for_a_gradient():
    layer = ScaledLayer()

    assert isinstance(layer.scale, nn.Parameter) is True
    assert isinstance(layer.scale, torch.Tensor) is True
    assert layer.scale.requires_grad is True


@claim("layer-with-parameters-uses-parameter")
def test_only_the_parameter_is_listed_stored_and_converted():
    layer = ScaledLayer().double()

    assert [name for name, _ in layer.named_parameters()] == ["scale"]
    assert list(layer.state_dict()) == ["scale"]
    assert layer.scale.dtype == torch.float64
    assert layer.shift.dtype == torch.float32


@claim("layer-with-parameters-uses-parameter")
def test_a_plain_tensor_cannot_take_the_place_of_a_parameter():
    layer = ScaledLayer()

    with pytest.raises(TypeError, match=r"as parameter 'scale' \(torch.nn.Parameter or None expected\)"):
        layer.scale = torch.ones(2)
