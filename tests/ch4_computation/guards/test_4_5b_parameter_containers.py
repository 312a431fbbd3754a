"""4.5 Custom layers: containers of parameters beside Python's own after any edits."""

import operator
from collections import OrderedDict

import pytest
import torch
from populations import SINGLE_AND_DOUBLE, after_any_history, agree, among, containers, over, twins
from populations.containers import KEYS, ids
from torch import nn

claim = pytest.mark.claim


# ── parameterlist-is-indexable-and-grows ──


@claim("parameterlist-is-indexable-and-grows")
def test_after_any_history_a_list_of_parameters_is_like_a_list():
    containers.edited_alike("ParameterList")
    after_any_history(containers.history("ParameterList"))


LIST_WAYS = {
    "append": lambda params, x: params.append(x),
    "extend": lambda params, x: params.extend([x]),
    "+=": lambda params, x: operator.iadd(params, [x]),
    "replace": lambda params, x: params.__setitem__(0, x),
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
@over(twin=twins((*SINGLE_AND_DOUBLE, torch.float16, torch.complex64), shapes=((), (2, 3))), way=WAYS)
def test_a_tensor_becomes_a_parameter_on_its_memory_however_it_is_added(twin, way):
    tensor, array = twin
    params, at = added(way, tensor)

    agree(params[at], array)
    assert (type(params[at]), params[at].data_ptr()) == (nn.Parameter, tensor.data_ptr())
    assert ids(params.parameters()) == [id(params[at])]


@claim("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict", truth=True)
@over(other=among(5, "text", None, [nn.Parameter(torch.ones(2, device="cpu"))]), way=WAYS)
def test_what_is_no_tensor_stays_what_it_is_however_it_is_added(other, way):
    params, at = added(way, other)
    assert params[at] is other
    assert list(params.parameters()) == []


@claim("parameterlist-is-indexable-and-grows", "parameterdict-acts-like-a-dict", truth=True)
@over(dtype=among("uint8", "int32", "int64", "bool"), shape=among((), (2, 3)), way=WAYS)
def test_a_tensor_of_whole_numbers_is_refused_however_it_is_added(dtype, shape, way):
    with pytest.raises(RuntimeError, match="can require gradients"):
        added(way, torch.ones(shape, dtype=getattr(torch, dtype)))


# ── parameterlist-prints-tensor-types, parameterdict-prints-tensor-types ──

TYPES = {torch.float32: "Float", torch.float64: "Double", torch.float16: "Half", torch.bfloat16: "BFloat16"}

PRINTED = {"dtype": among(*TYPES), "shape": among((4, 4), (7,), (2, 3, 5), (4, 1))}


def sized(shape):
    return "x".join(map(str, shape))


@claim("parameterlist-prints-tensor-types", truth=True)
@pytest.mark.cpu
@over(**PRINTED)
def test_a_list_prints_the_dtype_and_size_of_each_member(dtype, shape):
    params = nn.ParameterList([torch.ones(3)] * 11 + [torch.ones(shape, dtype=dtype)])
    assert str(params).splitlines()[12:13] == [f"    (11): Parameter containing: [{dtype} of size {sized(shape)}]"]


@claim("parameterdict-prints-tensor-types")
@pytest.mark.cpu
@over(**PRINTED)
def test_a_dict_prints_the_type_and_size_of_each_member(dtype, shape):
    others = [(f"n{number}", torch.ones(3)) for number in range(11)]
    params = nn.ParameterDict([*others, ("m", torch.ones(shape, dtype=dtype))])
    assert str(params).splitlines()[1:] == [
        *(f"    ({name}): Parameter containing: [torch.FloatTensor of size 3]" for name, _ in others),
        f"    (m): Parameter containing: [torch.{TYPES[dtype]}Tensor of size {sized(shape)}]",
        ")",
    ]


# ── parameterdict-acts-like-a-dict, parameterdict-selects-by-key ──


@claim("parameterdict-acts-like-a-dict")
def test_after_any_history_a_dict_of_parameters_is_like_a_dict():
    containers.edited_alike("ParameterDict")
    after_any_history(containers.history("ParameterDict"))


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


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(key=among("", "a.b", "half", "forward"))
def test_what_is_no_tensor_may_have_any_text_for_its_key(key):
    params = nn.ParameterDict()
    params[key] = 5
    assert list(params) == [key]
    assert (params[key], list(params.parameters())) == (5, [])


@claim("parameterdict-acts-like-a-dict", truth=True)
@over(made=among(dict, OrderedDict, list, nn.ParameterDict))
def test_only_a_plain_dict_is_sorted_and_attributes_of_the_object_pass_for_keys(made):
    pairs, updated = [("b", torch.ones(2)), ("c", torch.ones(3)), ("a", 5)], nn.ParameterDict()
    updated.update(made(pairs))
    for params in (nn.ParameterDict(made(pairs)), updated):
        assert list(params) == (["a", "b", "c"] if made is dict else ["b", "c", "a"])
        assert [name for name, _ in params.named_parameters()] == ["b", "c"]
    assert updated["train"] == updated.train
    updated["training"] = torch.ones(2)
    with pytest.raises(TypeError, match="training"):
        updated.eval()
