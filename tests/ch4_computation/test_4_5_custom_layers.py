"""4.5 Custom layers

A layer of our own is a subclass of `nn.Module` whose `forward` says what it computes. A whole network is written in the
same way, so either can stand inside the other. A layer need not learn anything; what it is to learn must be an
`nn.Parameter`, for only then does the module register it, the optimizer find it, and a file hold it. A Python list of
parameters stays unseen: `ParameterList` and `ParameterDict` register their members by position or by name.
"""

import pytest
import torch
from torch import nn

claim = pytest.mark.claim


@claim("model-can-serve-as-layer")
def test_a_whole_network_stands_in_another_as_a_layer_does():
    inner = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    outer = nn.Sequential(inner, nn.Linear(2, 1, bias=False))

    assert tuple(outer(torch.ones(5, 4)).shape) == (5, 1)
    assert [name for name, _ in outer.named_parameters()] == [
        "0.0.weight",
        "0.0.bias",
        "0.1.weight",
        "0.1.bias",
        "1.weight",
    ]
    assert outer.eval()[0][1].training is False


@claim("layer-without-parameters")
def test_a_layer_that_subtracts_the_mean_has_no_parameters():
    class CenteredLayer(nn.Module):
        def forward(self, x):
            return x - x.mean()

    layer = CenteredLayer()
    centred = layer(torch.tensor([1, 2, 3, 4, 5], dtype=torch.float))
    print(centred)

    assert centred.tolist() == [-2, -1, 0, 1, 2]
    assert list(layer.parameters()) == []


@claim("parameter-list-is-a-module-member")
def test_a_module_keeps_its_parameters_in_a_dictionary_of_its_own():
    net = nn.Sequential(nn.Linear(2, 3))

    assert list(net[0]._parameters) == ["weight", "bias"]
    assert net[0]._parameters["bias"] is net[0].bias
    assert list(net._parameters) == []  # its child's are found by asking the child


@claim("layer-with-parameters-uses-parameter")
def test_an_optimizer_trains_the_parameter_and_not_the_plain_tensor():
    class ScaledLayer(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor([2.0, 3.0]))
            self.shift = torch.tensor([10.0, 20.0], requires_grad=True)

        def forward(self, x):
            return x * self.scale + self.shift

    layer = ScaledLayer()
    assert len(list(layer.parameters())) == 1
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    layer(torch.tensor([1.0, 4.0])).sum().backward()
    optimizer.step()

    assert layer.scale.tolist() == [1.5, 1]  # 2 - 0.5 * 1, 3 - 0.5 * 4
    assert layer.shift.tolist() == [10, 20]  # it has a gradient, and nobody uses it


@claim("parameterlist-is-indexable-and-grows")
def test_a_layer_multiplies_by_the_members_of_its_list():
    class MyDense(nn.Module):
        def __init__(self):
            super().__init__()
            self.params = nn.ParameterList([nn.Parameter(torch.ones(4, 4)) for _ in range(3)])
            self.params.append(nn.Parameter(torch.ones(4, 1)))

        def forward(self, x):
            for i in range(len(self.params)):
                x = torch.mm(x, self.params[i])
            return x

    net = MyDense()
    assert net(torch.ones(1, 4)).tolist() == [[4.0**4]]
    net.params.extend([nn.Parameter(torch.ones(1, 2))])
    assert net(torch.ones(1, 4)).tolist() == [[4.0**4] * 2]
    assert [name for name, _ in net.named_parameters()] == [f"params.{i}" for i in range(5)]


@claim("parameterlist-is-indexable-and-grows", truth=True)
def test_a_tensor_becomes_a_parameter_and_what_is_no_tensor_does_not():
    params = nn.ParameterList([torch.ones(2), 5])

    assert type(params[0]) is nn.Parameter
    assert params[1] == 5
    assert len(list(params.parameters())) == 1
    with pytest.raises(RuntimeError, match="can require gradients"):
        params.append(torch.tensor([1, 2]))
    assert not hasattr(params, "insert")
    with pytest.raises(TypeError, match="cannot be interpreted as an integer"):
        params[0:1] = [torch.ones(2)]


