"""4.5 Custom layers: models in models, what a module registers, and containers of parameters beside Python's own."""

import operator
from collections import OrderedDict

import numpy as np
import pytest
import torch
from populations import EVERY_MODE, LAYOUTS, SINGLE_AND_DOUBLE, WRITABLE, agree, among, in_turn, over, twins
from populations.changes import CONVERSIONS, COPYING, conversions
from populations.containers import KEYS, edited_alike, ids, told
from populations.modules import trees
from torch import nn

claim = pytest.mark.claim


@claim("model-can-serve-as-layer")
@over(depth=among(1, 2, 5), batch=among(1, 3), dtype=among(torch.float32, torch.float64, torch.bfloat16))
def test_a_network_inside_computes_and_learns_as_its_layers_in_a_row_do(depth, batch, dtype):
    matrices = [np.array([[1.0, 2.0], [0.0, number - 1.0]]) for number in range(depth + 1)]
    layers = [nn.Linear(2, 2, bias=False, dtype=dtype) for _ in matrices]
    net = nn.Sequential()
    for layer, matrix in zip(layers, matrices):
        layer.weight.data.copy_(torch.tensor(matrix.tolist()))
        net = nn.Sequential(net, layer)
    x = torch.ones(batch, 2, dtype=dtype, requires_grad=True)
    result = net(x)
    result.sum().backward()

    values, gradient = [np.ones((batch, 2))], np.ones((batch, 2))
    for matrix in matrices:
        values.append(values[-1] @ matrix.T)
    assert result.dtype == dtype
    agree(result, values.pop())
    for layer, matrix in zip(reversed(layers), reversed(matrices)):
        agree(layer.weight.grad, gradient.T @ values.pop())
        gradient = gradient @ matrix
    agree(x.grad, gradient)


class Centred(nn.Module):
    """Subtracts the mean of all its input's elements; it has a buffer, which is no parameter."""

    def __init__(self):
        super().__init__()
        self.register_buffer("target", torch.zeros(1), persistent=False)

    def forward(self, x):
        return x - x.mean()


@claim("layer-without-parameters")
@over(twin=twins(shapes=((5,), (2, 3), (2, 3, 4, 5), (257,), (2, 1025), (2049,)), values=("small", "positive")))
def test_a_layer_subtracts_the_mean_of_all_elements_and_leaves_its_input_alone(twin):
    tensor, array = twin
    net = nn.Sequential(nn.Identity(), Centred()).train(twin.second)
    result = net(tensor)

    # the sum is exact; the mean and the difference round once each
    agree(result, array - array.mean(dtype=np.float64), roundings=3, scale=8)
    assert (result.dtype, result.device) == (tensor.dtype, tensor.device)
    agree(tensor, array)
    assert [*net.parameters(), *net[1].parameters(), *net.state_dict()] == []


@claim("parameter-list-is-a-module-member", "shared-parameter-is-listed-once")
@over(each=in_turn(trees(), among(*COPYING)))
def test_every_module_of_a_tree_has_a_dictionary_of_its_own_parameters_in_the_order_of_registration(each):
    (root, plan), copied = each[0], COPYING[each[1]]
    for path, module in plan.modules:
        parts = [(member.name.rpartition("."), member.tensor) for member in plan.parameters]
        own = told((name, tensor) for (before, _, name), tensor in parts if before == path)
        register = vars(module)["_parameters"]
        assert told(item for item in register.items() if item[1] is not None) == own
        register["extra"] = made = nn.Parameter(torch.ones(1))
        assert module.extra is made
        module.watched = torch.ones(1, requires_grad=True)  # no parameter
        module.extra = again = nn.Parameter(torch.ones(1))
        assert told(module.named_parameters(recurse=False))[-1:] == [("extra", id(again))]
        del module.extra
        assert "extra" not in register
    again = copied(root)
    assert [name for name, _ in again.named_parameters()] == [member.name for member in plan.once()]
    registers = [module._parameters for net in (root, again) for module in net.modules()]
    assert len({*map(id, registers)}) == len(registers)


class Scaled(nn.Module):
    """A parameter, a plain tensor and a buffer, all of which take part and require gradients."""

    def __init__(self, scale, shift):
        super().__init__()
        self.scale, self.shift = nn.Parameter(scale), shift.requires_grad_()
        self.register_buffer("kept", torch.zeros_like(shift, requires_grad=True), persistent=False)

    def forward(self, x):
        return x * self.scale + self.shift + self.kept


