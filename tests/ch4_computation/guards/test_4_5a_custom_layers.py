"""4.5 Custom layers: models in models of every kind, and what a module registers."""

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, agree, among, over, twins
from populations.containers import told
from populations.modules import handed_out, trees
from torch import nn

claim = pytest.mark.claim


# ── model-can-serve-as-layer, layer-without-parameters ──


@claim("model-can-serve-as-layer")
@over(tree=trees())
def test_whatever_is_done_to_a_network_reaches_the_innermost_layers_of_one_inside(tree):
    inner, plan = tree
    outer = nn.Sequential(nn.ReLU(), nn.Sequential(inner))
    once = [(f"1.0.{member.name}", id(member.tensor)) for member in plan.once()]

    assert told(outer.named_parameters()) == once
    assert list(outer.state_dict()) == [f"1.0.{member.name}" for member in plan.state]
    assert {module.training for module in outer.eval().modules()} == {False}
    assert all(module.training is False for _, module in plan.modules)
    outer.half()
    assert {parameter.dtype for parameter in (*inner.parameters(), *handed_out(inner))} <= {torch.float16}
    outer.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in inner.parameters())


@claim("model-can-serve-as-layer")
@over(depth=among(1, 2, 5), batch=among(1, 3), dtype=among(torch.float32, torch.float64, torch.bfloat16))
def test_a_network_inside_computes_and_learns_as_its_layers_in_a_row_do(depth, batch, dtype):
    layers, net = [nn.Linear(2, 2, bias=False, dtype=dtype) for _ in range(depth + 1)], None
    for number, layer in enumerate(layers):
        layer.weight.data.copy_(torch.tensor([[1.0, 2.0], [0.0, number - 1.0]]))
        net = nn.Sequential(net, layer) if net else layer
    x = torch.ones(batch, 2, dtype=dtype)
    net(x).sum().backward()
    assert {net(x).dtype, *(layer.weight.dtype for layer in layers)} == {dtype}

    matrices = [np.array([[1.0, 2.0], [0.0, number - 1.0]]) for number in range(depth + 1)]
    values = [np.ones((batch, 2))]
    for matrix in matrices:
        values.append(values[-1] @ matrix.T)
    gradient = np.ones((batch, 2))
    agree(net(x), values[-1])
    for layer, matrix, before in zip(layers[::-1], matrices[::-1], values[-2::-1]):
        agree(layer.weight.grad, gradient.T @ before)
        gradient = gradient @ matrix


class Centred(nn.Module):
    """Subtracts the mean of all its input's elements."""

    def forward(self, x):
        return x - x.mean()


@claim("layer-without-parameters")
@over(twin=twins(SINGLE_AND_DOUBLE, ranks=(1, 5), shapes=((5,), (2, 3), (2, 3, 4, 5), (257,), (2, 1025))))
def test_a_layer_subtracts_the_mean_of_all_elements_and_leaves_its_input_alone(twin):
    tensor, array = twin
    net = nn.Sequential(nn.Identity(), Centred())
    result = net(tensor)

    # the sum is exact; the mean and the difference round once each
    agree(result, array - array.mean(dtype=np.float64), roundings=3, scale=8)
    assert (result.dtype, result.device) == (tensor.dtype, tensor.device)
    agree(tensor, array)
    assert (list(net.parameters()), list(net.state_dict())) == ([], [])


# ── parameter-list-is-a-module-member, layer-with-parameters-uses-parameter ──


@claim("parameter-list-is-a-module-member")
@over(tree=trees())
def test_every_module_of_a_tree_has_a_dictionary_of_its_own_parameters_in_the_order_of_registration(tree):
    _, plan = tree
    for path, module in plan.modules:
        own = [
            (member.name.rpartition(".")[2], id(member.tensor))
            for member in plan.parameters
            if member.name.rpartition(".")[0] == path
        ]
        assert [(name, id(p)) for name, p in vars(module)["_parameters"].items() if p is not None] == own
        module._parameters["extra"] = made = nn.Parameter(torch.ones(1))
        assert module.extra is made
        module.watched = torch.ones(1, requires_grad=True)  # no parameter
        assert told(module.named_parameters(recurse=False))[len(dict(own)) :] == [("extra", id(made))]
        del module.extra
        assert "extra" not in module._parameters
    shared = {id(module): id(module._parameters) for _, module in plan.modules}
    assert len(set(shared.values())) == len(shared)


@claim("parameter-list-is-a-module-member")
@over(before=among(True, False), twin=twins(layouts=WRITABLE, shapes=((), (2, 3))))
def test_a_parameter_replaced_keeps_its_place_and_none_is_taken_before_the_register_exists(before, twin):
    class Hasty(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(torch.ones(2))

    layer = nn.Linear(2, 2)
    layer.last = nn.Parameter(torch.ones(1))
    layer.weight = made = nn.Parameter(twin.tensor(twin.array()))
    assert told(layer.named_parameters()) == told([("weight", made), ("bias", layer.bias), ("last", layer.last)])
    with pytest.raises(AttributeError, match="cannot assign parameters before"):
        Hasty()


class Scaled(nn.Module):
    """A parameter and a plain tensor, both of which take part and require gradients."""

    def __init__(self, scale, shift):
        super().__init__()
        self.scale, self.shift = nn.Parameter(scale), shift.requires_grad_()

    def forward(self, x):
        return x * self.scale + self.shift


@claim("layer-with-parameters-uses-parameter")
@over(twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((), (5,), (2, 3), (3, 2, 2), (257,))), nested=among(False, True))
def test_of_what_takes_part_only_parameters_are_listed_trained_stored_and_converted(twin, nested):
    (scale, array), (shift, other) = twin, twin.but(seed=twin.seed + 1)
    layer = Scaled(scale, shift)
    net, path = (nn.Sequential(layer), "0.scale") if nested else (layer, "scale")
    x = torch.full_like(scale, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    net(x).sum().backward()
    optimizer.step()

    agree(layer.scale, array - 1)
    agree(layer.shift, other)
    agree(layer.shift.grad, np.ones_like(other))
    assert (told(net.named_parameters()), list(net.state_dict())) == ([(path, id(layer.scale))], [path])
    net.to(torch.float16)
    assert (layer.scale.dtype, layer.shift.dtype) == (torch.float16, twin.dtype)