@claim("parameterlist-prints-tensor-types")
@pytest.mark.cpu
def test_a_printed_list_shows_the_tensor_type():
    """Superseded: since torch 1.13 it shows the dtype, torch.float32."""
    params = nn.ParameterList([torch.ones(4, 4)])
    print(params)

    assert "(0): Parameter containing: [torch.FloatTensor of size 4x4]" in str(params)


@claim("parameterlist-prints-tensor-types", truth=True)
@pytest.mark.cpu
def test_a_printed_list_shows_the_dtype_and_a_dict_the_type():
    weight = nn.Parameter(torch.ones(4, 4))

    assert str(nn.ParameterList([weight, torch.ones(4, 1)])).splitlines() == [
        "ParameterList(",
        "    (0): Parameter containing: [torch.float32 of size 4x4]",
        "    (1): Parameter containing: [torch.float32 of size 4x1]",
        ")",
    ]
    assert "[torch.FloatTensor of size 4x4]" in str(nn.ParameterDict({"w": weight}))


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
def test_a_printed_dict_shows_the_tensor_type():
    params = nn.ParameterDict({"linear1": torch.ones(4, 4), "linear2": torch.ones(4, 1)})
    print(params)

    assert str(params).splitlines() == [
        "ParameterDict(",
        "    (linear1): Parameter containing: [torch.FloatTensor of size 4x4]",
        "    (linear2): Parameter containing: [torch.FloatTensor of size 4x1]",
        ")",
    ]


@claim("parameterdict-acts-like-a-dict")
def test_members_are_added_and_read_by_key():
    params = nn.ParameterDict({"linear1": nn.Parameter(torch.ones(1)), "linear2": nn.Parameter(torch.ones(2))})
    params.update({"linear3": nn.Parameter(torch.ones(3))})

    assert list(params.keys()) == ["linear1", "linear2", "linear3"]
    assert params["linear2"].tolist() == [1, 1]
    assert {key: len(value) for key, value in params.items()} == {"linear1": 1, "linear2": 2, "linear3": 3}


@claim("parameterdict-acts-like-a-dict", truth=True)
def test_keys_are_names_and_a_plain_dict_is_sorted():
    params = nn.ParameterDict({"b": torch.ones(1), "a": 5})
    assert list(params) == ["a", "b"]
    assert [type(params["b"]), type(params["a"])] == [nn.Parameter, int]
    for key, error in ((1, TypeError), ("half", KeyError), ("a.b", KeyError), ("", KeyError)):
        with pytest.raises(error):
            params[key] = torch.ones(1)
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        params["missing"]
    with pytest.raises(TypeError, match="positional arguments"):
        params.pop("missing", None)
    params["training"] = torch.ones(1)
    with pytest.raises(TypeError, match="as parameter 'training'"):
        params.eval()


@claim("parameterdict-selects-by-key")
def test_the_key_chooses_the_matrix_and_only_that_one_learns():
    class MyDictDense(nn.Module):
        def __init__(self):
            super().__init__()
            self.params = nn.ParameterDict({"linear1": torch.ones(4, 4), "linear2": torch.ones(4, 1)})
            self.params.update({"linear3": nn.Parameter(torch.ones(4, 2))})

        def forward(self, x, choice="linear1"):
            return torch.mm(x, self.params[choice])

    net, x = MyDictDense(), torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert net(x).tolist() == [[10, 10, 10, 10]]
    assert net(x, "linear2").tolist() == [[10]]
    assert net(x, "linear3").tolist() == [[10, 10]]
    net(x, "linear2").sum().backward()
    assert net.params["linear2"].grad.tolist() == [[1], [2], [3], [4]]
    assert net.params["linear1"].grad is None


@claim("matmul-node-is-named-mm-backward")
def test_a_printed_product_names_mm_backward():
    """Superseded: since torch 1.10 the name ends in a zero, MmBackward0."""
    product = torch.mm(torch.ones(1, 4), nn.Parameter(torch.ones(4, 0)))  # without numbers to print
    print(product)

    assert "grad_fn=<MmBackward>" in str(product)


@claim("matmul-node-is-named-mm-backward", truth=True)
def test_a_printed_product_names_mm_backward_with_a_zero():
    product = torch.mm(torch.ones(1, 4), nn.Parameter(torch.ones(4, 0)))  # without numbers to print

    assert "grad_fn=<MmBackward0>" in str(product)
    assert product.grad_fn.name() == "MmBackward0"