@claim("layer-with-parameters-uses-parameter")
@over(
    twin=twins(SINGLE_AND_DOUBLE, WRITABLE, ((), (5,), (2, 3), (3, 2, 2), (257,)), kinds=("tensor",)),
    nested=among(False, True),
    conversion=conversions(),
)
def test_of_what_takes_part_only_parameters_are_listed_trained_stored_and_converted(twin, nested, conversion):
    (scale, array), (shift, other), (convert, dtype) = twin, twin.but(seed=twin.seed + 1), conversion
    layer = Scaled(scale, shift)
    net, path = (nn.Sequential(layer), "0.scale") if nested else (layer, "scale")
    x = torch.full_like(scale, 2)
    optimizer = torch.optim.SGD(net.train(twin.second).parameters(), lr=0.5)
    net(x).sum().backward()
    optimizer.step()

    agree(layer.scale, array - 1)
    for constant, value in ((layer.shift, other), (layer.kept, np.zeros_like(other))):
        agree(constant, value)
        agree(constant.grad, np.ones_like(other))
    assert (told(net.named_parameters()), list(net.state_dict())) == ([(path, id(layer.scale))], [path])
    CONVERSIONS[convert][0](net)
    assert (layer.scale.dtype, layer.shift.dtype) == (dtype, twin.dtype)


@claim("parameterlist-is-indexable-and-grows")
def test_after_any_history_a_list_of_parameters_is_like_a_list():
    edited_alike("ParameterList")


LIST_WAYS = {
    "append": lambda params, x: params.append(x),
    "extend": lambda params, x: params.extend([x]),
    "+=": lambda params, x: operator.iadd(params, [x]),
    "replace": lambda params, x: params.__setitem__(0, x),
    "replace from the back": lambda params, x: params.__setitem__(-1, x),
}
DICT_WAYS = {
    "item": lambda params, x: params.__setitem__("a", x),
    "update": lambda params, x: params.update({"a": x}),
    "setdefault": lambda params, x: params.setdefault("a", x),
}
WAYS = among(*LIST_WAYS, *DICT_WAYS)


def added(way, x):
    """A list or a dict of parameters to which ``x`` was added in this way, and where it stands."""
    if way in LIST_WAYS:
        params, at = nn.ParameterList([5]), -1
        LIST_WAYS[way](params, x)
    else:
        params, at = nn.ParameterDict(), "a"
        DICT_WAYS[way](params, x)
    return params, at


@claim("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict", truth=True)
@over(
    twin=twins((*SINGLE_AND_DOUBLE, torch.float16, torch.complex64), shapes=((), (2, 3)), kinds=("tensor", "view")),
    way=WAYS,
    made=among(lambda x: x, nn.Parameter, lambda x: nn.Parameter(x, requires_grad=False)),
)
def test_a_tensor_becomes_a_parameter_on_its_memory_however_it_is_added(twin, way, made):
    tensor, array = twin
    given = made(tensor)
    trained = given.requires_grad or given is tensor
    params, at = added(way, given)

    agree(params[at], array)
    assert (type(params[at]), params[at].data_ptr()) == (nn.Parameter, tensor.data_ptr())
    assert (params[at].requires_grad, params[at] is given) == (trained, given is not tensor)
    assert ids(params.parameters()) == [id(params[at])]


@claim("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict", truth=True)
@over(other=among(5, "text", None, np.ones(2), [nn.Parameter(torch.ones(2, device="cpu"))]), way=WAYS)
def test_what_is_no_tensor_stays_what_it_is_however_it_is_added(other, way):
    params, at = added(way, other)
    assert params[at] is other
    assert list(params.parameters()) == []


@claim("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict", truth=True)
@over(EVERY_MODE, dtype=among("uint8", "int32", "int64", "bool"), shape=among((), (2, 3), (0,)), way=WAYS)
def test_a_tensor_of_whole_numbers_is_refused_however_it_is_added(dtype, shape, way):
    with pytest.raises(RuntimeError, match="can require gradients"):
        added(way, torch.ones(shape, dtype=getattr(torch, dtype)))


