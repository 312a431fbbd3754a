"""4.5 Custom layers: models in models of every kind, and what a module registers."""

import numpy as np
import pytest
import torch
from populations import SINGLE_AND_DOUBLE, WRITABLE, agree, among, over, twins
from populations.containers import told
from populations.modules import trees
from torch import nn

claim = pytest.mark.claim


# ── model-can-serve-as-layer, layer-without-parameters ──


@claim("model-can-serve-as-layer")
@over(depth=among(1, 2, 5), batch=among(1, 3), dtype=among(torch.float32, torch.float64, torch.bfloat16))
def test_a_network_inside_computes_and_learns_as_its_layers_in_a_row_do(depth, batch, dtype):
    matrices = [np.array([[1.0, 2.0], [0.0, number - 1.0]]) for number in range(depth + 1)]
    layers = [nn.Linear(2, 2, bias=False, dtype=dtype) for _ in matrices]
    net = nn.Sequential()
    for layer, matrix in zip(layers, matrices):
        layer.weight.data.copy_(torch.tensor(matrix.tolist()))
        net = nn.Sequential(net, layer)
    result = net(torch.ones(batch, 2, dtype=dtype))
    result.sum().backward()

    values, gradient = [np.ones((batch, 2))], np.ones((batch, 2))
    for matrix in matrices:
        values.append(values[-1] @ matrix.T)
    assert result.dtype == dtype
    agree(result, values.pop())
    for layer, matrix in zip(reversed(layers), reversed(matrices)):
        agree(layer.weight.grad, gradient.T @ values.pop())
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
        parts = [(member.name.rpartition("."), member.tensor) for member in plan.parameters]
        own = told((name, tensor) for (before, _, name), tensor in parts if before == path)
        register = vars(module)["_parameters"]
        assert told(item for item in register.items() if item[1] is not None) == own
        for made in (nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(2))):
            register["extra"] = made
            assert module.extra is made
        module.watched = torch.ones(1, requires_grad=True)  # no parameter
        module.extra = again = nn.Parameter(torch.ones(1))
        assert told(module.named_parameters(recurse=False))[len(dict(own)) :] == [("extra", id(again))]
        del module.extra
        assert "extra" not in register
    registers = {id(module): id(module._parameters) for _, module in plan.modules}
    assert len({*registers.values()}) == len(registers)


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