TYPES = {torch.float32: "Float", torch.float64: "Double", torch.float16: "Half", torch.bfloat16: "BFloat16"}
SIZES = {"4x4": (4, 4), "7": (7,), "2x3x5": (2, 3, 5), "4x1": (4, 1), "": ()}
PRINTED = {"dtype": among(*TYPES), "size": among(*SIZES), "trained": among(True, False)}


@claim("parameterlist-prints-tensor-types", truth=True)
@pytest.mark.cpu
@over(**PRINTED)
def test_a_list_prints_the_dtype_and_size_of_each_member(dtype, size, trained):
    params = nn.ParameterList([torch.ones(3)] * 11 + [nn.Parameter(torch.ones(SIZES[size], dtype=dtype), trained)])
    assert str(params).splitlines()[12:13] == [f"    (11): Parameter containing: [{dtype} of size {size}]"]


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
@over(**PRINTED)
def test_a_dict_prints_the_type_and_size_of_each_member(dtype, size, trained):
    others = [(f"n{number}", torch.ones(3)) for number in range(11)]
    params = nn.ParameterDict([*others, ("m", nn.Parameter(torch.ones(SIZES[size], dtype=dtype), trained))])
    assert str(params).splitlines()[1:] == [
        *(f"    ({name}): Parameter containing: [torch.FloatTensor of size 3]" for name, _ in others),
        f"    (m): Parameter containing: [torch.{TYPES[dtype]}Tensor of size {size}]",
        ")",
    ]


@claim("parameterdict-acts-like-a-dict")
def test_after_any_history_a_dict_of_parameters_is_like_a_dict():
    edited_alike("ParameterDict")


@claim("parameterdict-selects-by-key")
@over(key=among(*KEYS), before=among(*KEYS))
def test_each_key_chooses_its_own_parameter_for_the_computation_and_for_its_gradient(key, before):
    numbers = {each: float(number) for number, each in enumerate(KEYS, 2)}
    params = nn.ParameterDict([(each, torch.tensor(number)) for each, number in numbers.items()])

    assert params[before].item() == numbers[before]
    y = params[key] * params[key]
    y.backward()
    assert y.item() == numbers[key] ** 2
    assert {each: None if p.grad is None else p.grad.item() for each, p in params.items()} == {
        **dict.fromkeys(KEYS),
        key: 2 * numbers[key],
    }
    params[key] = torch.tensor(50.0)  # instead of the one that was read
    assert params[key].item() == 50


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(key=among("", "a.b", "half", "forward"), other=among(5, None, False))
def test_what_is_no_tensor_may_have_any_text_for_its_key(key, other):
    params = nn.ParameterDict()
    params[key] = other
    assert list(params) == [key]
    assert params[key] is params.get(key, 7) is params.setdefault(key, 7) is other
    assert list(params.parameters()) == []


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(made=among(dict, OrderedDict, list, nn.ParameterDict))
def test_only_a_plain_dict_is_sorted_and_attributes_of_the_object_pass_for_keys(made):
    pairs = [("b", torch.ones(2)), ("c", torch.ones(3)), ("a", 5)]
    grown, updated = nn.ParameterDict([("d", 6)]), nn.ParameterDict()
    for params in (grown, updated):
        params.update(made(pairs))
    for params, before in ((nn.ParameterDict(made(pairs)), []), (updated, []), (grown, ["d"])):
        assert list(params) == before + (["a", "b", "c"] if made is dict else ["b", "c", "a"])
        assert [name for name, _ in params.named_parameters()] == ["b", "c"]
    assert updated["train"] == updated.train
    updated["training"] = torch.ones(2)
    with pytest.raises(TypeError, match="training"):
        updated.eval()


@claim("matmul-node-is-named-mm-backward", truth=True)
@over(twin=twins((*SINGLE_AND_DOUBLE, torch.bfloat16), LAYOUTS, ((2, 3), (4, 4), (63, 3), (1, 257)), grad=(True,)))
def test_a_product_of_matrices_of_any_dtype_and_layout_is_an_mm_backward0(twin):
    tensor, _ = twin
    for x, y in ((tensor, tensor.t()), (tensor.t(), tensor.detach()), (tensor.detach(), tensor.t())):
        products = (torch.mm(x, y), x.mm(y), x @ y, torch.matmul(x, y))
        assert [product.grad_fn.name() for product in products] == ["MmBackward0"] * 4
        assert "grad_fn=<MmBackward0>" in repr(products[len(x) % 4])
